//! Who is asked when policy says ask.

use async_trait::async_trait;
use protocol::{ApprovalAnswer, ApprovalId};

/// What a person is asked, in full: an approval counts for exactly this.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub tool: &'a str,
    /// `write /work/.git/config`, one each.
    pub effects: &'a [String],
    pub rule: &'a str,
    pub reason: &'a str,
    /// The canonical arguments of a call, or the diff of a commit.
    pub detail: &'a str,
    /// What the call may use at most; empty where nothing runs.
    pub ceiling: &'a str,
    /// What the question is called, so that it can be answered from elsewhere too.
    pub approval: Option<&'a ApprovalId>,
    /// Whether a yes may last for the rest of the session.
    pub may_remember: bool,
}

/// What becomes of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attendance {
    /// A person is there; an answer from elsewhere counts as well.
    Present,
    /// Nobody is there, and somebody will come: a question waits, and the turn with it.
    Later,
    /// Nobody is there: what would ask is denied.
    Absent,
}

/// Answers questions. It sees what is asked and gives nothing by itself: the permit stays with the question.
#[async_trait]
pub trait Approver: Send + Sync {
    /// Says what becomes of questions; [`Self::ask`] is called only of whoever is present.
    fn attendance(&self) -> Attendance {
        Attendance::Present
    }

    /// Asks about a call or a commit. What is dropped before it answers was answered elsewhere, or is no longer asked.
    async fn ask(&self, asked: Asked<'_>) -> ApprovalAnswer;

    /// Asks whether an extension may have what it asks for: a yes lasts until it wants more. `None` where nobody is there.
    async fn trust(&self, _asked: Asked<'_>) -> Option<bool> {
        None
    }
}

/// What nobody was asked is not allowed.
const NO: ApprovalAnswer = ApprovalAnswer { allowed: false, remembered: false };

/// Nobody is there: what would ask is denied.
#[derive(Debug, Clone, Copy)]
pub struct Unattended;

#[async_trait]
impl Approver for Unattended {
    fn attendance(&self) -> Attendance {
        Attendance::Absent
    }

    async fn ask(&self, _: Asked<'_>) -> ApprovalAnswer {
        NO
    }
}

/// Nobody is there now: what would ask waits for an answer from elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Waiting;

#[async_trait]
impl Approver for Waiting {
    fn attendance(&self) -> Attendance {
        Attendance::Later
    }

    async fn ask(&self, _: Asked<'_>) -> ApprovalAnswer {
        NO
    }
}
