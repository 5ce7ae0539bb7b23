//! The lines of an export, and that each is written in the one way that there is.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Journal(Header),
    Record(Record),
    Digest(LeftOut),
    Checkpoint(Checkpoint),
    End(End),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    format: Format,
    pub(crate) id: String,
    pub(crate) key: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "boxagnts journal 1")]
    First,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) sequence: i64,
    pub(crate) session: String,
    pub(crate) recorded_at_ms: i64,
    pub(crate) kind: Option<String>,
    pub(crate) change_set: Option<String>,
    pub(crate) undoes: Option<String>,
    pub(crate) place: Option<String>,
    pub(crate) body: String,
    pub(crate) hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeftOut {
    pub(crate) sequence: i64,
    pub(crate) digest: String,
    pub(crate) hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    pub(crate) number: i64,
    pub(crate) sequence: i64,
    pub(crate) hash: String,
    pub(crate) signed_at_ms: i64,
    pub(crate) key: String,
    pub(crate) signature: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) records: u64,
    pub(crate) checkpoints: u64,
    pub(crate) head: String,
}

/// Reads a line with its line feed. What says the same in other bytes is refused, so that every byte counts.
pub(crate) fn parse(text: &[u8]) -> Result<Line, Why> {
    let line: Line = serde_json::from_slice(text)?;
    let mut written = serde_json::to_vec(&line)?;
    written.push(b'\n');
    if written == text { Ok(line) } else { Err(Why::OtherBytes) }
}

/// Why a line is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("the same could be said in other bytes")]
    OtherBytes,
}
