//! Walks a directory to a depth, in sorted order, within a bound.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use kit::counted;

/// More entries than this are no overview; a subdirectory or `glob` is the better question.
const ENTRY_LIMIT: usize = 1000;
/// Names of one directory that are held to be sorted. Of a larger one, only some are seen.
const NAME_LIMIT: usize = 100_000;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Paths beneath the directory, marked by kind, in order.
    pub lines: Vec<String>,
    /// Names that were left out because they start with a dot.
    pub hidden: usize,
    /// Whether there was more than fits.
    pub cut: bool,
    /// Subdirectories that could not be read.
    pub unreadable: usize,
}

impl Listing {
    /// Returns what the lines do not say.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.cut {
            notes.push(format!("there are more than {ENTRY_LIMIT} entries; list a subdirectory or use `glob`"));
        }
        if self.hidden > 0 {
            let names = counted(self.hidden, "hidden name");
            let verb = if self.hidden == 1 { "is" } else { "are" };
            notes.push(format!("{names} {verb} not shown; pass `hidden` to see them"));
        }
        if self.unreadable > 0 {
            notes.push(format!("not every directory could be read: {} left out", self.unreadable));
        }
        notes
    }
}

/// Returns what `folder` holds down to `depth` levels.
pub fn list(folder: &Path, depth: usize, hidden: bool) -> io::Result<Listing> {
    let mut listing = Listing::default();
    descend(folder, "", depth, hidden, &mut listing)?;
    Ok(listing)
}

fn descend(folder: &Path, prefix: &str, depth: usize, hidden: bool, listing: &mut Listing) -> io::Result<()> {
    for entry in sorted(folder, listing)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !hidden && name.starts_with('.') {
            listing.hidden += 1;
            continue;
        }
        if listing.lines.len() == ENTRY_LIMIT {
            listing.cut = true;
            return Ok(());
        }
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        listing.lines.push(format!("{prefix}{name}{}", mark(&entry)));
        let deeper = is_directory && depth > 1;
        if deeper && descend(&entry.path(), &format!("{prefix}{name}/"), depth - 1, hidden, listing).is_err() {
            listing.unreadable += 1;
        }
    }
    Ok(())
}

fn sorted(folder: &Path, listing: &mut Listing) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(folder)?.take(NAME_LIMIT + 1).collect::<io::Result<Vec<_>>>()?;
    if entries.len() > NAME_LIMIT {
        listing.cut = true;
        entries.truncate(NAME_LIMIT);
    }
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

/// Returns what follows the name: what kind of entry it is.
fn mark(entry: &DirEntry) -> String {
    match entry.file_type() {
        Ok(kind) if kind.is_dir() => "/".into(),
        Ok(kind) if kind.is_symlink() => match fs::read_link(entry.path()) {
            Ok(target) => format!(" -> {}", target.display()),
            Err(_) => " -> ?".into(),
        },
        Ok(kind) if kind.is_file() => entry.metadata().map_or_else(|_| " (?)".into(), |metadata| size(metadata.len())),
        _ => " (special)".into(),
    }
}

fn size(bytes: u64) -> String {
    if bytes == 1 { " (1 byte)".into() } else { format!(" ({bytes} bytes)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_marked_to_the_depth() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("b/c/d")).unwrap();
        fs::write(root.join("b/z"), "12").unwrap();
        fs::write(root.join("a"), "1").unwrap();
        fs::write(root.join(".dot"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("b/z", root.join("link")).unwrap();
        let expected = Listing {
            lines: ["a (1 byte)", "b/", "b/c/", "b/z (2 bytes)", "link -> b/z"].map(Into::into).into(),
            hidden: 1,
            ..Listing::default()
        };
        assert_eq!(list(root, 2, false).unwrap(), expected);
        assert_eq!(list(root, 1, true).unwrap().lines, [".dot (0 bytes)", "a (1 byte)", "b/", "link -> b/z"]);
    }

    #[test]
    fn a_listing_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=ENTRY_LIMIT {
            fs::write(folder.path().join(format!("{number:05}")), "").unwrap();
        }
        let listing = list(folder.path(), 1, false).unwrap();
        assert_eq!((listing.lines.len(), listing.cut), (ENTRY_LIMIT, true));
    }
}
