//! `du`.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::Invocation;
use crate::facts::{Facts, Kind};
use crate::numbers::{human, size};
use crate::options::Spec;
use crate::report::{Outcome, Stop, complain, reason};

use super::MAX_DEPTH;

const DU: Spec = Spec::new(
    "a/all s/summarize h/human-readable b/bytes k m c/total d/max-depth= apparent-size B/block-size= x/one-file-system \
     L/dereference S/separate-dirs 0/null D H l/count-links exclude=",
);

pub(crate) fn du(invocation: &mut Invocation<'_>) -> Outcome {
    let options = DU.parse(invocation.args)?;
    let depth = match options.value("d") {
        Some(text) => text.parse().map_err(|_| DU.wrong("du", &format!("invalid maximum depth '{text}'")))?,
        None if options.has("s") => 0,
        None => usize::MAX,
    };
    let block = match options.value("B") {
        Some(text) => size(text)
            .filter(|size| *size > 0)
            .ok_or_else(|| Stop::failed(format!("invalid --block-size argument '{text}'")))?,
        None if options.has("b") => 1,
        None if options.has("m") => 1 << 20,
        None => 1024,
    };
    let mut usage = Usage {
        all: options.has("a"),
        depth,
        human: options.has("h"),
        apparent: options.has("b") || options.has("apparent-size"),
        follow: options.has("L"),
        block,
        end: if options.has("0") { '\0' } else { '\n' },
        exclude: options
            .found
            .iter()
            .filter(|found| found.name == "exclude")
            .map(|found| crate::name::Glob::new(found.text()))
            .collect(),
        seen: HashSet::new(),
        failed: false,
    };
    let operands = if options.operands.is_empty() { vec!["."] } else { options.operands.clone() };
    let mut total = 0;
    for operand in operands {
        let path = invocation.path(operand);
        total += usage.walk(invocation, &path, operand, 0)?;
    }
    if options.has("c") {
        usage.show(invocation, total, "total")?;
    }
    Ok(i32::from(usage.failed))
}

struct Usage {
    all: bool,
    depth: usize,
    human: bool,
    apparent: bool,
    follow: bool,
    block: u64,
    end: char,
    exclude: Vec<crate::name::Glob>,
    /// A file with two names takes its place once.
    seen: HashSet<(u64, u64)>,
    failed: bool,
}

impl Usage {
    fn show(&self, invocation: &mut Invocation<'_>, bytes: u64, name: &str) -> Result<(), Stop> {
        let size = if self.human { human(bytes) } else { bytes.div_ceil(self.block).to_string() };
        write!(invocation.stdout, "{size}\t{name}{}", self.end)?;
        Ok(())
    }

    fn walk(&mut self, invocation: &mut Invocation<'_>, path: &Path, shown: &str, depth: usize) -> Result<u64, Stop> {
        let facts = match Facts::read(path, self.follow) {
            Ok(facts) => facts,
            Err(error) => {
                complain(invocation, format_args!("cannot access '{shown}': {}", reason(&error)));
                self.failed = true;
                return Ok(0);
            }
        };
        let name = crate::words::last_part(shown);
        if facts.links > 1 && facts.kind == Kind::File && !self.seen.insert((facts.device, facts.inode))
            || self.exclude.iter().any(|glob| glob.is_match(name) || glob.is_match(shown))
        {
            return Ok(0);
        }
        let is_folder = facts.kind == Kind::Folder;
        let mut bytes = if self.apparent { facts.size } else { facts.blocks * 512 };
        if is_folder && depth < MAX_DEPTH {
            let entries = fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
            let mut entries = match entries {
                Ok(entries) => entries,
                Err(error) => {
                    complain(invocation, format_args!("cannot read directory '{shown}': {}", reason(&error)));
                    self.failed = true;
                    Vec::new()
                }
            };
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let below = format!("{}/{}", shown.trim_end_matches('/'), entry.file_name().to_string_lossy());
                bytes += self.walk(invocation, &entry.path(), &below, depth + 1)?;
            }
        }
        if (is_folder || self.all || depth == 0) && depth <= self.depth {
            self.show(invocation, bytes, shown)?;
        }
        Ok(bytes)
    }
}
