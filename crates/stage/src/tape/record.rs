//! Recording what a base answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::ContentHash;
use rustix::io::Errno;

use super::extents::Extents;
use super::{Extent, Facts, FileTape, Found, Name, PathTape, Room, Stood, Target, add};
use crate::base::{RawEntry, Reach, Standing};
use crate::error::StageError;

/// Bytes that an answer counts as, beside its text: about what it takes on the tape.
const ANSWER_BYTES: u64 = 160;

/// Records what one base answers. Clones record together.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Recording>);

#[derive(Debug)]
struct Recording {
    room: Room,
    /// `None` once it was taken.
    paths: Mutex<Option<BTreeMap<String, Noted>>>,
}

#[derive(Debug, Default)]
struct Noted {
    tape: PathTape,
    extents: Extents,
}

impl Recorder {
    /// Returns a recorder that shares `room` with those of the call's other mounts.
    pub fn new(room: Room) -> Self {
        Self(Arc::new(Recording { room, paths: Mutex::new(Some(BTreeMap::new())) }))
    }

    /// Ends the recording. Returns the tape with the contents that it names.
    pub fn take(&self) -> (FileTape, Vec<(ContentHash, Vec<u8>)>) {
        let noted = self.0.paths.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let (mut paths, mut contents) = (BTreeMap::new(), Vec::new());
        for (path, Noted { mut tape, extents }) in noted {
            for (offset, bytes) in extents.into_parts() {
                let content = ContentHash::of(&bytes);
                tape.extents.push(Extent { offset, length: bytes.len() as u64, content: content.clone() });
                contents.push((content, bytes));
            }
            paths.insert(path, tape);
        }
        (FileTape { paths }, contents)
    }

    pub(crate) fn looked(&self, path: &str, reach: Reach, found: rustix::io::Result<Facts>) {
        let found: Found = found.map_err(Errno::raw_os_error);
        self.note(path, |tape| match reach {
            Reach::Identity => add(&mut tape.seen, found),
            Reach::Content => add(&mut tape.opened, found),
        });
    }

    pub(crate) fn held(&self, path: &str, found: rustix::io::Result<Facts>) {
        self.note(path, |tape| add(&mut tape.held, found.map_err(Errno::raw_os_error)));
    }

    pub(crate) fn target(&self, path: &str, target: &Result<String, StageError>) {
        let target: Target = target.clone().map_err(|_| Errno::ILSEQ.raw_os_error());
        self.note(path, |tape| add(&mut tape.targets, target));
    }

    pub(crate) fn listed(&self, path: &str, listed: &rustix::io::Result<Vec<RawEntry>>) {
        let names = listed.as_ref().map(|entries| entries.iter().map(Name::from).collect::<Vec<_>>());
        let bytes = names.as_ref().map_or(0, |names| names.len() as u64 * ANSWER_BYTES / 2);
        if self.0.room.take(bytes) {
            self.note(path, |tape| add(&mut tape.listed, names.map_err(|errno| errno.raw_os_error())));
        }
    }

    pub(crate) fn stood(&self, path: &str, standing: &Result<Standing, StageError>) {
        match standing {
            Ok(standing) => {
                self.note(path, |tape| add(&mut tape.standings, Stood::from(standing)));
            }
            Err(error) => {
                self.0.room.spoil(&format!("`{path}` could not be compared with what the call left: {error}"));
            }
        }
    }

    /// Notes that a read of `wanted` bytes at `offset` gave `bytes`.
    pub(crate) fn read(&self, path: &str, offset: u64, wanted: usize, bytes: &[u8]) {
        let mut paths = self.0.paths.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.room.void().is_some() {
            // What was noted until now serves nobody.
            paths.as_mut().map(BTreeMap::clear);
        }
        let Some(noted) = paths.as_mut().and_then(|paths| paths.get_mut(path)) else { return };
        let end = offset + bytes.len() as u64;
        let is_end = bytes.len() < wanted;
        let moved = is_end && !bytes.is_empty() && noted.tape.end.is_some_and(|known| known != end);
        match noted.extents.add(offset, bytes) {
            Some(new) if !moved => drop(self.0.room.take(new)),
            _ => self.0.room.spoil(&format!("`{path}` changed while it was read")),
        }
        if is_end && (noted.tape.end.is_none() || !bytes.is_empty()) {
            noted.tape.end = Some(end);
        }
    }

    fn note(&self, path: &str, note: impl FnOnce(&mut PathTape) -> bool) {
        let mut paths = self.0.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(paths) = paths.as_mut() else { return };
        if self.0.room.void().is_some() {
            return;
        }
        let is_new = match paths.get_mut(path) {
            Some(noted) => note(&mut noted.tape),
            None => note(&mut paths.entry(path.to_owned()).or_default().tape),
        };
        if is_new {
            let _ = self.0.room.take(path.len() as u64 + ANSWER_BYTES);
        }
    }
}
