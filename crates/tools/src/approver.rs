//! Who is asked when policy says ask.

use async_trait::async_trait;
use policy::Answer;

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
}

/// Answers questions. It sees what is asked and gives nothing by itself: the permit stays with the question.
#[async_trait]
pub trait Approver: Send + Sync {
    async fn ask(&self, asked: Asked<'_>) -> Answer;

    /// Asks whether an extension may have what it asks for: a yes lasts until it wants more.
    async fn trust(&self, _asked: Asked<'_>) -> Answer {
        Answer::Unattended
    }
}

/// Nobody is there: what would ask is denied.
#[derive(Debug, Clone, Copy)]
pub struct Unattended;

#[async_trait]
impl Approver for Unattended {
    async fn ask(&self, _: Asked<'_>) -> Answer {
        Answer::Unattended
    }
}
