//! Layer: beside the tool interface, above the disk. Verb: REMEMBERS.
//!
//! Keeps what must outlive a process: the append-only [`Journal`], the [`Blobs`], the commits and undos of change sets,
//! what whole outputs said, the person's [`Config`] and [`SecretStore`]. `tools` commits and records here, `query` replays a session
//! from here, the command line shows it. It asks `stage` to read and write below a mount, and `policy` what a permit is for.
//!
//! Invariants: the journal only grows. No file of a mount changes before the intent to change it, and its contents
//! before and after, are on disk; whatever interrupts a commit, the next one to look finishes it or takes it back, and
//! what a person changed meanwhile is never overwritten.
//!
//! Deliberately absent: decisions, threads, tokio, git, printing, the environment. Time is a parameter.

#![warn(clippy::unwrap_used)]

mod account;
mod again;
mod basis;
mod blobs;
mod commit;
mod compose;
mod config;
mod diff;
mod exclude;
mod faults;
mod gc;
mod hold;
mod journal;
mod keep;
mod lease;
mod private;
mod projection;
mod secrets;
mod session_tmp;
mod settle;
mod state;
mod text;
mod undo;
mod workspace;

pub use account::{
    CallAccount, CommitAccount, JudgedAccount, NotKnown, Policy, ReplyAccount, RequestAccount, SessionAccount,
};
pub use again::{Again, Ruled, Subject, Unjudged, WhatIf};
pub use blobs::{BlobError, BlobReader, Blobs};
pub use commit::{Commit, CommitError, Committed, HeldCommit};
pub use config::cases::{CaseSpec, Cases, CasesPolicy, PolicyCase};
pub use config::retention::{InvalidSize, RetentionSpec, Size};
pub use config::{BudgetSpec, Config, ConfigError, InvalidBudget, MapDir, SpendingSpec, Time, Usd};
pub use diff::{DiffError, LineCount, diff_texts};
pub use gc::{Collected, Retention};
pub use hold::{Hold, Staging};
pub use journal::{
    ApprovalRecord, ApprovalState, Balance, Break, ChangeSetRecord, ChangeSetRole, ChangeSetState, Chapter, Durability,
    ExportError, Exported, Held, InvalidName, Journal, JournalError, JournalId, LookupError, Passage, SessionJournal,
    SessionSummary, Standing, TurnPlace, Undoable, Verification, session_name,
};
pub use lease::{LeaseError, SessionLease};
pub use projection::{Counted, FinishedCall, KeptView, PendingCall, SentRequest, SessionView, StagedView, TurnView};
pub use secrets::{
    InvalidValue, Kept, Keychain, KeychainError, Removed, SecretError, SecretService, SecretStore, Stored, StoredSecret,
};
pub use session_tmp::SessionTmp;
pub use text::{block_for_terminal, for_terminal};
pub use undo::{Obstacle, UndoPlan};
pub use workspace::{Mount, Opening, Workspace, WorkspaceError};

#[cfg(test)]
mod tests;
