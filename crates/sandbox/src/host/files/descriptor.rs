//! The operations on descriptors, in the order of the WIT.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::convert::{self, FileError, FileResult};
use super::stream::{self, Reader, Writer};
use super::{Descriptor, Host, Listing, Node};
use crate::bindings::wasi::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};

type Handle = Resource<Descriptor>;

impl Descriptor {
    fn file(&self) -> FileResult<&stage::File> {
        match &self.node {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    fn readable(&self) -> FileResult<&stage::File> {
        match &self.node {
            Node::File(file) if self.flags.contains(DescriptorFlags::READ) => Ok(file),
            Node::File(_) => Err(ErrorCode::BadDescriptor.into()),
            Node::Dir(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    fn writable(&self) -> FileResult<&stage::File> {
        let file = self.file()?;
        if self.flags.contains(DescriptorFlags::WRITE) { Ok(file) } else { Err(ErrorCode::BadDescriptor.into()) }
    }

    fn dir(&self) -> FileResult<&stage::Dir> {
        match &self.node {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// Returns the directory if names in it may change.
    fn mutable(&self) -> FileResult<&stage::Dir> {
        let dir = self.dir()?;
        if self.flags.contains(DescriptorFlags::MUTATE_DIRECTORY) { Ok(dir) } else { Err(ErrorCode::ReadOnly.into()) }
    }

    fn metadata(&self) -> FileResult<stage::Metadata> {
        Ok(match &self.node {
            Node::File(file) => file.metadata()?,
            Node::Dir(dir) => dir.metadata()?,
        })
    }
}

impl Host {
    fn descriptor(&self, handle: &Handle) -> FileResult<&Descriptor> {
        Ok(self.table.get(handle)?)
    }

    fn writer(&mut self, handle: &Handle, position: Option<u64>) -> FileResult<Resource<DynOutputStream>> {
        let descriptor = self.descriptor(handle)?;
        let writer = Writer::new(descriptor.writable()?.duplicate(), descriptor.slot.clone(), position);
        Ok(self.table.push::<DynOutputStream>(Box::new(writer))?)
    }

    /// Returns both directories if names in both may change.
    fn mutable_pair(&self, from: &Handle, to: &Handle) -> FileResult<(&stage::Dir, &stage::Dir)> {
        Ok((self.descriptor(from)?.mutable()?, self.descriptor(to)?.mutable()?))
    }
}

fn follow(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

impl types::HostDescriptor for Host {
    fn read_via_stream(&mut self, handle: Handle, offset: u64) -> FileResult<Resource<DynInputStream>> {
        let descriptor = self.descriptor(&handle)?;
        let reader = Reader::new(descriptor.readable()?.duplicate(), descriptor.slot.clone(), offset);
        Ok(self.table.push::<DynInputStream>(Box::new(reader))?)
    }

    fn write_via_stream(&mut self, handle: Handle, offset: u64) -> FileResult<Resource<DynOutputStream>> {
        self.writer(&handle, Some(offset))
    }

    fn append_via_stream(&mut self, handle: Handle) -> FileResult<Resource<DynOutputStream>> {
        self.writer(&handle, None)
    }

    /// Advice changes nothing here.
    fn advise(&mut self, handle: Handle, _: u64, _: u64, _: Advice) -> FileResult<()> {
        self.descriptor(&handle)?.file().map(drop)
    }

    /// A stage is as durable as its call; what is committed from it is synchronised then.
    fn sync_data(&mut self, handle: Handle) -> FileResult<()> {
        self.descriptor(&handle).map(drop)
    }

    fn get_flags(&mut self, handle: Handle) -> FileResult<DescriptorFlags> {
        Ok(self.descriptor(&handle)?.flags)
    }

    fn get_type(&mut self, handle: Handle) -> FileResult<DescriptorType> {
        Ok(match self.descriptor(&handle)?.node {
            Node::File(_) => DescriptorType::RegularFile,
            Node::Dir(_) => DescriptorType::Directory,
        })
    }

    fn set_size(&mut self, handle: Handle, size: u64) -> FileResult<()> {
        let file = self.descriptor(&handle)?.writable()?;
        stream::fits(size, 0)?;
        Ok(file.set_len(size)?)
    }

    fn set_times(&mut self, handle: Handle, accessed: NewTimestamp, modified: NewTimestamp) -> FileResult<()> {
        let (accessed, modified) = (convert::time(accessed)?, convert::time(modified)?);
        let descriptor = self.descriptor(&handle)?;
        match &descriptor.node {
            Node::File(_) => descriptor.writable()?.set_times(accessed, modified)?,
            Node::Dir(_) => descriptor.mutable()?.set_times(accessed, modified)?,
        }
        Ok(())
    }

    fn read(&mut self, handle: Handle, length: u64, offset: u64) -> FileResult<(Vec<u8>, bool)> {
        let bytes = self.descriptor(&handle)?.readable()?.read_at(offset, stream::chunk(length))?;
        let ended = bytes.is_empty() && length > 0;
        Ok((bytes, ended))
    }

    fn write(&mut self, handle: Handle, bytes: Vec<u8>, offset: u64) -> FileResult<u64> {
        let file = self.descriptor(&handle)?.writable()?;
        stream::fits(offset, bytes.len())?;
        file.write_at(offset, &bytes)?;
        Ok(bytes.len() as u64)
    }

    fn read_directory(&mut self, handle: Handle) -> FileResult<Resource<Listing>> {
        let entries = self.descriptor(&handle)?.dir()?.entries()?;
        let listing = Listing::new(entries, self.files.slot()?)?;
        Ok(self.table.push(listing)?)
    }

    fn sync(&mut self, handle: Handle) -> FileResult<()> {
        self.sync_data(handle)
    }

    fn create_directory_at(&mut self, handle: Handle, path: String) -> FileResult<()> {
        Ok(self.descriptor(&handle)?.mutable()?.create_directory(&path)?)
    }

    fn stat(&mut self, handle: Handle) -> FileResult<DescriptorStat> {
        Ok(convert::stat(&self.descriptor(&handle)?.metadata()?))
    }

    fn stat_at(&mut self, handle: Handle, flags: PathFlags, path: String) -> FileResult<DescriptorStat> {
        Ok(convert::stat(&self.descriptor(&handle)?.dir()?.stat(&path, follow(flags))?))
    }

    fn set_times_at(
        &mut self,
        handle: Handle,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FileResult<()> {
        let (accessed, modified) = (convert::time(accessed)?, convert::time(modified)?);
        Ok(self.descriptor(&handle)?.mutable()?.set_times_at(&path, follow(flags), accessed, modified)?)
    }

    fn link_at(&mut self, from: Handle, flags: PathFlags, path: String, to: Handle, link: String) -> FileResult<()> {
        let (from, to) = self.mutable_pair(&from, &to)?;
        // As wasmtime: a link to where a symbolic link points is not offered.
        if follow(flags) { Err(ErrorCode::Invalid.into()) } else { Ok(from.link(&path, to, &link)?) }
    }

    fn open_at(
        &mut self,
        handle: Handle,
        path_flags: PathFlags,
        path: String,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> FileResult<Handle> {
        let descriptor = self.descriptor(&handle)?;
        let how = convert::open_how(path_flags, open, flags)?;
        let changes = how.write || open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
        let dir = if changes { descriptor.mutable()? } else { descriptor.dir()? };
        // Inherited, not asked for: std's `remove_dir_all` does not ask, and relies on it.
        let mutate = descriptor.flags & DescriptorFlags::MUTATE_DIRECTORY;
        let (node, flags) = match dir.open(&path, how)? {
            stage::Opened::File(file) => (Node::File(file), flags & (DescriptorFlags::READ | DescriptorFlags::WRITE)),
            stage::Opened::Dir(dir) => (Node::Dir(dir), DescriptorFlags::READ | mutate),
        };
        let mount = descriptor.mount;
        let descriptor = Descriptor { mount, node, slot: self.files.slot()?, flags };
        Ok(self.table.push(descriptor)?)
    }

    fn readlink_at(&mut self, handle: Handle, path: String) -> FileResult<String> {
        Ok(self.descriptor(&handle)?.dir()?.read_link(&path)?)
    }

    fn remove_directory_at(&mut self, handle: Handle, path: String) -> FileResult<()> {
        Ok(self.descriptor(&handle)?.mutable()?.remove_directory(&path)?)
    }

    fn rename_at(&mut self, from: Handle, old: String, to: Handle, new: String) -> FileResult<()> {
        let (from, to) = self.mutable_pair(&from, &to)?;
        Ok(from.rename(&old, to, &new)?)
    }

    fn symlink_at(&mut self, handle: Handle, target: String, path: String) -> FileResult<()> {
        Ok(self.descriptor(&handle)?.mutable()?.symlink(&target, &path)?)
    }

    fn unlink_file_at(&mut self, handle: Handle, path: String) -> FileResult<()> {
        Ok(self.descriptor(&handle)?.mutable()?.unlink_file(&path)?)
    }

    fn is_same_object(&mut self, left: Handle, right: Handle) -> wasmtime::Result<bool> {
        let (left, right) = (self.table.get(&left)?, self.table.get(&right)?);
        Ok(match (&left.node, &right.node) {
            (Node::File(left), Node::File(right)) => left.is_same(right),
            (Node::Dir(left), Node::Dir(right)) => left.is_same(right),
            _ => false,
        })
    }

    fn metadata_hash(&mut self, handle: Handle) -> FileResult<MetadataHashValue> {
        let descriptor = self.descriptor(&handle)?;
        Ok(convert::hash(descriptor.mount, &descriptor.metadata()?))
    }

    fn metadata_hash_at(&mut self, handle: Handle, flags: PathFlags, path: String) -> FileResult<MetadataHashValue> {
        let descriptor = self.descriptor(&handle)?;
        Ok(convert::hash(descriptor.mount, &descriptor.dir()?.stat(&path, follow(flags))?))
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl types::HostDirectoryEntryStream for Host {
    fn read_directory_entry(&mut self, listing: Resource<Listing>) -> FileResult<Option<DirectoryEntry>> {
        let entry = self.table.get_mut(&listing)?.entries.next();
        Ok(entry.map(|entry| DirectoryEntry { type_: convert::kind(entry.kind), name: entry.name }))
    }

    fn drop(&mut self, listing: Resource<Listing>) -> wasmtime::Result<()> {
        self.table.delete(listing)?;
        Ok(())
    }
}

impl types::Host for Host {
    fn convert_error_code(&mut self, error: FileError) -> wasmtime::Result<ErrorCode> {
        match error {
            FileError::Code(code) => Ok(code),
            FileError::Halt(error) => Err(error),
        }
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<stage::StageError>().map(convert::code))
    }
}
