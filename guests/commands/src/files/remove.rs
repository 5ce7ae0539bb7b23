//! `rm`.

use std::fs;
use std::io;
use std::path::Path;

use crate::Invocation;
use crate::options::Spec;
use crate::report::{Outcome, complain, reason};

const RM: Spec =
    Spec::new("f/force i I interactive? r/R/recursive d/dir v/verbose one-file-system no-preserve-root preserve-root?");

pub(crate) fn rm(invocation: &mut Invocation<'_>) -> Outcome {
    let options = RM.parse(invocation.args)?;
    let force = options.has("f");
    if options.operands.is_empty() && !force {
        return Err(RM.wrong("rm", "missing operand"));
    }
    let mut removal = Removal {
        force,
        recursive: options.has("r"),
        empty_folders: options.has("d"),
        verbose: options.has("v"),
        failed: false,
    };
    for operand in &options.operands {
        removal.operand(invocation, operand)?;
    }
    Ok(i32::from(removal.failed))
}

#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
struct Removal {
    force: bool,
    recursive: bool,
    empty_folders: bool,
    verbose: bool,
    failed: bool,
}

impl Removal {
    fn fail(&mut self, invocation: &mut Invocation<'_>, operand: &str, error: &io::Error) {
        self.failed = true;
        complain(invocation, format_args!("cannot remove '{operand}': {}", reason(error)));
    }

    fn operand(&mut self, invocation: &mut Invocation<'_>, operand: &str) -> Result<(), crate::report::Stop> {
        let last = crate::words::last_part(operand);
        if matches!(last, "." | "..") {
            complain(invocation, format_args!("refusing to remove '.' or '..' directory: skipping '{operand}'"));
            self.failed = true;
            return Ok(());
        }
        let path = invocation.path(operand);
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.force => {}
            Err(error) => self.fail(invocation, operand, &error),
            Ok(found) if found.is_dir() => return self.folder(invocation, &path, operand),
            Ok(_) => return self.one(invocation, operand, "removed ", || fs::remove_file(&path)),
        }
        Ok(())
    }

    fn one(
        &mut self,
        invocation: &mut Invocation<'_>,
        operand: &str,
        verb: &str,
        remove: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), crate::report::Stop> {
        match remove() {
            Ok(()) if self.verbose => writeln!(invocation.stdout, "{verb}'{operand}'")?,
            Ok(()) => {}
            Err(error) => self.fail(invocation, operand, &error),
        }
        Ok(())
    }

    fn folder(
        &mut self,
        invocation: &mut Invocation<'_>,
        path: &Path,
        operand: &str,
    ) -> Result<(), crate::report::Stop> {
        if !self.recursive && !self.empty_folders {
            self.fail(invocation, operand, &io::ErrorKind::IsADirectory.into());
            return Ok(());
        }
        if self.recursive {
            let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            for entry in entries.unwrap_or_default() {
                let name = entry.file_name().to_string_lossy().into_owned();
                self.operand(invocation, &format!("{}/{name}", operand.trim_end_matches('/')))?;
            }
        }
        self.one(invocation, operand, "removed directory ", || fs::remove_dir(path))
    }
}
