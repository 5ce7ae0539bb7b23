//! Sessions beside their events: what they are called, what they go on from, and where their turns begin and end.

use protocol::{Event, EventBody, SessionId, TurnId};
use rusqlite::params;

use super::read::{EVENT, LookupError, PAGE, count};
use super::{Journal, JournalError, Result};

/// Characters of a name: one line of a list.
const MAX_NAME_CHARS: usize = 64;

/// A name that no session can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to {MAX_NAME_CHARS} characters, in one line, with no space at its ends")]
pub struct InvalidName;

/// A part of a session's story: the events of `session` up to the one numbered `through`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    pub session: SessionId,
    pub through: u64,
}

/// One turn of a session's story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnPlace {
    pub turn: TurnId,
    /// Where it was made, with its last event: the session itself, or one that it goes on from.
    pub chapter: Chapter,
    pub is_closed: bool,
}

/// A text in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    pub session: SessionId,
    pub turn: TurnId,
    pub at_ms: u64,
    /// The line that holds it.
    pub line: String,
}

/// Returns `name` when a session can be called that.
pub fn session_name(name: &str) -> std::result::Result<&str, InvalidName> {
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count());
    let plain = name.trim() == name && !name.chars().any(char::is_control);
    (fits && plain).then_some(name).ok_or(InvalidName)
}

impl Journal {
    /// Returns what `session` consists of: the sessions that it goes on from, the first of all first, then itself.
    pub fn story(&self, session: &SessionId) -> Result<Vec<Chapter>> {
        let mut chapters = vec![Chapter { session: session.clone(), through: i64::MAX.cast_unsigned() }];
        let mut before = u64::MAX;
        while let Some(opened) = self.opening(&chapters[0].session)? {
            let EventBody::SessionForked { parent, through, .. } = opened.body else { break };
            // Each goes on from what was there before it, so this ends.
            if through >= opened.sequence || opened.sequence >= before {
                return Err(self.unreadable(opened.sequence, "a session goes on from what comes later"));
            }
            before = opened.sequence;
            chapters.insert(0, Chapter { session: parent, through });
        }
        Ok(chapters)
    }

    /// Feeds the whole story of `session` to `take`, page by page: what it goes on from, then its own events.
    pub fn for_each_told(&self, session: &SessionId, mut take: impl FnMut(Event)) -> Result<()> {
        for chapter in self.story(session)? {
            self.read_chapter(&chapter, 0, &mut take)?;
        }
        Ok(())
    }

    /// Feeds the last `turns` turns of `session`'s own to `take`; nothing before them is read.
    pub fn for_each_of_last(&self, session: &SessionId, turns: usize, mut take: impl FnMut(Event)) -> Result<()> {
        const BEGINNING: &str = "SELECT sequence FROM events WHERE session = ?1 AND kind = 'turn_opened' \
                                 ORDER BY sequence DESC LIMIT 1 OFFSET ?2";
        let offset = count(turns.saturating_sub(1));
        let begins: Vec<i64> = self.rows(BEGINNING, params![session.as_str(), offset], |row| row.get(0))?;
        let after = begins.first().map_or(0, |begins| begins.saturating_sub(1).cast_unsigned());
        let chapter = Chapter { session: session.clone(), through: i64::MAX.cast_unsigned() };
        self.read_chapter(&chapter, after, &mut take)
    }

    /// Feeds the events of one chapter after `after` to `take`.
    pub(crate) fn read_chapter(&self, chapter: &Chapter, after: u64, take: &mut impl FnMut(Event)) -> Result<()> {
        let query =
            format!("{EVENT} WHERE session = ?1 AND sequence > ?2 AND sequence <= ?3 ORDER BY sequence LIMIT {PAGE}");
        let mut after = after.cast_signed();
        loop {
            let through = chapter.through.cast_signed();
            let page = self.select(&query, params![chapter.session.as_str(), after, through])?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.sequence.cast_signed();
            page.into_iter().for_each(&mut *take);
        }
    }

    /// Returns every turn of `session`'s story, in order.
    pub fn turns(&self, session: &SessionId) -> Result<Vec<TurnPlace>> {
        let mut turns: Vec<TurnPlace> = Vec::new();
        for chapter in self.story(session)? {
            self.turns_of(&chapter, &mut turns)?;
        }
        Ok(turns)
    }

    fn turns_of(&self, chapter: &Chapter, turns: &mut Vec<TurnPlace>) -> Result<()> {
        const MARKS: &str = "SELECT sequence, session, recorded_at_ms, body FROM events WHERE session = ?1 \
            AND kind IN ('turn_opened', 'turn_closed') AND sequence <= ?2 ORDER BY sequence";
        for mark in self.select(MARKS, params![chapter.session.as_str(), chapter.through.cast_signed()])? {
            let here = Chapter { session: chapter.session.clone(), through: mark.sequence };
            match mark.body {
                EventBody::TurnOpened { turn, .. } => {
                    turns.push(TurnPlace { turn, chapter: here, is_closed: false });
                }
                EventBody::TurnClosed { turn, .. } => {
                    if let Some(known) = turns.iter_mut().rev().find(|known| known.turn == turn) {
                        (known.chapter, known.is_closed) = (here, true);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns what `session` is called, if somebody named it.
    pub fn name(&self, session: &SessionId) -> Result<Option<String>> {
        const NAME: &str = "SELECT sequence, session, recorded_at_ms, body FROM events \
            WHERE session = ?1 AND kind = 'session_named' ORDER BY sequence DESC LIMIT 1";
        let named = self.select(NAME, [session.as_str()])?.pop();
        Ok(named.and_then(|event| match event.body {
            EventBody::SessionNamed { name } => Some(name),
            _ => None,
        }))
    }

    /// Returns the session that is called `name`.
    pub fn named(&self, name: &str) -> Result<Option<SessionId>> {
        const NAMES: &str = "SELECT DISTINCT session FROM events WHERE kind = 'session_named'";
        let sessions: Vec<String> = self.rows(NAMES, [], |row| row.get(0))?;
        for session in sessions.iter().filter_map(|session| session.parse().ok()) {
            if self.name(&session)?.as_deref() == Some(name) {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    /// Returns the one session that is called `name`, or whose identifier begins with it.
    pub fn find_session_or_name(&self, name: &str) -> std::result::Result<SessionId, LookupError> {
        match self.named(name)? {
            Some(session) => Ok(session),
            None => self.find_session(name),
        }
    }

    /// Returns at most `limit` lines of tasks and replies that hold `text` in whatever case, the newest first. It reads the
    /// journal from its end.
    pub fn search(&self, text: &str, limit: usize) -> Result<Vec<Passage>> {
        let wanted = text.to_lowercase();
        let mut found = Vec::new();
        self.for_each_backwards(|event| {
            if let Some((turn, told)) = told(&event.body)
                && let Some(line) = told.lines().find(|line| line.to_lowercase().contains(&wanted))
            {
                let (session, at_ms, line) = (event.session.clone(), event.recorded_at_ms, line.trim().to_owned());
                found.push(Passage { session, turn: turn.clone(), at_ms, line });
            }
            found.len() < limit
        })?;
        Ok(found)
    }

    /// Feeds tasks and replies to `take`, the last first, until it has enough.
    fn for_each_backwards(&self, mut take: impl FnMut(&Event) -> bool) -> Result<()> {
        let query = format!(
            "{EVENT} WHERE sequence < ?1 AND (body LIKE '{{\"type\":\"turn_opened\"%' \
             OR body LIKE '{{\"type\":\"model_replied\"%') ORDER BY sequence DESC LIMIT ?2"
        );
        let mut before = i64::MAX;
        loop {
            let page = self.select(&query, params![before, count(PAGE)])?;
            let Some(last) = page.last() else { return Ok(()) };
            before = last.sequence.cast_signed();
            if !page.iter().all(&mut take) {
                return Ok(());
            }
        }
    }

    fn opening(&self, session: &SessionId) -> Result<Option<Event>> {
        const OPENING: &str = "SELECT sequence, session, recorded_at_ms, body FROM events \
            WHERE session = ?1 AND kind = 'session_opened' ORDER BY sequence LIMIT 1";
        Ok(self.select(OPENING, [session.as_str()])?.pop())
    }

    fn unreadable(&self, sequence: u64, reason: &str) -> JournalError {
        JournalError::Unreadable { path: self.path.clone(), sequence, reason: reason.to_owned() }
    }
}

/// Returns what a person or a model said in `body`.
fn told(body: &EventBody) -> Option<(&TurnId, String)> {
    match body {
        EventBody::TurnOpened { turn, text } => Some((turn, text.clone())),
        EventBody::ModelReplied { turn, reply, .. } => Some((turn, reply.text())),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
