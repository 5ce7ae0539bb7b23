//! `cp` and `mv`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Invocation;
use crate::facts;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop, complain, reason};
use crate::words::last_part;

use super::MAX_DEPTH;

const CP: Spec = Spec::new(
    "a/archive r/R/recursive d f/force i/interactive n/no-clobber p preserve? no-preserve= u/update? v/verbose \
     L/dereference P/no-dereference H T/no-target-directory t/target-directory= l/link s/symbolic-link parents \
     x/one-file-system b backup? reflink? sparse= remove-destination strip-trailing-slashes",
);
const MV: Spec = Spec::new(
    "f/force i/interactive n/no-clobber u/update? v/verbose T/no-target-directory t/target-directory= b backup? \
     strip-trailing-slashes",
);

#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
struct Transfer {
    moves: bool,
    recursive: bool,
    follow: bool,
    no_clobber: bool,
    update: bool,
    verbose: bool,
    keep_times: bool,
    parents: bool,
    hard_links: bool,
    symbolic_links: bool,
    failed: bool,
}

pub(crate) fn cp(invocation: &mut Invocation<'_>) -> Outcome {
    let options = CP.parse(invocation.args)?;
    let recursive = options.has("r") || options.has("a");
    let keeps_links = options.has("a") || options.has("d") || options.has("P");
    let transfer = Transfer {
        moves: false,
        recursive,
        follow: options.has("L") || !(keeps_links || recursive),
        no_clobber: options.has("n"),
        update: options.has("u"),
        verbose: options.has("v"),
        keep_times: options.has("a") || options.has("p") || options.has("preserve"),
        parents: options.has("parents"),
        hard_links: options.has("l"),
        symbolic_links: options.has("s"),
        failed: false,
    };
    transfer.run(invocation, &options, &CP, "cp")
}

pub(crate) fn mv(invocation: &mut Invocation<'_>) -> Outcome {
    let options = MV.parse(invocation.args)?;
    let transfer = Transfer {
        moves: true,
        recursive: true,
        follow: false,
        no_clobber: options.has("n"),
        update: options.has("u"),
        verbose: options.has("v"),
        keep_times: true,
        parents: false,
        hard_links: false,
        symbolic_links: false,
        failed: false,
    };
    transfer.run(invocation, &options, &MV, "mv")
}

impl Transfer {
    fn run(mut self, invocation: &mut Invocation<'_>, options: &Options<'_>, spec: &Spec, name: &str) -> Outcome {
        let mut sources = options.operands.clone();
        let target = match options.value("t") {
            Some(target) => target,
            None => match (sources.pop(), sources.is_empty()) {
                (None, _) => return Err(spec.wrong(name, "missing file operand")),
                (Some(only), true) => {
                    return Err(spec.wrong(name, &format!("missing destination file operand after '{only}'")));
                }
                (Some(target), false) => target,
            },
        };
        let target_path = invocation.path(target);
        let into = options.has("t") || target_path.is_dir() && !options.has("T");
        if !into && (sources.len() > 1 || options.has("t")) {
            return Err(Stop::failed(format!("target '{target}': {}", not_a_folder(&target_path))));
        }
        for source in sources {
            let (to, shown) = if into {
                let below = if self.parents { source } else { last_part(source) };
                (target_path.join(below.trim_start_matches('/')), format!("{}/{below}", target.trim_end_matches('/')))
            } else {
                (target_path.clone(), target.to_owned())
            };
            if self.parents
                && let Some(folder) = to.parent()
            {
                fs::create_dir_all(folder).map_err(|error| Stop::at(folder.display(), &error))?;
            }
            let from = invocation.path(source);
            self.one(invocation, (&from, source), (&to, &shown), 0)?;
        }
        Ok(i32::from(self.failed))
    }

    fn fail(&mut self, invocation: &mut Invocation<'_>, text: &str) {
        self.failed = true;
        complain(invocation, text);
    }

    fn one(
        &mut self,
        invocation: &mut Invocation<'_>,
        (from, shown_from): (&Path, &str),
        (to, shown_to): (&Path, &str),
        depth: usize,
    ) -> Result<(), Stop> {
        let found = if self.follow { from.metadata() } else { from.symlink_metadata() };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.fail(invocation, &format!("cannot stat '{shown_from}': {}", reason(&error)));
                return Ok(());
            }
        };
        if found.is_dir() && !self.recursive {
            self.fail(invocation, &format!("-r not specified; omitting directory '{shown_from}'"));
            return Ok(());
        }
        if depth == 0 && !self.may_replace(invocation, (from, shown_from), (to, shown_to), found.is_dir()) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            self.fail(invocation, &format!("'{shown_from}' is nested too deeply"));
            return Ok(());
        }
        if self.moves && fs::rename(from, to).is_ok() {
            return self.tell(invocation, shown_from, shown_to);
        }
        if found.is_dir() {
            return self.folder(invocation, (from, shown_from), (to, shown_to), depth);
        }
        let done = self.file(from, to, &found).and_then(|()| if self.moves { fs::remove_file(from) } else { Ok(()) });
        match done {
            Ok(()) => self.tell(invocation, shown_from, shown_to)?,
            Err(error) if self.moves => {
                self.fail(invocation, &format!("cannot move '{shown_from}' to '{shown_to}': {}", reason(&error)));
            }
            Err(error) => {
                self.fail(invocation, &format!("cannot create regular file '{shown_to}': {}", reason(&error)));
            }
        }
        Ok(())
    }

    fn tell(&self, invocation: &mut Invocation<'_>, from: &str, to: &str) -> Result<(), Stop> {
        if self.verbose {
            let renamed = if self.moves { "renamed " } else { "" };
            writeln!(invocation.stdout, "{renamed}'{from}' -> '{to}'")?;
        }
        Ok(())
    }

    /// Says what speaks against replacing the target, if anything does.
    fn may_replace(
        &mut self,
        invocation: &mut Invocation<'_>,
        (from, shown_from): (&Path, &str),
        (to, shown_to): (&Path, &str),
        is_folder: bool,
    ) -> bool {
        if is_folder && is_within(to, from) {
            let text = if self.moves {
                format!("cannot move '{shown_from}' to a subdirectory of itself, '{shown_to}'")
            } else {
                format!("cannot copy a directory, '{shown_from}', into itself, '{shown_to}'")
            };
            self.fail(invocation, &text);
            return false;
        }
        let Ok(there) = to.symlink_metadata() else { return true };
        if self.no_clobber || self.update && !is_newer(from, to) {
            return false;
        }
        if facts::is_same(from, to) && !there.is_symlink() || from == to {
            self.fail(invocation, &format!("'{shown_from}' and '{shown_to}' are the same file"));
            return false;
        }
        if to.is_dir() && !is_folder {
            self.fail(invocation, &format!("cannot overwrite directory '{shown_to}' with non-directory"));
            return false;
        }
        if !to.is_dir() && is_folder {
            self.fail(
                invocation,
                &format!("cannot overwrite non-directory '{shown_to}' with directory '{shown_from}'"),
            );
            return false;
        }
        let full = self.moves && is_folder && fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some());
        if full {
            self.fail(invocation, &format!("cannot move '{shown_from}' to '{shown_to}': Directory not empty"));
        }
        !full
    }

    fn file(&self, from: &Path, to: &Path, found: &fs::Metadata) -> io::Result<()> {
        if self.hard_links {
            return fs::hard_link(from, to);
        }
        if self.symbolic_links {
            return facts::link(&from.to_string_lossy(), to);
        }
        if found.is_symlink() {
            if to.symlink_metadata().is_ok() {
                fs::remove_file(to)?;
            }
            return facts::link(&fs::read_link(from)?.to_string_lossy(), to);
        }
        if self.moves && to.symlink_metadata().is_ok() {
            fs::remove_file(to)?;
        }
        copy_content(from, to)?;
        if self.keep_times {
            keep_times(to, found)?;
        }
        Ok(())
    }

    fn folder(
        &mut self,
        invocation: &mut Invocation<'_>,
        (from, shown_from): (&Path, &str),
        (to, shown_to): (&Path, &str),
        depth: usize,
    ) -> Result<(), Stop> {
        if !to.is_dir() {
            if let Err(error) = fs::create_dir(to) {
                self.fail(invocation, &format!("cannot create directory '{shown_to}': {}", reason(&error)));
                return Ok(());
            }
            self.tell(invocation, shown_from, shown_to)?;
        }
        let entries = fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                self.fail(invocation, &format!("cannot access '{shown_from}': {}", reason(&error)));
                return Ok(());
            }
        };
        for entry in entries {
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            let below = |shown_folder: &str| format!("{}/{shown}", shown_folder.trim_end_matches('/'));
            self.one(invocation, (&entry.path(), &below(shown_from)), (&to.join(&name), &below(shown_to)), depth + 1)?;
        }
        if self.moves
            && !self.failed
            && let Err(error) = fs::remove_dir(from)
        {
            self.fail(invocation, &format!("cannot remove '{shown_from}': {}", reason(&error)));
        }
        Ok(())
    }
}

fn not_a_folder(path: &Path) -> &'static str {
    if path.symlink_metadata().is_ok() { "Not a directory" } else { "No such file or directory" }
}

/// Returns whether `to` would lie in `from`.
fn is_within(to: &Path, from: &Path) -> bool {
    let from = from.canonicalize().unwrap_or_else(|_| from.to_owned());
    let folder = to.parent().map(|folder| folder.canonicalize().unwrap_or_else(|_| folder.to_owned()));
    folder.is_some_and(|folder| folder.starts_with(&from)) || to == from
}

fn is_newer(from: &Path, to: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    changed(from) > changed(to)
}

/// Copies bytes in parts: a file may be larger than memory.
fn copy_content(from: &Path, to: &Path) -> io::Result<()> {
    let mut reader = fs::File::open(from)?;
    let mut writer = fs::File::create(to)?;
    io::copy(&mut reader, &mut writer)?;
    let mode = facts::Facts::read(from, true)?.mode;
    facts::set_mode(to, mode)
}

fn keep_times(to: &Path, found: &fs::Metadata) -> io::Result<()> {
    let mut times = fs::FileTimes::new().set_modified(found.modified()?);
    if let Ok(accessed) = found.accessed() {
        times = times.set_accessed(accessed);
    }
    fs::File::options().write(true).open(to)?.set_times(times)
}

/// Where a link or a copy of `source` goes that is put into or onto `target`.
pub(super) fn landing(target: &Path, source: &str, into: bool) -> PathBuf {
    if into { target.join(last_part(source)) } else { target.to_owned() }
}
