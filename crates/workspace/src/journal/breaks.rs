//! What can be wrong with a journal, in plain words.

use std::fmt;

use serde::Serialize;

/// One place where a journal is not what was written, or not what was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Break {
    /// A record's content does not fit its hash and the record before.
    Altered { sequence: i64, session: String },
    /// Records are not there.
    Missing { from: i64, to: i64 },
    /// A record stands where another one belongs.
    Moved { sequence: i64, belongs_at: i64, session: String },
    /// The hashes fit each other, but not the one that was signed.
    Replaced { from: i64, to: i64 },
    /// The journal ends before what was signed.
    Cut { ends_at: i64, signed: i64 },
    /// A checkpoint is not there.
    CheckpointMissing { number: i64 },
    /// A checkpoint was altered: its signature is not one under what it says.
    CheckpointAltered { number: i64, sequence: i64 },
    /// A checkpoint was made with another key than this workspace's.
    CheckpointForeign { number: i64, sequence: i64, key: String },
    /// Another journal stands where one was signed.
    OtherJournal { signed: i64 },
    /// The journal that was signed is gone, and an empty one in its place.
    Gone { signed: i64 },
    /// The record of what was signed last is gone, so that a cut end would not be known.
    AnchorMissing,
    /// A kept content is not what its hash says.
    ContentAltered { hash: String },
    /// A content that a commit needs to be taken back or finished is not there.
    ContentMissing { sequence: i64, session: String, hash: String },
    /// The list of unfinished commits does not follow from the records.
    Unfinished { change_set: String },
    /// A session's kept view is not what its record says.
    ViewAltered { session: String },
    /// What stands on an account, or is reserved, does not follow from the records.
    Account { name: String },
    /// A table, index or trigger is not as it was made.
    Schema { name: String },
    /// The database itself is damaged.
    Damaged { reason: String },
}

impl Break {
    /// Tells whether the hashes still fit each other, so that a person who knows the reason may accept it.
    pub fn is_acceptable(&self) -> bool {
        matches!(
            self,
            Self::Cut { .. }
                | Self::OtherJournal { .. }
                | Self::Gone { .. }
                | Self::AnchorMissing
                | Self::ContentMissing { .. }
        )
    }
}

impl fmt::Display for Break {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { sequence, session } => write!(
                formatter,
                "record {sequence} of session {session} was altered, or the one before it replaced: its hash does not fit"
            ),
            Self::Missing { from, to } if from == to => write!(formatter, "record {from} is missing"),
            Self::Missing { from, to } => write!(formatter, "records {from} to {to} are missing"),
            Self::Moved { sequence, belongs_at, session } => write!(
                formatter,
                "the records are reordered: at {sequence} stands what belongs at {belongs_at}, of session {session}"
            ),
            Self::Replaced { from, to } => write!(
                formatter,
                "records between {from} and {to} were replaced: their hashes do not lead to what was signed at {to}"
            ),
            Self::Cut { ends_at, signed } => write!(
                formatter,
                "the end is cut off: the journal ends at record {ends_at}, and record {signed} was signed"
            ),
            Self::CheckpointMissing { number } => write!(formatter, "checkpoint {number} is missing"),
            Self::CheckpointAltered { number, sequence } => {
                write!(formatter, "checkpoint {number}, of record {sequence}, was altered: its signature is wrong")
            }
            Self::CheckpointForeign { number, sequence, key } => write!(
                formatter,
                "checkpoint {number}, of record {sequence}, was signed with another key than this workspace's: {key}"
            ),
            Self::OtherJournal { signed } => write!(
                formatter,
                "another journal stands here than the one of this workspace, of which record {signed} was signed last"
            ),
            Self::Gone { signed } => write!(
                formatter,
                "the journal of this workspace is gone: {signed} records were signed, and .boxagnts holds an empty one"
            ),
            Self::AnchorMissing => {
                write!(formatter, "what was signed last is not known any more: the anchor beside the key is gone")
            }
            Self::ContentAltered { hash } => write!(formatter, "the kept content {hash} was altered"),
            Self::ContentMissing { sequence, session, hash } => write!(
                formatter,
                "the content {hash}, which record {sequence} of session {session} names, is not kept any more"
            ),
            Self::Unfinished { change_set } => {
                write!(formatter, "the list of unfinished commits was altered: {change_set}")
            }
            Self::ViewAltered { session } => {
                write!(formatter, "the kept view of session {session} was altered; the session is replayed without it")
            }
            Self::Account { name } => {
                write!(formatter, "the account of {name} was altered: what stands on it is not what the records say")
            }
            Self::Schema { name } => write!(formatter, "`{name}` of the database is not as it was made"),
            Self::Damaged { reason } => write!(formatter, "the database is damaged: {reason}"),
        }
    }
}

/// Whether a journal is known here, and whole as far as opening it shows. Only `audit verify` reads all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// It is the one that was signed here, and is signed on.
    Signed,
    /// This machine has no folder for keys; the records are chained, not signed.
    Unsigned,
    /// This machine has no key for it: it came from elsewhere, or was never signed. Nothing is appended.
    Unknown,
    /// Nothing is appended.
    Broken { broken: Break },
}
