//! Questions to a person, with their answers, as the journal has them.

use protocol::{ApprovalAnswer, ApprovalId, ApprovalRequest, ApprovalSubject, Event, EventBody, SessionId};
use rusqlite::params;

use super::read::{EVENT, SHOWN_MATCHES};
use super::{Journal, LookupError, Result};

/// The kinds of events that tell of questions. Decisions are of a kind only where they carry an answer.
const KINDS: &str = "('approval_asked', 'approval_answered', 'approval_revoked', 'call_decided', 'commit_decided')";

/// One question and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRecord {
    pub approval: ApprovalId,
    pub session: SessionId,
    pub asked_at_ms: u64,
    /// The number of the event that asked.
    pub asked_at: u64,
    pub request: ApprovalRequest,
    pub answer: Option<ApprovalAnswer>,
    /// The answer was acted on; it is not good for a second time.
    pub used: bool,
    /// What was remembered is asked about again.
    pub revoked: bool,
}

/// What may follow from a question now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalState {
    /// It waits for an answer.
    Open,
    /// A yes that was not used yet.
    Allowed,
    /// A no that was not used yet.
    Refused,
    /// Too late to answer, or to use the answer.
    Expired,
    Used,
}

impl ApprovalRecord {
    /// Returns where the question stands at `now_ms`, milliseconds since the Unix epoch.
    pub fn state(&self, now_ms: u64) -> ApprovalState {
        match self.answer {
            _ if self.used => ApprovalState::Used,
            Some(ApprovalAnswer { allowed: false, .. }) => ApprovalState::Refused,
            _ if now_ms >= self.request.expires_at_ms => ApprovalState::Expired,
            Some(_) => ApprovalState::Allowed,
            None => ApprovalState::Open,
        }
    }

    /// Tells whether this is the question that `request` asks: the same step of the same call with the same digest.
    pub fn is_of(&self, request: &ApprovalRequest) -> bool {
        let ApprovalRequest { call, tool, subject, digest, .. } = &self.request;
        (call, tool, subject, digest) == (&request.call, &request.tool, &request.subject, &request.digest)
    }

    /// Tells whether the answer lasts for the rest of the session.
    pub fn is_remembered(&self) -> bool {
        !self.revoked && self.answer.is_some_and(|answer| answer.allowed && answer.remembered)
    }

    /// Tells whether `request` asks for nothing that a person did not allow for the rest of the session: the same tool, the
    /// same step, and no other effect. What names no path and no host is told apart by its arguments.
    pub fn covers(&self, request: &ApprovalRequest) -> bool {
        let own = &self.request;
        let same_step = std::mem::discriminant(&own.subject) == std::mem::discriminant(&request.subject);
        let once_only = own.subject == ApprovalSubject::Repeat;
        let named = request.effects.iter().any(|effect| effect != "run") || own.digest == request.digest;
        let known = request.effects.iter().all(|effect| own.effects.contains(effect));
        self.is_remembered() && own.tool == request.tool && same_step && !once_only && named && known
    }
}

impl Journal {
    /// Returns the questions of one session, in order.
    pub fn approvals(&self, session: &SessionId) -> Result<Vec<ApprovalRecord>> {
        let query = format!("{EVENT} WHERE session = ?1 AND kind IN {KINDS} ORDER BY sequence");
        Ok(records(self.select(&query, [session.as_str()])?))
    }

    /// Returns the question, `None` where there is none.
    pub fn approval(&self, id: &ApprovalId) -> Result<Option<ApprovalRecord>> {
        let Some(session) = self.session_of(id)? else { return Ok(None) };
        Ok(self.approvals(&session)?.into_iter().find(|record| record.approval == *id))
    }

    /// Returns the questions of the sessions that asked last, at most `limit` sessions, the latest question first.
    pub fn recent_approvals(&self, limit: usize) -> Result<Vec<ApprovalRecord>> {
        let query = format!(
            "{EVENT} WHERE sequence IN (SELECT max(sequence) FROM events WHERE kind = 'approval_asked' \
             GROUP BY session ORDER BY max(sequence) DESC LIMIT ?1)"
        );
        let asking = self.select(&query, [i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut records = Vec::new();
        for event in asking {
            records.extend(self.approvals(&event.session)?);
        }
        records.sort_by_key(|record| std::cmp::Reverse(record.asked_at_ms));
        Ok(records)
    }

    /// Tells whether the call that asked has ended, so that an answer is of no use any more.
    pub fn is_moot(&self, record: &ApprovalRecord) -> Result<bool> {
        let mut ended = false;
        self.for_each_after(&record.session, record.asked_at, |event| {
            ended |= matches!(&event.body, EventBody::CallFinished { call, .. } if *call == record.request.call);
        })?;
        Ok(ended)
    }

    /// Finds the question whose identifier begins with `prefix`.
    pub fn find_approval(&self, prefix: &str) -> std::result::Result<ApprovalId, LookupError> {
        let asked = self.select(&format!("{EVENT} WHERE kind = 'approval_asked' ORDER BY sequence"), params![])?;
        let ids = asked.into_iter().filter_map(|event| match event.body {
            EventBody::ApprovalAsked { approval, .. } => Some(approval),
            _ => None,
        });
        let mut found: Vec<_> = ids.filter(|id| id.as_str().starts_with(prefix)).collect();
        match (found.len(), found.pop()) {
            (1, Some(id)) => Ok(id),
            (_, None) => Err(LookupError::NoMatch(prefix.to_owned())),
            (_, Some(last)) => {
                let matches = found.iter().chain([&last]).take(SHOWN_MATCHES).map(ToString::to_string).collect();
                Err(LookupError::Ambiguous { prefix: prefix.to_owned(), matches })
            }
        }
    }

    fn session_of(&self, id: &ApprovalId) -> Result<Option<SessionId>> {
        let asked = self.select(&format!("{EVENT} WHERE kind = 'approval_asked' ORDER BY sequence DESC"), params![])?;
        let is_it = |event: &Event| matches!(&event.body, EventBody::ApprovalAsked { approval, .. } if approval == id);
        Ok(asked.into_iter().find(is_it).map(|event| event.session))
    }
}

fn records(events: Vec<Event>) -> Vec<ApprovalRecord> {
    let mut records: Vec<ApprovalRecord> = Vec::new();
    for event in events {
        match event.body {
            EventBody::ApprovalAsked { approval, request } => {
                let (session, asked_at_ms, asked_at) = (event.session, event.recorded_at_ms, event.sequence);
                let (answer, used, revoked) = (None, false, false);
                records.push(ApprovalRecord {
                    approval,
                    session,
                    asked_at_ms,
                    asked_at,
                    request,
                    answer,
                    used,
                    revoked,
                });
            }
            // The first answer counts, and one that came in time: whoever was later was told so.
            EventBody::ApprovalAnswered { approval, answer } => {
                change(&mut records, &approval, |record| {
                    let in_time = event.recorded_at_ms < record.request.expires_at_ms;
                    record.answer = record.answer.or(in_time.then_some(answer));
                });
            }
            EventBody::ApprovalRevoked { approval } => change(&mut records, &approval, |record| record.revoked = true),
            EventBody::CallDecided { decision, .. } | EventBody::CommitDecided { decision, .. } => {
                if let Some(approval) = decision.approval {
                    change(&mut records, &approval, |record| record.used = true);
                }
            }
            _ => {}
        }
    }
    records
}

fn change(records: &mut [ApprovalRecord], approval: &ApprovalId, change: impl FnOnce(&mut ApprovalRecord)) {
    if let Some(record) = records.iter_mut().find(|record| record.approval == *approval) {
        change(record);
    }
}
