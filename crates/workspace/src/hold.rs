//! Calls that wait: what they staged and what they return is kept, so that neither an answer nor a restart runs them again.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::time::SystemTime;

use policy::CommitPermit;
use protocol::{
    CallId, CallUsage, ChangeSet, ContentHash, EventBody, HeldCall, HeldChanges, Node, Observation, SessionId,
};
use stage::{Stage, StageError};

use crate::commit::CommitError;
use crate::journal::Durability;
use crate::keep::Keeper;
use crate::workspace::Workspace;

/// A call that ran and has to wait.
#[derive(Debug)]
pub struct Hold<'a> {
    pub session: &'a SessionId,
    pub call: &'a CallId,
    /// Each with the stage that has its contents.
    pub staged: Vec<(&'a Stage, HeldChanges)>,
    pub approved: bool,
    pub text: &'a str,
    pub summary: &'a str,
    pub usage: CallUsage,
    pub observed: Vec<Observation>,
    /// What else is known of it, with its contents.
    pub taped: (Option<EventBody>, Vec<(ContentHash, Vec<u8>)>),
}

/// What one call adds to what its session staged.
#[derive(Debug)]
pub struct Staging<'a> {
    pub session: &'a SessionId,
    pub call: &'a CallId,
    /// For `staged`.
    pub permit: CommitPermit,
    /// What the call changed, with the name that all that is staged in that mount has from now on.
    pub staged: HeldChanges,
    pub approved: BTreeSet<String>,
    /// Has the contents; `None` where they are kept already.
    pub stage: Option<&'a Stage>,
}

type Result<T> = std::result::Result<T, CommitError>;

impl Workspace {
    /// Keeps a call until a person answered, and flushes it. Blocks.
    pub fn hold(&self, call: Hold<'_>) -> Result<()> {
        // Until the event names them, nothing says that the contents are needed.
        let _lock = self.lock_commits()?;
        let mut keeper = Keeper::new(self.journal(), self.blobs());
        for (stage, held) in &call.staged {
            for change in &held.changes.changes {
                if let Node::File { hash, size, .. } = &change.after
                    && !keeper.keep(hash, *size, || Ok(Box::new(stage.content(hash)?)))?
                {
                    return Err(StageError::NoContent.into());
                }
            }
        }
        let text = ContentHash::of(call.text.as_bytes());
        let bytes = call.text.as_bytes().to_vec();
        keeper.keep(&text, bytes.len() as u64, || Ok(Box::new(Cursor::new(bytes))))?;
        let held = HeldCall {
            changes: call.staged.into_iter().map(|(_, changes)| changes).collect(),
            approved: call.approved,
            text,
            summary: call.summary.to_owned(),
            usage: call.usage,
            observed: call.observed,
        };
        let (taped, contents) = call.taped;
        for (hash, bytes) in contents {
            keeper.keep(&hash, bytes.len() as u64, || Ok(Box::new(Cursor::new(bytes))))?;
        }
        let bodies: Vec<_> = taped.into_iter().chain([EventBody::CallHeld { call: call.call.clone(), held }]).collect();
        self.journal().append_with(call.session, &bodies, &keeper.flush()?, Durability::Power)?;
        Ok(())
    }

    /// Adds what a call changed to what its session staged, and flushes it. Blocks.
    pub fn stage(&self, staging: Staging<'_>) -> Result<()> {
        let Staging { session, call, permit, staged, approved, stage } = staging;
        permit.redeem(&staged.changes)?;
        let _lock = self.lock_commits()?;
        let mut keeper = Keeper::new(self.journal(), self.blobs());
        for change in &staged.changes.changes {
            if let Node::File { hash, size, .. } = &change.after {
                let open = || match stage {
                    Some(stage) => Ok(Box::new(stage.content(hash)?) as Box<dyn Read>),
                    None => self.content(hash),
                };
                if !keeper.keep(hash, *size, open)? {
                    return Err(StageError::NoContent.into());
                }
            }
        }
        let body = EventBody::ChangesStaged { call: call.clone(), staged, approved };
        self.journal().append_with(session, &[body], &keeper.flush()?, Durability::Power)?;
        Ok(())
    }

    /// Stages what a session had staged before in a fresh `stage`, all of it as if written `at`.
    pub fn restage(&self, stage: &Stage, changes: &ChangeSet, at: SystemTime) -> Result<()> {
        let mut failure = None;
        let seeded = stage.seed(changes, at, |hash| {
            self.content(hash).map_err(|error| {
                failure = Some(error);
                StageError::NoContent
            })
        });
        seeded.map_err(|error| failure.unwrap_or_else(|| error.into()))
    }

    /// Returns the whole text of a call that was held.
    pub fn held_text(&self, held: &HeldCall) -> Result<String> {
        let mut text = String::new();
        self.content(&held.text)?.read_to_string(&mut text).map_err(StageError::from)?;
        Ok(text)
    }
}
