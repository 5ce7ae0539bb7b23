//! Finding calls. They are looked up by people only, now and then, so they pay for no index: the journal is read from its
//! end, page by page.

use std::collections::BTreeMap;

use protocol::{CallId, Event, EventBody, SessionId};
use rusqlite::params;

use super::read::{EVENT, LookupError, PAGE, SHOWN_MATCHES, count};
use super::{Journal, Result};

impl Journal {
    /// Returns the one call whose identifier begins with `prefix`, with its session.
    pub fn find_call(&self, prefix: &str) -> std::result::Result<(SessionId, CallId), LookupError> {
        let no_match = || LookupError::NoMatch(prefix.to_owned());
        // Anything else is no beginning of an identifier, and could be more than a text to look for.
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(no_match());
        }
        let mut found: BTreeMap<CallId, SessionId> = BTreeMap::new();
        self.backwards(&format!("\"call\":\"{prefix}"), |event| {
            let calls = calls_of(&event).into_iter().filter(|call| call.as_str().starts_with(prefix));
            found.extend(calls.map(|call| (call.clone(), event.session.clone())));
            found.len() < SHOWN_MATCHES
        })?;
        let matches: Vec<String> = found.keys().map(ToString::to_string).collect();
        match found.pop_first() {
            None => Err(no_match()),
            Some((call, session)) if found.is_empty() => Ok((session, call)),
            Some(_) => Err(LookupError::Ambiguous { prefix: prefix.to_owned(), matches }),
        }
    }

    /// Returns the call that the journal tells of last, with its session.
    pub fn last_call(&self) -> Result<Option<(SessionId, CallId)>> {
        let mut last = None;
        self.backwards("\"call\":\"", |event| {
            last = calls_of(&event).into_iter().last().map(|call| (event.session.clone(), call.clone()));
            last.is_none()
        })?;
        Ok(last)
    }

    /// Feeds events whose text holds `text` to `take`, the last first, until it has enough.
    fn backwards(&self, text: &str, mut take: impl FnMut(Event) -> bool) -> Result<()> {
        let query = format!("{EVENT} WHERE sequence < ?1 AND instr(body, ?2) > 0 ORDER BY sequence DESC LIMIT ?3");
        let mut before = i64::MAX;
        loop {
            let page = self.select(&query, params![before, text, count(PAGE)])?;
            let Some(last) = page.last() else { return Ok(()) };
            before = last.sequence.cast_signed();
            for event in page {
                if !take(event) {
                    return Ok(());
                }
            }
        }
    }
}

/// Returns the calls that `event` is about.
fn calls_of(event: &Event) -> Vec<&CallId> {
    match &event.body {
        EventBody::ModelReplied { reply, .. } => reply.tool_calls().map(|proposal| &proposal.call).collect(),
        EventBody::CallProposed { proposal } => vec![&proposal.call],
        EventBody::CallDecided { call, .. }
        | EventBody::CallFinished { call, .. }
        | EventBody::CallHeld { call, .. }
        | EventBody::ChangesStaged { call, .. }
        | EventBody::CallTaped { call, .. }
        | EventBody::LookupStarted { call, .. }
        | EventBody::RequestDecided { call, .. }
        | EventBody::RequestFinished { call, .. } => vec![call],
        EventBody::ApprovalAsked { request, .. } => vec![&request.call],
        EventBody::CommitDecided { call, .. } | EventBody::CommitIntended { call, .. } => call.iter().collect(),
        EventBody::SessionOpened { .. }
        | EventBody::SessionForked { .. }
        | EventBody::SessionNamed { .. }
        | EventBody::TurnOpened { .. }
        | EventBody::TurnResumed { .. }
        | EventBody::TurnClosed { .. }
        | EventBody::ModelCalled { .. }
        | EventBody::ModelFailed { .. }
        | EventBody::ModelAbandoned { .. }
        | EventBody::RetryPlanned { .. }
        | EventBody::BoundsSet { .. }
        | EventBody::UnknownPriceAccepted { .. }
        | EventBody::ApprovalAnswered { .. }
        | EventBody::ChangesDiscarded { .. }
        | EventBody::CommitModeSet { .. }
        | EventBody::ApprovalRevoked { .. }
        | EventBody::Compacted { .. }
        | EventBody::ViewKept { .. }
        | EventBody::PolicyStated { .. }
        | EventBody::ToolStated { .. }
        | EventBody::UndoExtended { .. }
        | EventBody::UndoSpared { .. }
        | EventBody::CommitFinished { .. }
        | EventBody::ContentsFreed { .. } => Vec::new(),
    }
}
