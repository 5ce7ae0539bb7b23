//! Writing a journal as one file that can be verified without the runtime: `verifier/FORMAT.md`.

use std::io::{self, Write};

use protocol::SessionId;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::Serialize;

use super::anchor::CheckpointText;
use super::chain::{Head, JournalId, Record, hex};
use super::checkpoint::Checkpoint;
use super::walk::{self, Entry};
use super::{Journal, JournalError, failed};

/// What the first line says.
const FORMAT: &str = "boxagnts journal 1";

/// Checkpoints that are read at once.
const PAGE: i64 = 256;

/// Why a journal cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the export cannot be written: {0}")]
    Io(#[from] io::Error),
    /// What cannot be read cannot be written either.
    #[error("record {0} cannot be read as it was written")]
    Unreadable(i64),
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    pub records: u64,
    pub checkpoints: u64,
    /// The last record, and its hash in hex: whoever keeps them knows later that the end is not cut off.
    pub ends_at: i64,
    pub head: String,
}

/// One line of the file.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Journal {
        format: &'a str,
        id: String,
        key: Option<String>,
    },
    Record(RecordLine<'a>),
    /// A record of a session that was not asked for: its place in the chain, and nothing of what it says.
    Digest {
        sequence: i64,
        digest: String,
        hash: String,
    },
    Checkpoint(CheckpointText),
    End {
        records: u64,
        checkpoints: u64,
        head: String,
    },
}

#[derive(Serialize)]
struct RecordLine<'a> {
    sequence: i64,
    session: &'a str,
    recorded_at_ms: i64,
    kind: Option<&'a str>,
    change_set: Option<&'a str>,
    undoes: Option<&'a str>,
    place: Option<&'a str>,
    /// The event's own JSON, as text: what was hashed are its bytes.
    body: &'a str,
    hash: String,
}

impl Journal {
    /// Writes the journal to `target`. With `sessions`, the records of others are there as digests only.
    pub fn export(&self, sessions: &[SessionId], target: &mut dyn Write) -> Result<Exported, ExportError> {
        let key = match &self.custody {
            Some(custody) => custody.look()?.key.map(|key| hex(&key.public())),
            None => None,
        };
        let writer = self.writer();
        let at = |error: rusqlite::Error| ExportError::Journal(failed(&self.path, &error));
        // One state of the journal, whoever appends meanwhile.
        let transaction = Transaction::new_unchecked(&writer.connection, TransactionBehavior::Deferred).map_err(at)?;
        let mut export = Export::new(&transaction, writer.id, sessions, target);
        export.line(&Line::Journal { format: FORMAT, id: writer.id.to_string(), key })?;
        let mut failure = None;
        walk::walk(&transaction, i64::MIN, |entry| {
            failure = export.record(entry).err();
            Ok(failure.is_none())
        })
        .map_err(at)?;
        match failure {
            Some(Stopped::Sql(error)) => Err(at(error)),
            Some(Stopped::Export(error)) => Err(error),
            None => export.end().map_err(|stopped| stopped.at(&self.path)),
        }
    }
}

/// Why an export stopped.
enum Stopped {
    Sql(rusqlite::Error),
    Export(ExportError),
}

impl Stopped {
    fn at(self, path: &std::path::Path) -> ExportError {
        match self {
            Self::Sql(error) => failed(path, &error).into(),
            Self::Export(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<ExportError> for Stopped {
    fn from(error: ExportError) -> Self {
        Self::Export(error)
    }
}

/// An export on its way.
struct Export<'a> {
    connection: &'a Connection,
    sessions: &'a [SessionId],
    target: &'a mut dyn Write,
    exported: Exported,
    /// The last checkpoint that was read, and those whose record has not come yet.
    number: i64,
    waiting: Vec<Checkpoint>,
}

impl<'a> Export<'a> {
    fn new(connection: &'a Connection, id: JournalId, sessions: &'a [SessionId], target: &'a mut dyn Write) -> Self {
        let head = hex(&Head::start(id).hash);
        let exported = Exported { records: 0, checkpoints: 0, ends_at: 0, head };
        Self { connection, sessions, target, exported, number: -1, waiting: Vec::new() }
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), ExportError> {
        let text = serde_json::to_string(line).expect("a line is plain data");
        Ok(writeln!(self.target, "{text}")?)
    }

    fn record(&mut self, entry: &Entry<'_>) -> Result<(), Stopped> {
        self.checkpoints_before(entry.sequence)?;
        let unreadable = || ExportError::Unreadable(entry.sequence);
        let (record, hash) = (entry.record.ok_or_else(unreadable)?, entry.hash.ok_or_else(unreadable)?);
        let hash = hex(&hash);
        (self.exported.ends_at, self.exported.head) = (entry.sequence, hash.clone());
        self.exported.records += 1;
        let line = if self.is_asked_for(&record) {
            Line::Record(record_line(entry.sequence, &record, hash).ok_or_else(unreadable)?)
        } else {
            Line::Digest { sequence: entry.sequence, digest: hex(&record.digest()), hash }
        };
        Ok(self.line(&line)?)
    }

    fn is_asked_for(&self, record: &Record<'_>) -> bool {
        self.sessions.is_empty() || self.sessions.iter().any(|session| session.as_str().as_bytes() == record.session)
    }

    /// Writes the checkpoints of records before `sequence`.
    fn checkpoints_before(&mut self, sequence: i64) -> Result<(), Stopped> {
        loop {
            if self.waiting.is_empty() {
                let page = walk::checkpoints(self.connection, self.number, PAGE)?;
                self.number = page.last().map_or(self.number, |(number, _)| *number);
                self.waiting = page.into_iter().rev().filter_map(|(_, checkpoint)| checkpoint).collect();
            }
            let Some(checkpoint) = self.waiting.pop_if(|checkpoint| checkpoint.sequence < sequence) else {
                return Ok(());
            };
            self.exported.checkpoints += 1;
            self.line(&Line::Checkpoint((&checkpoint).into()))?;
        }
    }

    fn end(mut self) -> Result<Exported, Stopped> {
        self.checkpoints_before(i64::MAX)?;
        let Exported { records, checkpoints, ref head, .. } = self.exported;
        let head = head.clone();
        self.line(&Line::End { records, checkpoints, head })?;
        self.target.flush().map_err(ExportError::Io)?;
        Ok(self.exported)
    }
}

fn record_line<'a>(sequence: i64, record: &Record<'a>, hash: String) -> Option<RecordLine<'a>> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
    let optional = |bytes: Option<&'a [u8]>| bytes.map_or(Some(None), |bytes| text(bytes).map(Some));
    Some(RecordLine {
        sequence,
        session: text(record.session)?,
        recorded_at_ms: record.recorded_at_ms,
        kind: optional(record.kind)?,
        change_set: optional(record.change_set)?,
        undoes: optional(record.undoes)?,
        place: optional(record.place)?,
        body: text(record.body)?,
        hash,
    })
}
