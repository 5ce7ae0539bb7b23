//! Verifies a journal that `boxagnts audit export` wrote, without the runtime: `FORMAT.md`.
//!
//! Verb: VERIFIES. Nobody of the product asks it, and it asks nobody.
//!
//! Deliberately absent: everything of the runtime. Two programs that read the format apart are what makes it one.

#![warn(clippy::unwrap_used)]

mod chain;
mod line;

use std::io::{self, BufRead, Read as _};

use chain::{Hash, digest, is_signed, link, start, unhex};
use line::{Checkpoint, Line, Record, parse};

/// Bytes of one line: more than any record has, and a bound on what is no export.
const MAX_LINE_BYTES: u64 = 256 << 20;

/// Findings that are told of; the others are counted.
const MAX_FINDINGS: usize = 100;

/// What is expected of a file, beside that it fits together.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The public key, in hex.
    pub key: Option<String>,
    /// The hash of the last record, in hex.
    pub head: Option<String>,
}

/// Why a file cannot be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("line {0} is no line of an exported journal, or not written as one: {1}")]
    Line(u64, String),
    #[error("the file does not begin with the journal's own line")]
    NoBeginning,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("record {0} was altered, or the one before it replaced: its hash does not fit")]
    Altered(i64),
    #[error("records {0} to {1} are missing")]
    Missing(i64, i64),
    #[error("the records are reordered: record {1} comes after record {0}")]
    Reordered(i64, i64),
    #[error("records up to {0} were replaced: their hashes do not lead to what was signed")]
    Replaced(i64),
    #[error("checkpoint {0} was altered: its signature is wrong")]
    BadSignature(i64),
    #[error("checkpoint {0} is missing")]
    CheckpointMissing(i64),
    #[error("checkpoint {0} does not stand behind the record that it signs, {1}")]
    CheckpointMisplaced(i64, i64),
    #[error("checkpoint {0} is by another key: {1}")]
    OtherKey(i64, String),
    #[error("the journal's key is {0}, and another one was expected")]
    UnexpectedKey(String),
    #[error("the last record's hash is {0}, and another one was expected")]
    UnexpectedHead(String),
    #[error("nothing is signed with the key that was expected")]
    NotSigned,
    #[error("the file ends before its end: it was cut off")]
    Cut,
    #[error("the file's end does not say what is in it")]
    WrongEnd,
    #[error("something follows the file's end")]
    AfterEnd,
}

/// What a file turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub journal: String,
    /// The public key that the file names, in hex.
    pub key: Option<String>,
    pub records: u64,
    pub checkpoints: u64,
    /// The last record that is signed with that key.
    pub signed_to: i64,
    pub ends_at: i64,
    pub head: String,
    pub findings: Vec<Finding>,
    pub more_findings: u64,
}

/// Verifies the export that `source` holds. Memory does not grow with it.
pub fn verify(source: &mut dyn BufRead, expected: &Expected) -> Result<Report, Unreadable> {
    let mut lines = Lines { source, number: 0 };
    let Some(Line::Journal(header)) = lines.next()? else { return Err(Unreadable::NoBeginning) };
    let id = unhex::<16>(&header.id).ok_or(Unreadable::NoBeginning)?;
    let mut check = Check::new(id, header.id, header.key);
    while let Some(line) = lines.next()? {
        check.take(line);
    }
    Ok(check.conclude(expected))
}

struct Lines<'a> {
    source: &'a mut dyn BufRead,
    number: u64,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<Line>, Unreadable> {
        let mut text = Vec::new();
        self.source.take(MAX_LINE_BYTES).read_until(b'\n', &mut text)?;
        self.number += 1;
        if text.is_empty() {
            return Ok(None);
        }
        let line = parse(&text).map_err(|why| Unreadable::Line(self.number, why.to_string()))?;
        Ok(Some(line))
    }
}

/// What is known while the lines go by.
struct Check {
    id: [u8; 16],
    report: Report,
    /// The last record's place and hash, as the file says them.
    sequence: i64,
    hash: Hash,
    /// What that hash should have been, if it does not fit.
    instead: Option<Hash>,
    /// The checkpoint that comes next.
    number: i64,
    own_seen: bool,
    is_replaced: bool,
    has_ended: bool,
}

impl Check {
    fn new(id: [u8; 16], journal: String, key: Option<String>) -> Self {
        let report = Report { journal, key, ..Report::default() };
        let hash = start(&id);
        Self {
            id,
            report,
            sequence: 0,
            hash,
            instead: None,
            number: 0,
            own_seen: false,
            is_replaced: false,
            has_ended: false,
        }
    }

    fn add(&mut self, finding: Finding) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        } else {
            self.report.more_findings += 1;
        }
    }

    fn take(&mut self, line: Line) {
        if self.has_ended {
            return self.add(Finding::AfterEnd);
        }
        match line {
            Line::Record(record) => self.record(&record),
            Line::Digest(left_out) => match (unhex(&left_out.digest), unhex(&left_out.hash)) {
                (Some(digest), Some(hash)) => self.link(left_out.sequence, digest, hash),
                _ => self.add(Finding::Altered(left_out.sequence)),
            },
            Line::Checkpoint(checkpoint) => self.checkpoint(&checkpoint),
            Line::End(end) => {
                self.has_ended = true;
                let counted = (self.report.records, self.report.checkpoints);
                if (end.records, end.checkpoints) != counted || unhex(&end.head) != Some(self.hash) {
                    self.add(Finding::WrongEnd);
                }
            }
            Line::Journal(_) => self.add(Finding::WrongEnd),
        }
    }

    fn record(&mut self, record: &Record) {
        match unhex(&record.hash) {
            Some(hash) => self.link(record.sequence, digest(record), hash),
            None => self.add(Finding::Altered(record.sequence)),
        }
    }

    /// Looks whether a record follows the one before, and goes on from the hash that the file says.
    fn link(&mut self, sequence: i64, digest: Hash, hash: Hash) {
        self.report.records += 1;
        let next = self.sequence.saturating_add(1);
        let computed = link(&self.hash, sequence, &digest);
        let fits = computed == hash || self.instead.is_some_and(|before| link(&before, sequence, &digest) == hash);
        self.instead = None;
        if sequence > next {
            self.add(Finding::Missing(next, sequence - 1));
        } else if sequence < next {
            self.add(Finding::Reordered(self.sequence, sequence));
        } else if !fits {
            self.add(Finding::Altered(sequence));
            self.instead = Some(computed);
        }
        (self.sequence, self.hash) = (sequence, hash);
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.report.checkpoints += 1;
        let number = checkpoint.number;
        if number != self.number {
            self.add(Finding::CheckpointMissing(self.number));
        }
        self.number = number.saturating_add(1);
        if !is_signed(&self.id, checkpoint) {
            return self.add(Finding::BadSignature(number));
        }
        let is_own = Some(&checkpoint.key) == self.report.key.as_ref();
        self.own_seen |= is_own;
        if !is_own && self.own_seen {
            self.add(Finding::OtherKey(number, checkpoint.key.clone()));
        }
        self.compare(checkpoint, is_own);
    }

    /// Compares what a checkpoint signs with the record before it.
    fn compare(&mut self, checkpoint: &Checkpoint, is_own: bool) {
        if checkpoint.sequence != self.sequence {
            return self.add(Finding::CheckpointMisplaced(checkpoint.number, checkpoint.sequence));
        }
        if unhex(&checkpoint.hash) == Some(self.hash) {
            self.report.signed_to = if is_own { self.sequence } else { self.report.signed_to };
        } else if !self.is_replaced {
            self.is_replaced = true;
            self.add(Finding::Replaced(checkpoint.sequence));
        }
    }

    fn conclude(mut self, expected: &Expected) -> Report {
        if !self.has_ended {
            self.add(Finding::Cut);
        }
        (self.report.ends_at, self.report.head) = (self.sequence, chain::hex(&self.hash));
        if self.report.key.is_some() && !self.own_seen {
            self.add(Finding::NotSigned);
        }
        if expected.key.is_some() && expected.key != self.report.key {
            let key = self.report.key.clone().unwrap_or_else(|| "none".to_owned());
            self.add(Finding::UnexpectedKey(key));
        }
        if expected.head.as_ref().is_some_and(|head| *head != self.report.head) {
            self.add(Finding::UnexpectedHead(self.report.head.clone()));
        }
        self.report
    }
}
