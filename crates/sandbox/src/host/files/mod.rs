//! `wasi:filesystem`: descriptors over staged directory trees.
//!
//! Every operation runs on the current thread: handing a read to another thread costs more than the read. What could
//! take long is bounded by a named cap, so a deadline is never far.

#![expect(unreachable_pub, reason = "the generated bindings re-export the types behind the WIT resources")]

mod convert;
mod descriptor;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use protocol::StopCause;
use wasmtime::component::Resource;

use super::Host;
use crate::bindings::wasi::filesystem::{preopens, types};
use crate::halt::Halt;

pub use convert::FileError;

/// Entries of one directory that a guest may list; the host holds them while the listing is open.
const MAX_LISTED_ENTRIES: usize = 1_000_000;

/// A directory tree that a guest finds open when it starts.
pub(crate) struct Preopen {
    pub(crate) name: String,
    pub(crate) root: stage::Dir,
    pub(crate) writable: bool,
}

/// The files of one call.
pub(crate) struct Files {
    preopens: Vec<Preopen>,
    open: Arc<AtomicU32>,
    limit: u32,
}

impl Files {
    pub(crate) fn new(preopens: Vec<Preopen>, limit: u32) -> Self {
        Self { preopens, open: Arc::default(), limit }
    }

    pub(crate) fn none() -> Self {
        Self::new(Vec::new(), 0)
    }

    /// Takes room for one more open file; beyond the limit the call ends.
    fn slot(&self) -> Result<Arc<Slot>, Halt> {
        // One guest runs in one thread at a time, so nothing comes between the two.
        if self.open.load(Ordering::Relaxed) >= self.limit {
            return Err(Halt::Limit(StopCause::Resources));
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Slot(self.open.clone())))
    }
}

/// Room for one open file, given back when its descriptor and the last stream over it are gone.
struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open file or directory.
pub struct Descriptor {
    /// Position of its mount among the call's: two stages may give their new files the same identity.
    mount: usize,
    node: Node,
    slot: Arc<Slot>,
    /// What may be done through it. A directory's `mutate-directory` is its mount's, wherever it was opened.
    flags: types::DescriptorFlags,
}

enum Node {
    File(stage::File),
    Dir(stage::Dir),
}

/// A directory being listed.
pub struct Listing {
    entries: std::vec::IntoIter<stage::DirEntry>,
    _slot: Arc<Slot>,
}

impl Listing {
    fn new(entries: Vec<stage::DirEntry>, slot: Arc<Slot>) -> Result<Self, Halt> {
        if entries.len() > MAX_LISTED_ENTRIES {
            return Err(Halt::Limit(StopCause::Resources));
        }
        Ok(Self { entries: entries.into_iter(), _slot: slot })
    }
}

impl preopens::Host for Host {
    /// Returns each mount under its name, and the workspace also as `.`, where relative paths start.
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let mut directories = Vec::new();
        for mount in 0..self.files.preopens.len() {
            let name = self.files.preopens[mount].name.clone();
            if name == WORKSPACE {
                directories.push((self.preopen(mount)?, ".".to_owned()));
            }
            directories.push((self.preopen(mount)?, name));
        }
        Ok(directories)
    }
}

/// The mount that relative paths resolve in.
const WORKSPACE: &str = "/work";

impl Host {
    fn preopen(&mut self, mount: usize) -> wasmtime::Result<Resource<Descriptor>> {
        let Preopen { root, writable, .. } = &self.files.preopens[mount];
        let read = types::DescriptorFlags::READ;
        let flags = if *writable { read | types::DescriptorFlags::MUTATE_DIRECTORY } else { read };
        let descriptor = Descriptor { mount, node: Node::Dir(root.duplicate()), slot: self.files.slot()?, flags };
        Ok(self.table.push(descriptor)?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use policy::Limits;
    use stage::{Base, Quota, Scratch, Stage, StageOptions, Veil};

    use super::*;
    use crate::host::network::Gate;
    use crate::tape::Deck;
    use types::{DescriptorFlags, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags};

    fn stage(folder: &std::path::Path) -> Stage {
        let options = StageOptions {
            mount: WORKSPACE.into(),
            writable: true,
            quota: Quota { bytes: 100, entries: 10 },
            scratch: Scratch::new(folder),
            clock: SystemTime::now,
            veil: Veil::none(),
        };
        Stage::new(Base::open(folder).unwrap(), options)
    }

    /// Returns a host with a file `f`, its first mount, and room for the mount's two names and one file.
    fn host() -> (tempfile::TempDir, Host, u32) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), "x").unwrap();
        let root = stage(folder.path()).root();
        let files = Files::new(vec![Preopen { name: WORKSPACE.into(), root, writable: true }], 3);
        let mut host = Host::new(
            &Limits::default(),
            files,
            Gate::shut(),
            Arc::new(Deck::live(None, &Limits::default(), Vec::new())),
        );
        let mount = preopens::Host::get_directories(&mut host).unwrap()[0].0.rep();
        (folder, host, mount)
    }

    fn open(host: &mut Host, mount: u32, flags: DescriptorFlags) -> Result<Resource<Descriptor>, FileError> {
        host.open_at(Resource::new_borrow(mount), PathFlags::empty(), "f".into(), OpenFlags::empty(), flags)
    }

    #[test]
    fn a_stream_needs_the_right_to_it() {
        let (_folder, mut host, mount) = host();
        let refused = |result: Result<(), FileError>| matches!(result, Err(FileError::Code(ErrorCode::BadDescriptor)));
        let reader = open(&mut host, mount, DescriptorFlags::READ).unwrap();
        let handle = || Resource::new_borrow(reader.rep());
        assert!(refused(host.write_via_stream(handle(), 0).map(drop)));
        assert!(refused(host.append_via_stream(handle()).map(drop)));
        host.read_via_stream(handle(), 0).unwrap();
        let (_folder, mut host, mount) = self::host();
        let writer = open(&mut host, mount, DescriptorFlags::WRITE).unwrap();
        assert!(refused(host.read_via_stream(writer, 0).map(drop)));
    }

    #[test]
    fn a_file_counts_as_open_until_its_last_stream_is_gone() {
        let (_folder, mut host, mount) = host();
        let open = |host: &mut Host| open(host, mount, DescriptorFlags::READ);
        let file = open(&mut host).unwrap();
        let stream = host.read_via_stream(Resource::new_borrow(file.rep()), 0).unwrap();
        types::HostDescriptor::drop(&mut host, file).unwrap();
        let Err(FileError::Halt(halt)) = open(&mut host) else { panic!("the stream holds the file open") };
        assert_eq!(halt.downcast_ref(), Some(&Halt::Limit(StopCause::Resources)));
        host.table.delete(stream).unwrap();
        open(&mut host).unwrap();
    }

    #[test]
    fn a_listing_is_bounded() {
        let entries = |count| vec![stage::DirEntry { name: String::new(), kind: stage::Kind::File }; count];
        let slot = || Files::new(Vec::new(), 1).slot().unwrap();
        assert!(Listing::new(entries(MAX_LISTED_ENTRIES), slot()).is_ok());
        let refused = Listing::new(entries(MAX_LISTED_ENTRIES + 1), slot()).err();
        assert_eq!(refused, Some(Halt::Limit(StopCause::Resources)));
    }
}
