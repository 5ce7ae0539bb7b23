//! `ls`.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::Invocation;
use crate::clock;
use crate::facts::{Facts, Kind};
use crate::numbers::human;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop, complain, reason};
use crate::sort;

use super::MAX_DEPTH;

/// Exit code when an operand cannot be listed.
const FAILED: i32 = 2;
/// What is older than this is shown with its year.
const HALF_YEAR_SECONDS: i64 = 31_556_952 / 2;

const LS: Spec = Spec::new(
    "a/all A/almost-all l 1 R/recursive r/reverse t S U X v d/directory h/human-readable F/classify? p i/inode n/numeric-uid-gid \
     g o/no-group G C x m s/size k L/dereference H q Q/quote-name N/literal b/escape color? time-style= full-time sort= time= c u \
     B/ignore-backups I/ignore= hide= group-directories-first f w/width= T/tabsize= indicator-style= file-type Z/context \
     D/dired si block-size= quoting-style= zero",
)
.fails_with(FAILED);

pub(crate) fn ls(invocation: &mut Invocation<'_>) -> Outcome {
    let options = LS.parse(invocation.args)?;
    let mut listing = Listing::new(&options);
    let operands = if options.operands.is_empty() { vec!["."] } else { options.operands.clone() };
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for operand in &operands {
        let path = invocation.path(operand);
        // Only a long listing shows a link itself.
        let follow = listing.follow || !(listing.long || listing.classify || options.has("d"));
        let facts = Facts::read(&path, follow).or_else(|_| Facts::read(&path, false));
        match facts {
            Ok(facts) if facts.kind == Kind::Folder && !options.has("d") => {
                folders.push(Entry::new(operand, &path, facts));
            }
            Ok(facts) => files.push(Entry::new(operand, &path, facts)),
            Err(error) => {
                complain(invocation, format_args!("cannot access '{operand}': {}", reason(&error)));
                listing.code = FAILED;
            }
        }
    }
    listing.sort(&mut files);
    listing.sort(&mut folders);
    if !files.is_empty() {
        listing.show(invocation, &files)?;
        listing.begun = true;
    }
    let headed = operands.len() > 1 || options.has("R");
    for folder in folders {
        listing.folder(invocation, &folder.path, &folder.name, headed, 0)?;
    }
    Ok(listing.code)
}

struct Entry {
    name: String,
    path: std::path::PathBuf,
    facts: Facts,
}

impl Entry {
    fn new(name: &str, path: &Path, facts: Facts) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), facts }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Name,
    Time,
    Size,
    Extension,
    Version,
    Nothing,
}

#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
struct Listing {
    all: bool,
    almost_all: bool,
    long: bool,
    by: By,
    reverse: bool,
    recursive: bool,
    human: bool,
    classify: bool,
    slashes: bool,
    inodes: bool,
    blocks: bool,
    follow: bool,
    owner: bool,
    group: bool,
    numeric: bool,
    folders_first: bool,
    commas: bool,
    quoted: bool,
    time_style: String,
    end: char,
    now: SystemTime,
    begun: bool,
    code: i32,
}

impl Listing {
    fn new(options: &Options<'_>) -> Self {
        let by = options.found.iter().rev().find_map(|found| match (found.name, found.text()) {
            ("t", _) | ("sort", "time") => Some(By::Time),
            ("S", _) | ("sort", "size") => Some(By::Size),
            ("X", _) | ("sort", "extension") => Some(By::Extension),
            ("v", _) | ("sort", "version") => Some(By::Version),
            ("U" | "f", _) | ("sort", "none") => Some(By::Nothing),
            _ => None,
        });
        let long = ["l", "n", "g", "o", "full-time"].iter().any(|name| options.has(name));
        let style = if options.has("full-time") { "full-iso" } else { options.value("time-style").unwrap_or("locale") };
        Self {
            all: options.has("a") || options.has("f"),
            almost_all: options.has("A"),
            long,
            by: by.unwrap_or(By::Name),
            reverse: options.has("r"),
            recursive: options.has("R"),
            human: options.has("h"),
            classify: options.has("F"),
            slashes: options.has("p"),
            inodes: options.has("i"),
            blocks: options.has("s"),
            follow: options.has("L"),
            owner: !options.has("g"),
            group: !options.has("o") && !options.has("G"),
            numeric: options.has("n"),
            folders_first: options.has("group-directories-first"),
            commas: options.has("m"),
            quoted: options.has("Q"),
            time_style: style.to_owned(),
            end: if options.has("zero") { '\0' } else { '\n' },
            now: SystemTime::now(),
            begun: false,
            code: 0,
        }
    }

    fn sort(&self, entries: &mut [Entry]) {
        if self.by == By::Nothing {
            return;
        }
        entries.sort_by(|left, right| {
            let extension = |entry: &Entry| entry.name.rsplit_once('.').map(|(_, extension)| extension.to_owned());
            let order = match self.by {
                By::Time => right.facts.modified.cmp(&left.facts.modified),
                By::Size => right.facts.size.cmp(&left.facts.size),
                By::Extension => extension(left).cmp(&extension(right)),
                By::Version => sort::version(left.name.as_bytes(), right.name.as_bytes()),
                By::Name | By::Nothing => std::cmp::Ordering::Equal,
            };
            let order = order.then_with(|| left.name.cmp(&right.name));
            if self.reverse { order.reverse() } else { order }
        });
        if self.folders_first {
            entries.sort_by_key(|entry| !entry.path.is_dir());
        }
    }

    fn folder(
        &mut self,
        invocation: &mut Invocation<'_>,
        path: &Path,
        shown: &str,
        headed: bool,
        depth: usize,
    ) -> Result<(), Stop> {
        let mut entries = match self.entries(path) {
            Ok(entries) => entries,
            Err(error) => {
                complain(invocation, format_args!("cannot open directory '{shown}': {}", reason(&error)));
                self.code = self.code.max(if depth == 0 { FAILED } else { 1 });
                return Ok(());
            }
        };
        self.sort(&mut entries);
        if headed {
            let gap = if self.begun { "\n" } else { "" };
            writeln!(invocation.stdout, "{gap}{shown}:")?;
        }
        self.begun = true;
        if self.long || self.blocks {
            let blocks: u64 = entries.iter().map(|entry| entry.facts.blocks / 2).sum();
            let total = if self.human { human(blocks * 1024) } else { blocks.to_string() };
            writeln!(invocation.stdout, "total {total}")?;
        }
        self.show(invocation, &entries)?;
        if self.recursive && depth < MAX_DEPTH {
            for entry in entries
                .iter()
                .filter(|entry| entry.facts.kind == Kind::Folder && !matches!(entry.name.as_str(), "." | ".."))
            {
                self.folder(
                    invocation,
                    &entry.path,
                    &format!("{}/{}", shown.trim_end_matches('/'), entry.name),
                    true,
                    depth + 1,
                )?;
            }
        }
        Ok(())
    }

    fn entries(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        if self.all {
            for name in [".", ".."] {
                let path = path.join(name);
                // Above the sandbox's root there is nothing; the root stands for it.
                let facts = Facts::read(&path, true).or_else(|_| Facts::read(path.parent().unwrap_or(&path), true))?;
                entries.push(Entry::new(name, &path, facts));
            }
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') && !self.all && !self.almost_all {
                continue;
            }
            let facts = Facts::read(&entry.path(), self.follow).or_else(|_| Facts::read(&entry.path(), false))?;
            entries.push(Entry::new(&name, &entry.path(), facts));
        }
        Ok(entries)
    }

    fn show(&self, invocation: &mut Invocation<'_>, entries: &[Entry]) -> Result<(), Stop> {
        let rows: Vec<Vec<String>> = entries.iter().map(|entry| self.columns(entry)).collect();
        let count = rows.first().map_or(0, Vec::len);
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..count).map(width).collect();
        let mut shown = Vec::new();
        for (row, entry) in rows.iter().zip(entries) {
            let mut line = String::new();
            for (column, text) in row.iter().enumerate() {
                let width = widths[column];
                // Names of people are left, numbers right.
                let cell = if text.starts_with(|c: char| c.is_ascii_digit()) || !self.long {
                    format!("{text:>width$}")
                } else {
                    format!("{text:<width$}")
                };
                line.push_str(&cell);
                line.push(' ');
            }
            line.push_str(&self.name(entry));
            shown.push(line);
        }
        let between = if self.commas { ", ".to_owned() } else { self.end.to_string() };
        let text = format!("{}{}", shown.join(&between), self.end);
        if !shown.is_empty() {
            invocation.stdout.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    fn columns(&self, entry: &Entry) -> Vec<String> {
        let facts = &entry.facts;
        let mut columns = Vec::new();
        if self.inodes {
            columns.push(facts.inode.to_string());
        }
        if self.blocks {
            columns.push(if self.human { human(facts.blocks * 512) } else { (facts.blocks / 2).to_string() });
        }
        if self.long {
            columns.push(facts.mode_text());
            columns.push(facts.links.to_string());
            let owner = if self.numeric { "0" } else { crate::system::USER };
            columns.extend(self.owner.then(|| owner.to_owned()));
            columns.extend(self.group.then(|| owner.to_owned()));
            columns.push(if self.human { human(facts.size) } else { facts.size.to_string() });
            columns.push(self.time(facts.modified));
        }
        columns
    }

    fn time(&self, time: SystemTime) -> String {
        let stamp = clock::timestamp(time);
        let age = clock::timestamp(self.now).as_second() - stamp.as_second();
        let recent = (0..HALF_YEAR_SECONDS).contains(&age);
        let format = match self.time_style.as_str() {
            "full-iso" => "%Y-%m-%d %H:%M:%S.%N +0000",
            "long-iso" => "%Y-%m-%d %H:%M",
            "iso" if recent => "%m-%d %H:%M",
            "iso" => "%Y-%m-%d ",
            style if style.starts_with('+') => &style[1..],
            _ if recent => "%b %e %H:%M",
            _ => "%b %e  %Y",
        };
        crate::date::format(format, stamp)
    }

    fn name(&self, entry: &Entry) -> String {
        let name = if self.quoted {
            format!("\"{}\"", entry.name.replace('\\', "\\\\").replace('"', "\\\""))
        } else {
            entry.name.clone()
        };
        let facts = &entry.facts;
        let mark = match facts.kind {
            Kind::Folder if self.classify || self.slashes => "/",
            Kind::Link if self.classify && !self.long => "@",
            Kind::File if self.classify && facts.mode & 0o111 != 0 => "*",
            _ => "",
        };
        if self.long && facts.kind == Kind::Link {
            let target =
                fs::read_link(&entry.path).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default();
            return format!("{name} -> {target}");
        }
        format!("{name}{mark}")
    }
}
