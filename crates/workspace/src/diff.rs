//! Change sets as unified text, in git's form, harmless on a terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read;

use protocol::{Change, ChangeSet, ContentHash, Node};
use serde::Serialize;
use similar::{Algorithm, ChangeTag, TextDiff};
use stage::StageError;

use crate::commit::CommitError;
use crate::text::{block_for_terminal, for_terminal};

/// Bytes of one side that are compared line by line; nobody reads a longer one, and comparing is not linear.
const MAX_FILE_BYTES: u64 = 512 << 10;

/// Lines of one side that are compared, for the same reasons.
const MAX_FILE_LINES: usize = 10_000;

/// Lines that are shown of one file.
const MAX_SHOWN_LINES: usize = 1_000;

/// Bytes of text altogether: a prompt or a page that a person still goes through.
const MAX_TEXT_BYTES: usize = 512 << 10;

/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 3;

/// Why a change set cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A content is missing or damaged, or the mount is not there.
    #[error(transparent)]
    Content(#[from] CommitError),
    #[error("a content cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

type Result<T> = std::result::Result<T, DiffError>;

/// Opens a content: by hash, or for what stands before also by the path it stands at.
pub(crate) type Open<'a> = dyn FnMut(&ContentHash, Option<&str>) -> Result<Box<dyn Read>> + 'a;

/// Returns how `after` differs from `before`, as unified text that is harmless on a terminal; empty where they do not.
pub fn diff_texts(before: &str, after: &str) -> String {
    if before.len().max(after.len()) as u64 > MAX_FILE_BYTES {
        return format!("(not compared: {} and {} bytes)", before.len(), after.len());
    }
    let difference = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(before, after);
    block_for_terminal(&difference.unified_diff().context_radius(CONTEXT_LINES).to_string())
}

/// Returns `changes` as text.
pub(crate) fn unified(changes: &ChangeSet, open: &mut Open<'_>) -> Result<String> {
    let by_path: BTreeMap<&str, &Change> =
        changes.changes.iter().map(|change| (change.path.as_str(), change)).collect();
    let origin = |change: &Change| {
        let from = by_path.get(change.renamed_from.as_deref()?)?;
        (change.before == Node::Absent && from.after == Node::Absent).then_some(*from)
    };
    let moved: BTreeSet<&str> =
        changes.changes.iter().filter_map(|change| Some(origin(change)?.path.as_str())).collect();
    let mut text = String::new();
    let shown: Vec<&Change> = changes.changes.iter().filter(|change| !moved.contains(change.path.as_str())).collect();
    for (at, change) in shown.iter().enumerate() {
        if text.len() > MAX_TEXT_BYTES {
            let _ = writeln!(text, "[{} more changes]", shown.len() - at);
            break;
        }
        let entry = Entry { mount: &changes.mount, change, from: origin(change) };
        text.push_str(&entry.text(open)?);
    }
    Ok(text)
}

/// Lines that one change added and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LineCount {
    pub added: usize,
    pub removed: usize,
}

/// Returns what each change adds and removes, in order; `None` of what is not compared line by line.
pub(crate) fn line_counts(changes: &ChangeSet, open: &mut Open<'_>) -> Result<Vec<Option<LineCount>>> {
    let count = |change: &Change| {
        let sides = (side(&change.before, Some(&change.path), open)?, side(&change.after, None, open)?);
        Ok(match sides {
            (Side::Text(was), Side::Text(is)) => Some(counted(&was, &is)),
            _ => None,
        })
    };
    changes.changes.iter().map(count).collect()
}

fn counted(was: &str, is: &str) -> LineCount {
    let diff = TextDiff::configure().algorithm(Algorithm::Histogram).diff_lines(was, is);
    let of = |tag: ChangeTag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    LineCount { added: of(ChangeTag::Insert), removed: of(ChangeTag::Delete) }
}

/// One change as it is shown.
struct Entry<'a> {
    mount: &'a str,
    change: &'a Change,
    /// What it was renamed from.
    from: Option<&'a Change>,
}

/// A side of a change: text to compare, empty where nothing is, or something that is only named.
enum Side {
    Text(String),
    Opaque,
}

impl Entry<'_> {
    fn before(&self) -> (&Node, &str) {
        let change = self.from.unwrap_or(self.change);
        (&change.before, &change.path)
    }

    fn text(&self, open: &mut Open<'_>) -> Result<String> {
        let ((before, before_path), (after, after_path)) =
            (self.before(), (&self.change.after, self.change.path.as_str()));
        let (old, new) = (self.label("a", before_path), self.label("b", after_path));
        let mut text = format!("diff --git {old} {new}\n");
        self.headers(&mut text);
        let sides = (side(before, Some(before_path), open)?, side(after, None, open)?);
        let (was, is) = (size(before), size(after));
        match sides {
            (Side::Text(was), Side::Text(is)) => {
                let old = if *before == Node::Absent { "/dev/null" } else { &old };
                let new = if *after == Node::Absent { "/dev/null" } else { &new };
                text.push_str(&hunks(&was, &is, old, new));
            }
            _ if same_content(before, after) => {}
            _ if *before == Node::Absent => drop(writeln!(text, "Binary or large file {new} ({is} bytes)")),
            _ if *after == Node::Absent => drop(writeln!(text, "Binary or large file {old} ({was} bytes)")),
            _ => drop(writeln!(text, "Binary or large files {old} and {new} differ ({was} to {is} bytes)")),
        }
        Ok(text)
    }

    /// Paths of the workspace stand as they are, so that the text applies as a patch there; others name their mount.
    fn label(&self, side: &str, path: &str) -> String {
        match self.mount {
            "/work" => for_terminal(&format!("{side}/{path}")),
            mount => for_terminal(&format!("{side}{mount}/{path}")),
        }
    }

    fn headers(&self, text: &mut String) {
        let (before, after) = (self.before().0, &self.change.after);
        let _ = match (mode(before), mode(after)) {
            (None, Some(mode)) => writeln!(text, "new {} mode {mode:06o}", kind(after)),
            (Some(mode), None) => writeln!(text, "deleted {} mode {mode:06o}", kind(before)),
            (Some(old), Some(new)) if old != new => writeln!(text, "old mode {old:06o}\nnew mode {new:06o}"),
            _ => Ok(()),
        };
        if let Some(from) = self.from {
            let (old, new) = (for_terminal(&from.path), for_terminal(&self.change.path));
            let _ = writeln!(text, "rename from {old}\nrename to {new}");
        }
    }
}

/// Returns the mode as git writes it.
fn mode(node: &Node) -> Option<u32> {
    match node {
        Node::Absent => None,
        Node::File { mode, .. } => Some(0o100_000 | mode),
        Node::Directory { mode } => Some(0o040_000 | mode),
        Node::Symlink { .. } => Some(0o120_000),
    }
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Directory { .. } => "directory",
        Node::Symlink { .. } => "symlink",
        Node::Absent | Node::File { .. } => "file",
    }
}

/// Returns a file's size in bytes.
fn size(node: &Node) -> u64 {
    match node {
        Node::File { size, .. } => *size,
        _ => 0,
    }
}

fn same_content(before: &Node, after: &Node) -> bool {
    matches!((before, after), (Node::File { hash: was, .. }, Node::File { hash: is, .. }) if was == is)
}

fn side(node: &Node, path: Option<&str>, open: &mut Open<'_>) -> Result<Side> {
    let (hash, size) = match node {
        Node::Absent | Node::Directory { .. } => return Ok(Side::Text(String::new())),
        Node::Symlink { target } => return Ok(Side::Text(target.clone())),
        Node::File { hash, size, .. } => (hash, *size),
    };
    if size > MAX_FILE_BYTES {
        return Ok(Side::Opaque);
    }
    let mut bytes = Vec::new();
    open(hash, path)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') && text.lines().count() <= MAX_FILE_LINES => Side::Text(text),
        _ => Side::Opaque,
    })
}

fn hunks(was: &str, is: &str, old: &str, new: &str) -> String {
    if was == is {
        return String::new();
    }
    let diff = TextDiff::configure().algorithm(Algorithm::Histogram).diff_lines(was, is);
    let text = diff.unified_diff().context_radius(CONTEXT_LINES).header(old, new).to_string();
    // The header was made harmless before; doing it twice changes nothing.
    cut(&block_for_terminal(&text))
}

/// Cuts what is shown of one file.
fn cut(text: &str) -> String {
    let Some((end, _)) = text.match_indices('\n').nth(MAX_SHOWN_LINES - 1) else { return text.to_owned() };
    let left = text[end + 1..].lines().count();
    if left == 0 { text.to_owned() } else { format!("{}\n[{left} more lines]\n", &text[..end]) }
}

#[cfg(test)]
mod tests;
