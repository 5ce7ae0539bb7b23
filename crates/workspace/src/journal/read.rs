//! Reading the journal. Everything here is a projection of its events.

use protocol::{ChangeSet, ChangeSetId, ContentHash, Event, EventBody, SessionId, TurnId, TurnOutcome};
use rusqlite::{Connection, Params, Row, params};

use super::{Journal, JournalError, Result, failed};

/// Events read at once, so that a long session neither fills memory nor keeps appends waiting.
pub(super) const PAGE: usize = 256;

/// Matches that an ambiguous prefix names.
pub(super) const SHOWN_MATCHES: usize = 8;

/// Why a prefix names nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("nothing begins with `{0}`")]
    NoMatch(String),
    /// `matches` holds some of them.
    #[error("`{prefix}` may mean {}", matches.join(" or "))]
    Ambiguous { prefix: String, matches: Vec<String> },
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// One session in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    pub session: SessionId,
    pub name: Option<String>,
    /// The session and turn that it goes on from.
    pub parent: Option<(SessionId, TurnId)>,
    pub model: String,
    pub opened_at_ms: u64,
    pub last_at_ms: u64,
    /// What the first turn asked.
    pub first_text: Option<String>,
    /// How the last closed turn ended; `None` while the first is open.
    pub last_outcome: Option<TurnOutcome>,
}

/// A commit that has begun and not ended.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) session: SessionId,
    pub(crate) change_set: ChangeSetId,
    pub(crate) changes: ChangeSet,
    /// The directory that it goes to.
    pub(crate) place: String,
}

pub(super) const EVENT: &str = "SELECT sequence, session, recorded_at_ms, body FROM events";

impl Journal {
    /// Returns the events of one session, in order.
    pub fn events(&self, session: &SessionId) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        self.for_each(session, |event| events.push(event))?;
        Ok(events)
    }

    /// Feeds the events of one session to `take`, in order, page by page; appends go on in between.
    pub fn for_each(&self, session: &SessionId, take: impl FnMut(Event)) -> Result<()> {
        self.for_each_after(session, 0, take)
    }

    /// Feeds those after `sequence`.
    pub fn for_each_after(&self, session: &SessionId, sequence: u64, mut take: impl FnMut(Event)) -> Result<()> {
        // A limit that is bound has SQLite plan the query anew each time.
        let query = format!("{EVENT} WHERE session = ?1 AND sequence > ?2 ORDER BY sequence LIMIT {PAGE}");
        let mut after = sequence.cast_signed();
        loop {
            let page = self.select(&query, params![session.as_str(), after])?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.sequence.cast_signed();
            page.into_iter().for_each(&mut take);
        }
    }

    /// Returns at most `limit` events after `sequence`, of every session, in order.
    pub fn tail(&self, sequence: u64, limit: usize) -> Result<Vec<Event>> {
        let query = format!("{EVENT} WHERE sequence > ?1 ORDER BY sequence LIMIT ?2");
        self.select(&query, params![sequence.cast_signed(), count(limit)])
    }

    /// Returns at most `limit` sessions, the last used first.
    pub fn sessions(&self, limit: usize) -> Result<Vec<SessionSummary>> {
        const SESSIONS: &str = "SELECT sequence, session, recorded_at_ms, body, \
            (SELECT max(sequence) FROM events AS last WHERE last.session = opened.session) AS latest \
            FROM events AS opened WHERE kind = 'session_opened' ORDER BY latest DESC LIMIT ?1";
        let opened = self.select(SESSIONS, [count(limit)])?;
        opened.into_iter().map(|opened| self.summary(opened)).collect()
    }

    fn summary(&self, opened: Event) -> Result<SessionSummary> {
        let of_kind =
            |order: &str| format!("{EVENT} WHERE session = ?1 AND kind = ?2 ORDER BY sequence {order} LIMIT 1");
        let session = opened.session.as_str();
        let first = self.select_one(&of_kind("ASC"), [session, "turn_opened"])?;
        let closed = self.select_one(&of_kind("DESC"), [session, "turn_closed"])?;
        let last = self.select_one(&format!("{EVENT} WHERE session = ?1 ORDER BY sequence DESC LIMIT 1"), [session])?;
        let (model, parent) = match opened.body {
            EventBody::SessionOpened { model, .. } => (model, None),
            EventBody::SessionForked { model, parent, turn, .. } => (model, Some((parent, turn))),
            _ => (String::new(), None),
        };
        Ok(SessionSummary {
            name: self.name(&opened.session)?,
            parent,
            model,
            opened_at_ms: opened.recorded_at_ms,
            last_at_ms: last.map_or(opened.recorded_at_ms, |last| last.recorded_at_ms),
            first_text: first.and_then(|event| match event.body {
                EventBody::TurnOpened { text, .. } => Some(text),
                _ => None,
            }),
            last_outcome: closed.and_then(|event| match event.body {
                EventBody::TurnClosed { outcome, .. } => Some(outcome),
                _ => None,
            }),
            session: opened.session,
        })
    }

    /// Returns the one session whose identifier begins with `prefix`.
    pub fn find_session(&self, prefix: &str) -> std::result::Result<SessionId, LookupError> {
        const IDS: &str = "SELECT DISTINCT session FROM events \
            WHERE kind = 'session_opened' AND session >= ?1 AND session < ?2 LIMIT ?3";
        self.find(IDS, prefix)
    }

    pub(super) fn find<T: std::str::FromStr>(&self, query: &str, prefix: &str) -> std::result::Result<T, LookupError> {
        // Every character of an identifier comes before DEL.
        let end = format!("{prefix}\u{7f}");
        let mut matches: Vec<String> =
            self.rows(query, params![prefix, end, count(SHOWN_MATCHES)], |row| row.get(0))?;
        let no_match = || LookupError::NoMatch(prefix.to_owned());
        match matches.len() {
            0 => Err(no_match()),
            1 => matches.remove(0).parse().map_err(|_| no_match()),
            _ => Err(LookupError::Ambiguous { prefix: prefix.to_owned(), matches }),
        }
    }

    /// Returns the commits that have begun and not ended, the oldest first.
    pub(crate) fn unfinished(&self) -> Result<Vec<Unfinished>> {
        const INTENTS: &str = "SELECT events.sequence, session, recorded_at_ms, body, coalesce(place, '') \
            FROM unfinished JOIN events ON events.sequence = unfinished.intent ORDER BY intent";
        let rows = self.rows(INTENTS, [], |row| Ok((Stored::of(row)?, row.get::<_, String>(4)?)))?;
        let mut unfinished = Vec::new();
        for (stored, place) in rows {
            let event = self.event(&stored)?;
            if let EventBody::CommitIntended { change_set, changes, .. } = event.body {
                unfinished.push(Unfinished { session: event.session, change_set, changes, place });
            }
        }
        Ok(unfinished)
    }

    /// Returns a small content, if it is kept here and is what its hash says.
    pub(crate) fn content(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>> {
        const CONTENT: &str = "SELECT bytes FROM contents WHERE hash = ?1";
        let bytes = self.rows(CONTENT, [hash.as_str()], |row| row.get::<_, Vec<u8>>(0))?.pop();
        match bytes {
            Some(bytes) if ContentHash::of(&bytes) != *hash => {
                let reason = format!("the content {hash} is not what its hash says");
                Err(JournalError::Damaged { path: self.path.clone(), reason })
            }
            bytes => Ok(bytes),
        }
    }

    /// Tells whether a small content is kept here.
    pub(crate) fn has_content(&self, hash: &ContentHash) -> Result<bool> {
        let found = self.rows("SELECT 1 FROM contents WHERE hash = ?1", [hash.as_str()], |_| Ok(()))?;
        Ok(!found.is_empty())
    }

    pub(super) fn select(&self, query: &str, params: impl Params) -> Result<Vec<Event>> {
        let rows = self.rows(query, params, Stored::of)?;
        rows.into_iter().map(|stored| self.event(&stored)).collect()
    }

    pub(super) fn select_one(&self, query: &str, params: impl Params) -> Result<Option<Event>> {
        Ok(self.select(query, params)?.pop())
    }

    pub(super) fn rows<T>(
        &self,
        query: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let writer = self.writer();
        #[cfg(test)]
        plans::note(&writer.connection, query);
        rows(&writer.connection, query, params, read).map_err(|error| failed(&self.path, &error))
    }

    fn event(&self, stored: &Stored) -> Result<Event> {
        let sequence = stored.sequence.cast_unsigned();
        let unreadable = |reason: String| JournalError::Unreadable { path: self.path.clone(), sequence, reason };
        Ok(Event {
            sequence,
            session: stored.session.parse().map_err(|error: protocol::InvalidId| unreadable(error.to_string()))?,
            recorded_at_ms: stored.recorded_at_ms.cast_unsigned(),
            body: serde_json::from_str(&stored.body).map_err(|error| unreadable(error.to_string()))?,
        })
    }
}

/// One row as it is stored.
struct Stored {
    sequence: i64,
    session: String,
    recorded_at_ms: i64,
    body: String,
}

impl Stored {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { sequence: row.get(0)?, session: row.get(1)?, recorded_at_ms: row.get(2)?, body: row.get(3)? })
    }
}

fn rows<T>(
    connection: &Connection,
    query: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(query)?;
    statement.query_map(params, read)?.collect()
}

/// Returns a limit as `SQLite` counts.
pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// How `SQLite` goes about each query, so that a test can see that none reads the whole journal.
#[cfg(test)]
pub(crate) mod plans {
    use std::cell::RefCell;

    use rusqlite::Connection;

    type Plans = Vec<(String, Vec<String>)>;

    thread_local!(static PLANS: RefCell<Option<Plans>> = const { RefCell::new(None) });

    pub(crate) fn note(connection: &Connection, query: &str) {
        PLANS.with_borrow_mut(|plans| {
            let Some(plans) = plans else { return };
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            // Parameters that are not bound are NULL, which a plan does not ask for.
            let mut rows = statement.raw_query();
            let mut plan = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                plan.push(row.get(3).unwrap());
            }
            plans.push((query.to_owned(), plan));
        });
    }

    pub(crate) fn record(work: impl FnOnce()) -> Plans {
        PLANS.set(Some(Vec::new()));
        work();
        PLANS.take().unwrap()
    }
}
