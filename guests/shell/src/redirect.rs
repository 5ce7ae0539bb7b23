//! Redirections.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Cursor, Error, ErrorKind};

use brush_parser::ast::{IoFileRedirectKind, IoFileRedirectTarget, IoRedirect, Word};

use crate::shell::Shell;
use crate::stop::{Complaint, Run};
use crate::streams::{Handle, Sink, Source};

/// `ENOTCAPABLE` of WASI: no mount holds the path.
const NOT_CAPABLE: i32 = 76;

/// Why a redirection is not made.
type Refused<T> = Result<T, Complaint>;

impl Shell {
    /// Makes `redirects`, in order; one that cannot be made is said, and the rest are not made.
    pub fn redirect<'a>(&mut self, redirects: impl Iterator<Item = &'a IoRedirect>) -> Run<bool> {
        for redirect in redirects {
            if let Err(reason) = self.make(redirect)? {
                self.complain(&reason);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn make(&mut self, redirect: &IoRedirect) -> Run<Refused<()>> {
        match redirect {
            IoRedirect::File(descriptor, kind, target) => self.make_file(*descriptor, kind, target),
            IoRedirect::HereDocument(descriptor, document) => {
                let body = &document.doc.value;
                let text = if document.requires_expansion { self.document(body)? } else { body.clone() };
                self.here(*descriptor, text);
                Ok(Ok(()))
            }
            IoRedirect::HereString(descriptor, word) => {
                let text = self.single(&word.value)?;
                self.here(*descriptor, text + "\n");
                Ok(Ok(()))
            }
            IoRedirect::OutputAndError(word, append) => {
                let opened = self.named(word)?.and_then(|name| self.open_sink(&name, *append, true));
                Ok(opened.map(|handle| self.set_both(handle)))
            }
        }
    }

    fn here(&mut self, descriptor: Option<i32>, text: String) {
        self.state.descriptors.set_source(descriptor.unwrap_or(0), Source::new(Cursor::new(text.into_bytes())));
    }

    fn set_both(&mut self, handle: Handle) {
        self.state.descriptors.set(1, handle.clone());
        self.state.descriptors.set(2, handle);
    }

    fn make_file(
        &mut self,
        descriptor: Option<i32>,
        kind: &IoFileRedirectKind,
        target: &IoFileRedirectTarget,
    ) -> Run<Refused<()>> {
        let is_input = matches!(
            kind,
            IoFileRedirectKind::Read | IoFileRedirectKind::ReadAndWrite | IoFileRedirectKind::DuplicateInput
        );
        let descriptor_or_default = descriptor.unwrap_or(i32::from(!is_input));
        let handle = match target {
            IoFileRedirectTarget::ProcessSubstitution(..) => {
                return Ok(Err(
                    "process substitution is not supported: write to a file below /tmp and read that".into()
                ));
            }
            IoFileRedirectTarget::Fd(from) => self.duplicate(*from).map(Some),
            IoFileRedirectTarget::Duplicate(word) => {
                let word = self.single(&word.value)?;
                if descriptor.is_none()
                    && !is_input
                    && word != "-"
                    && word.trim_end_matches('-').parse::<i32>().is_err()
                {
                    return Ok(self.open_sink(&word, false, true).map(|handle| self.set_both(handle)));
                }
                self.duplicate_word(&word)
            }
            IoFileRedirectTarget::Filename(word) => {
                let name = self.named(word)?;
                name.and_then(|name| self.open(&name, kind)).map(Some)
            }
        };
        Ok(handle.map(|handle| match handle {
            Some(handle) => self.state.descriptors.set(descriptor_or_default, handle),
            None => self.state.descriptors.close(descriptor_or_default),
        }))
    }

    fn duplicate(&self, from: i32) -> Refused<Handle> {
        self.state.descriptors.get(from).cloned().ok_or_else(|| Complaint(format!("{from}: Bad file descriptor")))
    }

    /// Returns what `n`, `n-` or `-` behind `>&` stands for; nothing closes.
    fn duplicate_word(&mut self, word: &str) -> Refused<Option<Handle>> {
        if word == "-" {
            return Ok(None);
        }
        let number = word.strip_suffix('-').unwrap_or(word);
        let from = number.parse().map_err(|_| Complaint(format!("{word}: ambiguous redirect")))?;
        let handle = self.duplicate(from)?;
        if number.len() < word.len() {
            self.state.descriptors.close(from);
        }
        Ok(Some(handle))
    }

    /// Returns the one name that `word` stands for.
    fn named(&mut self, word: &Word) -> Run<Refused<String>> {
        let mut names = self.words([word])?;
        Ok(match (names.pop(), names.is_empty()) {
            (Some(name), true) => Ok(name),
            _ => Err(Complaint(format!("{}: ambiguous redirect", word.value))),
        })
    }

    fn open(&mut self, name: &str, kind: &IoFileRedirectKind) -> Refused<Handle> {
        match kind {
            IoFileRedirectKind::Read | IoFileRedirectKind::DuplicateInput => self.open_source(name),
            IoFileRedirectKind::Append => self.open_sink(name, true, true),
            IoFileRedirectKind::Clobber => self.open_sink(name, false, true),
            IoFileRedirectKind::Write | IoFileRedirectKind::DuplicateOutput => self.open_sink(name, false, false),
            IoFileRedirectKind::ReadAndWrite => self.open_both(name),
        }
    }

    fn open_source(&mut self, name: &str) -> Refused<Handle> {
        if let Some(handle) = self.device(name) {
            return handle;
        }
        let file = self.file_at(name, OpenOptions::new().read(true))?;
        Ok(Handle { source: Some(Source::new(BufReader::new(file))), sink: None })
    }

    /// Opens `name` for writing; `over` says that `set -C` does not keep what is there.
    fn open_sink(&mut self, name: &str, append: bool, over: bool) -> Refused<Handle> {
        if let Some(handle) = self.device(name) {
            return handle;
        }
        let is_kept = !over && self.is_set("noclobber");
        if is_kept && fs::metadata(self.state.cwd.join(name)).is_ok_and(|found| found.is_file()) {
            return Err(Complaint(format!("{name}: cannot overwrite existing file")));
        }
        let mut options = OpenOptions::new();
        options.create(true);
        let options = if append { options.append(true) } else { options.write(true).truncate(true) };
        let file = self.file_at(name, options)?;
        Ok(Handle { source: None, sink: Some(Sink::file(file)) })
    }

    fn open_both(&mut self, name: &str) -> Refused<Handle> {
        if let Some(handle) = self.device(name) {
            return handle;
        }
        let writer = self.file_at(name, OpenOptions::new().create(true).truncate(false).write(true))?;
        let reader = self.file_at(name, OpenOptions::new().read(true))?;
        Ok(Handle { source: Some(Source::new(BufReader::new(reader))), sink: Some(Sink::file(writer)) })
    }

    fn file_at(&self, name: &str, options: &OpenOptions) -> Refused<File> {
        let path = self.state.cwd.join(name);
        if name.is_empty() {
            return Err(": No such file or directory".into());
        }
        if fs::metadata(&path).is_ok_and(|found| found.is_dir()) {
            return Err(Complaint(format!("{name}: Is a directory")));
        }
        options.open(&path).map_err(|error| Complaint(format!("{name}: {}", reason(&error))))
    }

    /// Returns what a name in `/dev` stands for: there are no devices, but scripts use these few.
    fn device(&mut self, name: &str) -> Option<Refused<Handle>> {
        let number = match name {
            "/dev/null" => {
                return Some(Ok(Handle { source: Some(Source::empty()), sink: Some(Sink::null()) }));
            }
            "/dev/stdin" => 0,
            "/dev/stdout" => 1,
            "/dev/stderr" => 2,
            _ => name.strip_prefix("/dev/fd/")?.parse().ok()?,
        };
        Some(self.duplicate(number))
    }
}

/// Returns what the system's own words for `error` are.
pub fn reason(error: &Error) -> String {
    let text = match error.kind() {
        _ if error.raw_os_error() == Some(NOT_CAPABLE) && cfg!(target_arch = "wasm32") => "Permission denied",
        ErrorKind::NotFound => "No such file or directory",
        ErrorKind::PermissionDenied => "Permission denied",
        ErrorKind::AlreadyExists => "File exists",
        ErrorKind::NotADirectory => "Not a directory",
        ErrorKind::IsADirectory => "Is a directory",
        ErrorKind::DirectoryNotEmpty => "Directory not empty",
        ErrorKind::ReadOnlyFilesystem => "Read-only file system",
        ErrorKind::StorageFull => "No space left on device",
        ErrorKind::QuotaExceeded => "Disk quota exceeded",
        _ => return error.to_string(),
    };
    text.to_owned()
}
