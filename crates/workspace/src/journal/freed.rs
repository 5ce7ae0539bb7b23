//! What of the contents is needed still, and freeing the rest.
//!
//! An event in the chain says what is freed before any of it goes, so that a content that is not there is either said to
//! be freed or a damage.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{CallId, ContentHash, Event, EventBody, HeldChanges, Node, SessionId, Taped, TurnOutcome};
use rusqlite::{Row, params};

use super::read::{EVENT, PAGE, count};
use super::{Durability, Journal, Result, failed};

/// What the journal says of one content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// When something needed it last: a commit, or a call whose whole result it is.
    pub(crate) last_at_ms: u64,
    /// The last event that needs it.
    pub(crate) sequence: u64,
    /// The sessions whose commits and calls need it.
    pub(crate) sessions: BTreeSet<SessionId>,
    /// Calls whose whole result it is.
    pub(crate) results: BTreeSet<CallId>,
}

impl Need {
    fn add(&mut self, event: &Event) {
        self.last_at_ms = self.last_at_ms.max(event.recorded_at_ms);
        self.sequence = self.sequence.max(event.sequence);
        self.sessions.insert(event.session.clone());
    }
}

/// The contents that anything recorded refers to.
pub(crate) type Needs = BTreeMap<ContentHash, Need>;

impl Journal {
    /// Returns every content that a commit or a whole result refers to. It reads the whole journal.
    pub(crate) fn needs(&self) -> Result<Needs> {
        let mut needs = Needs::new();
        self.each_where("kind = 'commit_intended'", |event| {
            let EventBody::CommitIntended { changes, .. } = &event.body else { return };
            for hash in changes.changes.iter().flat_map(|change| [&change.before, &change.after]).filter_map(content) {
                needs.entry(hash.clone()).or_default().add(event);
            }
        })?;
        self.each_where("instr(body, '\"full_output\":\"') > 0", |event| {
            let EventBody::CallFinished { call, full_output: Some(hash), .. } = &event.body else { return };
            let need = needs.entry(hash.clone()).or_default();
            need.add(event);
            need.results.insert(call.clone());
        })?;
        // Each body begins with its type.
        self.each_where("body LIKE '{\"type\":\"call_taped\"%'", |event| {
            let EventBody::CallTaped { taped: Taped::Kept { tape, contents }, .. } = &event.body else { return };
            for hash in contents.iter().chain([tape]) {
                needs.entry(hash.clone()).or_default().add(event);
            }
        })?;
        self.each_where("kind IN ('call_held', 'changes_staged')", |event| {
            for hash in waiting(&event.body) {
                needs.entry(hash.clone()).or_default().add(event);
            }
        })?;
        Ok(needs)
    }

    /// Tells whether `session` ever staged changes that were to be committed later.
    pub(crate) fn has_staged(&self, session: &SessionId) -> Result<bool> {
        const STAGED: &str = "SELECT 1 FROM events WHERE session = ?1 AND kind = 'changes_staged' LIMIT 1";
        Ok(!self.rows(STAGED, [session.as_str()], |_| Ok(()))?.is_empty())
    }

    fn each_where(&self, condition: &str, mut take: impl FnMut(&Event)) -> Result<()> {
        let query = format!("{EVENT} WHERE {condition} AND sequence > ?1 ORDER BY sequence LIMIT ?2");
        let mut after = 0;
        loop {
            let page = self.select(&query, params![after, count(PAGE)])?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.sequence.cast_signed();
            page.iter().for_each(&mut take);
        }
    }

    /// Returns the small contents with their sizes in bytes.
    pub(crate) fn content_sizes(&self) -> Result<Vec<(ContentHash, u64)>> {
        let rows = self.rows("SELECT hash, length(bytes) FROM contents", [], |row| {
            Ok((row.get::<_, String>(0)?, whole(row, 1)?))
        })?;
        Ok(rows.into_iter().filter_map(|(hash, size)| Some((hash.parse().ok()?, size))).collect())
    }

    /// Returns the bytes of the small contents.
    pub(crate) fn content_bytes(&self) -> Result<u64> {
        self.number("SELECT coalesce(sum(length(bytes)), 0) FROM contents")
    }

    /// Returns the bytes of the database that hold anything: at least what the small contents take.
    pub(crate) fn used_bytes(&self) -> Result<u64> {
        let (pages, free) = (self.number("PRAGMA page_count")?, self.number("PRAGMA freelist_count")?);
        Ok(pages.saturating_sub(free).saturating_mul(self.number("PRAGMA page_size")?))
    }

    fn number(&self, query: &str) -> Result<u64> {
        Ok(self.rows(query, [], |row| whole(row, 0))?.first().copied().unwrap_or(0))
    }

    /// Returns the contents that are said to be freed, with the event that says so.
    pub(crate) fn freed(&self) -> Result<BTreeMap<ContentHash, u64>> {
        let rows =
            self.rows("SELECT hash, sequence FROM freed", [], |row| Ok((row.get::<_, String>(0)?, whole(row, 1)?)))?;
        Ok(rows.into_iter().filter_map(|(hash, sequence)| Some((hash.parse().ok()?, sequence))).collect())
    }

    /// Returns when a content was freed, in milliseconds since the Unix epoch, if it was.
    pub(crate) fn freed_at(&self, hash: &ContentHash) -> Result<Option<u64>> {
        const FREED: &str = "SELECT recorded_at_ms FROM freed JOIN events USING (sequence) WHERE freed.hash = ?1";
        Ok(self.rows(FREED, [hash.as_str()], |row| whole(row, 0))?.pop())
    }

    /// Tells whether nothing of `session` can go on: its last turn is done, or it never had one.
    pub(crate) fn is_finished(&self, session: &SessionId) -> Result<bool> {
        let last = |kind: &str| {
            let query = format!("{EVENT} WHERE session = ?1 AND kind = ?2 ORDER BY sequence DESC LIMIT 1");
            self.select_one(&query, [session.as_str(), kind])
        };
        let Some(opened) = last("turn_opened")? else { return Ok(true) };
        let is_done = |event: &Event| matches!(event.body, EventBody::TurnClosed { outcome: TurnOutcome::Done, .. });
        Ok(last("turn_closed")?.is_some_and(|closed| closed.sequence > opened.sequence && is_done(&closed)))
    }

    /// Returns every session.
    pub(crate) fn session_ids(&self) -> Result<Vec<SessionId>> {
        const IDS: &str = "SELECT session FROM events WHERE kind = 'session_opened'";
        let ids = self.rows(IDS, [], |row| row.get::<_, String>(0))?;
        Ok(ids.into_iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Returns when something of `session` was recorded last.
    pub(crate) fn last_used_ms(&self, session: &SessionId) -> Result<Option<u64>> {
        const LAST: &str = "SELECT recorded_at_ms FROM events WHERE session = ?1 ORDER BY sequence DESC LIMIT 1";
        Ok(self.rows(LAST, [session.as_str()], |row| whole(row, 0))?.pop())
    }

    /// Records that these are about to be freed.
    pub(crate) fn say_freed(
        &self,
        session: &SessionId,
        contents: Vec<ContentHash>,
        folders: Vec<SessionId>,
        bytes: u64,
    ) -> Result<()> {
        self.append(session, &[EventBody::ContentsFreed { contents, folders, bytes }], Durability::Power)?;
        Ok(())
    }

    /// Takes small contents away that are said to be freed; the database refuses any other.
    pub(crate) fn remove_contents(&self, contents: &[ContentHash]) -> Result<()> {
        self.write(Durability::Process, |pen| {
            let mut statement = pen.transaction().prepare_cached("DELETE FROM contents WHERE hash = ?1")?;
            for hash in contents {
                statement.execute([hash.as_str()])?;
            }
            Ok(Vec::new())
        })?;
        Ok(())
    }

    /// Gives room that is free within the file back to the system, where that is most of it. Another process that
    /// writes at this moment keeps it from that, and then the next time does.
    pub(crate) fn give_back(&self) -> Result<()> {
        let (pages, free) = (self.number("PRAGMA page_count")?, self.number("PRAGMA freelist_count")?);
        if free * 2 < pages {
            return Ok(());
        }
        match self.writer().connection.execute_batch("VACUUM").map_err(|error| failed(&self.path, &error)) {
            Err(super::JournalError::Busy { .. }) => Ok(()),
            vacuumed => vacuumed,
        }
    }
}

/// Reads a count of which the database knows that it is not negative.
fn whole(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// Returns the contents that wait for an answer or a commit.
fn waiting(body: &EventBody) -> Vec<&ContentHash> {
    match body {
        EventBody::CallHeld { held, .. } => held.changes.iter().flat_map(changed).chain([&held.text]).collect(),
        EventBody::ChangesStaged { staged, .. } => changed(staged).collect(),
        _ => Vec::new(),
    }
}

fn changed(held: &HeldChanges) -> impl Iterator<Item = &ContentHash> {
    held.changes.changes.iter().filter_map(|change| content(&change.after))
}

fn content(node: &Node) -> Option<&ContentHash> {
    match node {
        Node::File { hash, .. } => Some(hash),
        _ => None,
    }
}
