//! Change sets: which there are, what they belong to, and which of them are in effect.

use std::collections::BTreeSet;

use protocol::{CallId, ChangeSet, ChangeSetId, CommitOutcome, Event, EventBody, SessionId, TurnId};
use rusqlite::params;

use super::read::{EVENT, LookupError, PAGE, SHOWN_MATCHES, count};
use super::{Journal, Result};

/// What became of a change set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeSetState {
    /// Intended, not finished: a commit is under way, or was interrupted.
    Intended,
    Ended(CommitOutcome),
    /// Committed, then taken back by this change set, which is in effect itself.
    Undone {
        by: ChangeSetId,
    },
}

/// What a change set was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeSetRole {
    /// A call made it.
    Change,
    /// It takes others back.
    Undo,
    /// It takes an undo back.
    Redo,
}

/// One change set as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSetRecord {
    pub change_set: ChangeSetId,
    pub session: SessionId,
    pub call: Option<CallId>,
    pub intended_at_ms: u64,
    pub changes: ChangeSet,
    /// What it takes back, in the order in which that was in effect.
    pub undoes: Vec<ChangeSetId>,
    pub role: ChangeSetRole,
    /// What calls made and this undoes or redoes in the end.
    pub of: Vec<ChangeSetId>,
    /// The paths that it left as they were, because they had changed since.
    pub spared: Vec<String>,
    pub state: ChangeSetState,
    /// Its place in the journal.
    pub sequence: u64,
    /// The place of the commit that brought it into effect last: its own, or that of a redo.
    pub effective: u64,
}

impl ChangeSetRecord {
    /// Tells whether it was committed, and not taken back since.
    pub fn is_in_effect(&self) -> bool {
        self.state == ChangeSetState::Ended(CommitOutcome::Committed)
    }
}

/// What can be named to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undoable {
    ChangeSet(ChangeSetId),
    Call(SessionId, CallId),
    Turn(SessionId, TurnId),
    Session(SessionId),
}

impl std::fmt::Display for Undoable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ChangeSet(id) => write!(formatter, "change set {id}"),
            Self::Call(_, id) => write!(formatter, "call {id}"),
            Self::Turn(_, id) => write!(formatter, "turn {id}"),
            Self::Session(id) => write!(formatter, "session {id}"),
        }
    }
}

impl Journal {
    /// Returns the one change set, call, turn or session whose identifier begins with `prefix`, or the session of that
    /// name.
    pub fn find_undoable(&self, prefix: &str) -> std::result::Result<Undoable, LookupError> {
        if let Some(session) = self.named(prefix)? {
            return Ok(Undoable::Session(session));
        }
        // No two things have the same identifier, and calls are found slowest.
        if let Some(set) = prefix.parse().ok().map(|id| self.change_set(&id)).transpose()?.flatten() {
            return Ok(Undoable::ChangeSet(set.change_set));
        }
        let found = [
            one(self.find_change_set(prefix).map(Undoable::ChangeSet))?,
            one(self.find_call(prefix).map(|(session, call)| Undoable::Call(session, call)))?,
            one(self.find_turn(prefix).map(|(session, turn)| Undoable::Turn(session, turn)))?,
            one(self.find_session(prefix).map(Undoable::Session))?,
        ];
        let mut found: Vec<Undoable> = found.into_iter().flatten().collect();
        match found.len() {
            0 => Err(LookupError::NoMatch(prefix.to_owned())),
            1 => Ok(found.remove(0)),
            _ => {
                let matches = found.iter().map(ToString::to_string).collect();
                Err(LookupError::Ambiguous { prefix: prefix.to_owned(), matches })
            }
        }
    }

    /// Returns the one turn whose identifier begins with `prefix`, with its session.
    fn find_turn(&self, prefix: &str) -> std::result::Result<(SessionId, TurnId), LookupError> {
        let no_match = || LookupError::NoMatch(prefix.to_owned());
        // Anything else is no beginning of an identifier, and could be more than a text to look for.
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(no_match());
        }
        let query = format!("{EVENT} WHERE kind = 'turn_opened' AND instr(body, ?1) > 0 LIMIT ?2");
        let opened = self.select(&query, params![format!("\"turn\":\"{prefix}"), count(SHOWN_MATCHES)])?;
        let turn = |event: Event| match event.body {
            EventBody::TurnOpened { turn, .. } if turn.as_str().starts_with(prefix) => Some((event.session, turn)),
            _ => None,
        };
        let mut turns: Vec<(SessionId, TurnId)> = opened.into_iter().filter_map(turn).collect();
        match turns.len() {
            0 => Err(no_match()),
            1 => Ok(turns.remove(0)),
            _ => {
                let matches = turns.iter().map(|(_, turn)| turn.to_string()).collect();
                Err(LookupError::Ambiguous { prefix: prefix.to_owned(), matches })
            }
        }
    }

    /// Returns the one change set whose identifier begins with `prefix`.
    pub fn find_change_set(&self, prefix: &str) -> std::result::Result<ChangeSetId, LookupError> {
        const IDS: &str = "SELECT DISTINCT change_set FROM events \
            WHERE kind = 'commit_intended' AND change_set >= ?1 AND change_set < ?2 LIMIT ?3";
        self.find(IDS, prefix)
    }

    /// Returns what belongs to `of`, the oldest first: the change set itself, or all that the calls of it were about to
    /// commit.
    pub fn change_sets_of(&self, of: &Undoable) -> Result<Vec<ChangeSetRecord>> {
        let sets = match of {
            Undoable::ChangeSet(id) => return Ok(self.change_set(id)?.into_iter().collect()),
            Undoable::Call(session, call) => {
                let mut sets = self.change_sets_between(session, 0, u64::MAX)?;
                sets.retain(|set| set.call.as_ref() == Some(call));
                sets
            }
            Undoable::Turn(session, turn) => {
                let (from, to) = self.span(session, turn)?;
                self.change_sets_between(session, from, to)?
            }
            Undoable::Session(session) => self.change_sets_between(session, 0, u64::MAX)?,
        };
        Ok(sets.into_iter().filter(|set| set.role == ChangeSetRole::Change).collect())
    }

    fn change_sets_between(&self, session: &SessionId, from: u64, to: u64) -> Result<Vec<ChangeSetRecord>> {
        let query = format!(
            "{EVENT} WHERE session = ?1 AND kind = 'commit_intended' AND sequence >= ?2 AND sequence < ?3 ORDER BY sequence"
        );
        let to = i64::try_from(to).unwrap_or(i64::MAX);
        self.records(self.select(&query, params![session.as_str(), from.cast_signed(), to])?)
    }

    /// Returns where `turn` begins, and where the next one does.
    fn span(&self, session: &SessionId, turn: &TurnId) -> Result<(u64, u64)> {
        let query = format!("{EVENT} WHERE session = ?1 AND kind = 'turn_opened' ORDER BY sequence");
        let opened = self.select(&query, [session.as_str()])?;
        let is_turn = |event: &Event| matches!(&event.body, EventBody::TurnOpened { turn: id, .. } if id == turn);
        let Some(at) = opened.iter().position(is_turn) else { return Ok((0, 0)) };
        Ok((opened[at].sequence, opened.get(at + 1).map_or(u64::MAX, |next| next.sequence)))
    }

    /// Returns at most `limit` change sets that were about to be committed, the newest first.
    pub fn change_sets(&self, limit: usize) -> Result<Vec<ChangeSetRecord>> {
        let query = format!("{EVENT} WHERE kind = 'commit_intended' ORDER BY sequence DESC LIMIT ?1");
        self.records(self.select(&query, [count(limit)])?)
    }

    /// Returns the change sets that were about to be committed after `sequence`, the newest first.
    pub(crate) fn change_sets_after(&self, sequence: u64) -> Result<Vec<ChangeSetRecord>> {
        let query = format!("{EVENT} WHERE kind = 'commit_intended' AND sequence > ?1 ORDER BY sequence DESC");
        self.records(self.select(&query, [sequence.cast_signed()])?)
    }

    /// Returns the set of this role that came into effect last of those that are in effect.
    pub fn last_in_effect(&self, role: ChangeSetRole) -> Result<Option<ChangeSetRecord>> {
        let query = format!("{EVENT} WHERE kind = 'commit_intended' AND sequence < ?1 ORDER BY sequence DESC LIMIT ?2");
        let mut before = i64::MAX;
        loop {
            let page = self.select(&query, params![before, count(PAGE)])?;
            let Some(last) = page.last() else { return Ok(None) };
            before = last.sequence.cast_signed();
            for intent in page {
                let Some(set) = self.record(intent)?.filter(ChangeSetRecord::is_in_effect) else { continue };
                if set.role == role {
                    // What a redo brought back later was met with the redo.
                    return Ok(Some(set));
                }
                if role == ChangeSetRole::Change
                    && set.role == ChangeSetRole::Redo
                    && let Some(back) = self.last_brought_back(&set)?
                {
                    return Ok(Some(back));
                }
            }
        }
    }

    /// Returns the last of the sets that `redo` brought back and that are in effect still.
    fn last_brought_back(&self, redo: &ChangeSetRecord) -> Result<Option<ChangeSetRecord>> {
        let mut last: Option<ChangeSetRecord> = None;
        for id in &redo.of {
            let set = self.change_set(id)?.filter(ChangeSetRecord::is_in_effect);
            last = last.into_iter().chain(set).max_by_key(|set| (set.effective, set.sequence));
        }
        Ok(last)
    }

    /// Returns the change set called `id`, if one was ever about to be committed.
    pub fn change_set(&self, id: &ChangeSetId) -> Result<Option<ChangeSetRecord>> {
        let query = format!("{EVENT} WHERE change_set = ?1 AND kind = 'commit_intended'");
        match self.select_one(&query, [id.as_str()])? {
            Some(intent) => self.record(intent),
            None => Ok(None),
        }
    }

    /// Tells whether a commit of `id` ended, intended or not.
    pub(crate) fn has_ended(&self, id: &ChangeSetId) -> Result<bool> {
        Ok(self.outcome(id)?.is_some())
    }

    fn records(&self, intents: Vec<Event>) -> Result<Vec<ChangeSetRecord>> {
        intents.into_iter().filter_map(|intent| self.record(intent).transpose()).collect()
    }

    fn record(&self, intent: Event) -> Result<Option<ChangeSetRecord>> {
        let EventBody::CommitIntended { change_set, call, changes, undoes } = intent.body else { return Ok(None) };
        let (state, effective) = match self.outcome(&change_set)? {
            None => (ChangeSetState::Intended, intent.sequence),
            Some(CommitOutcome::Committed) => self.undone(&change_set, intent.sequence)?,
            Some(outcome) => (ChangeSetState::Ended(outcome), intent.sequence),
        };
        let undoes = self.all_undone(&change_set, undoes)?;
        let (role, of) = self.origins(&undoes, intent.sequence)?;
        let spared = if undoes.is_empty() { Vec::new() } else { self.spared(&change_set)? };
        let (session, intended_at_ms, sequence) = (intent.session, intent.recorded_at_ms, intent.sequence);
        let record = ChangeSetRecord {
            change_set,
            session,
            call,
            intended_at_ms,
            changes,
            undoes,
            role,
            of,
            spared,
            state,
            sequence,
            effective,
        };
        Ok(Some(record))
    }

    /// Returns the state of a committed set, and the place of the commit that brought it into effect. It is undone while
    /// the set that took it back is in effect, which that one is unless it was taken back itself, and so on.
    fn undone(&self, of: &ChangeSetId, sequence: u64) -> Result<(ChangeSetState, u64)> {
        let ended = ChangeSetState::Ended(CommitOutcome::Committed);
        let Some((by, mut effective)) = self.undo_of(of)? else { return Ok((ended, sequence)) };
        let (mut undone, mut last) = (true, by.clone());
        while let Some((next, at)) = self.undo_of(&last)? {
            (undone, last, effective) = (!undone, next, at);
        }
        Ok((if undone { ChangeSetState::Undone { by } } else { ended }, effective))
    }

    /// Returns the last committed set that took `of` back, with its place. An undo comes after what it takes back, so a
    /// chain ends.
    fn undo_of(&self, of: &ChangeSetId) -> Result<Option<(ChangeSetId, u64)>> {
        const UNDOES: &str = "SELECT undo.sequence, undo.change_set \
            FROM events AS undo, events AS undone WHERE undo.undoes = ?1 AND undone.change_set = ?1 \
            AND undone.kind = 'commit_intended' AND undo.sequence > undone.sequence ORDER BY undo.sequence DESC";
        let undoing = self.rows(UNDOES, [of.as_str()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        for (sequence, change_set) in undoing {
            let Ok(change_set) = change_set.parse::<ChangeSetId>() else { continue };
            if self.outcome(&change_set)? == Some(CommitOutcome::Committed) {
                return Ok(Some((change_set, sequence.cast_unsigned())));
            }
        }
        Ok(None)
    }

    /// Returns what `change_set` takes back: what its intent names, and what was named beside it.
    fn all_undone(&self, change_set: &ChangeSetId, first: Option<ChangeSetId>) -> Result<Vec<ChangeSetId>> {
        let Some(first) = first else { return Ok(Vec::new()) };
        let query = format!("{EVENT} WHERE change_set = ?1 AND kind = 'undo_extended' ORDER BY sequence");
        let more = self.select(&query, [change_set.as_str()])?.into_iter().filter_map(|event| match event.body {
            EventBody::UndoExtended { undoes, .. } => Some(undoes),
            _ => None,
        });
        Ok(std::iter::once(first).chain(more).collect())
    }

    /// Returns what a set that takes `undoes` back was made for, and what calls made at the end of these chains.
    fn origins(&self, undoes: &[ChangeSetId], sequence: u64) -> Result<(ChangeSetRole, Vec<ChangeSetId>)> {
        let (mut depth, mut level, mut before) = (0_u32, undoes.to_vec(), sequence);
        while let Some(first) = level.first() {
            depth += 1;
            let Some((earlier, at)) = self.taken_back_by(first)? else { break };
            // Each takes back what was there before it, so this ends.
            if earlier.is_empty() || at >= before {
                break;
            }
            before = at;
            let (mut deeper, mut seen) = (Vec::new(), BTreeSet::new());
            for id in &level {
                let taken_back = self.taken_back_by(id)?.unwrap_or_default().0;
                deeper.extend(taken_back.into_iter().filter(|id| seen.insert(id.clone())));
            }
            level = deeper;
        }
        let role = match depth {
            0 => ChangeSetRole::Change,
            depth if depth % 2 == 1 => ChangeSetRole::Undo,
            _ => ChangeSetRole::Redo,
        };
        Ok((role, level))
    }

    fn taken_back_by(&self, id: &ChangeSetId) -> Result<Option<(Vec<ChangeSetId>, u64)>> {
        let query = format!("{EVENT} WHERE change_set = ?1 AND kind = 'commit_intended'");
        let Some(intent) = self.select_one(&query, [id.as_str()])? else { return Ok(None) };
        let EventBody::CommitIntended { undoes, .. } = intent.body else { return Ok(None) };
        Ok(Some((self.all_undone(id, undoes)?, intent.sequence)))
    }

    fn spared(&self, change_set: &ChangeSetId) -> Result<Vec<String>> {
        let query = format!("{EVENT} WHERE change_set = ?1 AND kind = 'undo_spared'");
        let events = self.select(&query, [change_set.as_str()])?.into_iter();
        let paths = events.filter_map(|event| match event.body {
            EventBody::UndoSpared { paths, .. } => Some(paths),
            _ => None,
        });
        Ok(paths.flatten().collect())
    }

    fn outcome(&self, id: &ChangeSetId) -> Result<Option<CommitOutcome>> {
        let query =
            format!("{EVENT} WHERE change_set = ?1 AND kind = 'commit_finished' ORDER BY sequence DESC LIMIT 1");
        let event = self.select_one(&query, [id.as_str()])?;
        Ok(event.and_then(|event| match event.body {
            EventBody::CommitFinished { outcome, .. } => Some(outcome),
            _ => None,
        }))
    }
}

/// Returns what a lookup found; nothing is no failure where another kind may be meant.
fn one<T>(found: std::result::Result<T, LookupError>) -> std::result::Result<Option<T>, LookupError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(LookupError::NoMatch(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
