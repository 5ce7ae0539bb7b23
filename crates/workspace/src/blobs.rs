//! Contents by their hash: files that are written once, whole, and verified whenever they are read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use protocol::{ContentHash, Hasher};
use tempfile::NamedTempFile;

use crate::journal::Durability;

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Why a content cannot be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("the content {0} is not kept here")]
    Missing(ContentHash),
    #[error("the content {0} is not what its hash says")]
    Damaged(ContentHash),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

type Result<T> = std::result::Result<T, BlobError>;

/// Content-addressed files, `ab/cdef…` of the hash `abcdef…`.
#[derive(Debug)]
pub struct Blobs {
    directory: PathBuf,
    temporaries: PathBuf,
}

impl Blobs {
    /// Keeps blobs in `directory`, preparing them in `temporaries` of the same file system.
    pub(crate) fn new(directory: PathBuf, temporaries: PathBuf) -> Self {
        Self { directory, temporaries }
    }

    /// Keeps `bytes` and returns their hash.
    pub fn put(&self, bytes: &[u8], durability: Durability) -> Result<ContentHash> {
        self.put_from(&mut &bytes[..], durability)
    }

    /// Keeps what `content` reads, however long, and returns its hash. What is kept already is left as it is, unless it
    /// was cut short by the end of the machine.
    pub fn put_from(&self, content: &mut dyn Read, durability: Durability) -> Result<ContentHash> {
        let io = |source| BlobError::Io { path: self.temporaries.clone(), source };
        let mut file = NamedTempFile::new_in(&self.temporaries).map_err(io)?;
        let (hash, size) = copy(content, &mut file).map_err(io)?;
        if self.holds(&hash, size) && self.is_wanted_again(&hash) {
            drop(file);
        } else {
            let path = self.path(&hash);
            self.folder(&path)?;
            file.persist(&path).map_err(|error| BlobError::Io { path, source: error.error })?;
        }
        if durability == Durability::Power {
            self.flush(std::slice::from_ref(&hash))?;
        }
        Ok(hash)
    }

    /// Makes a content that is kept already as young as one that is kept now, so that it is not freed before something
    /// refers to it.
    fn is_wanted_again(&self, hash: &ContentHash) -> bool {
        let touched = OpenOptions::new().write(true).open(self.path(hash));
        touched.and_then(|file| file.set_modified(SystemTime::now())).is_ok()
    }

    /// Returns everything that is kept.
    pub(crate) fn list(&self) -> io::Result<Vec<KeptBlob>> {
        let mut kept = Vec::new();
        for folder in fs::read_dir(&self.directory)? {
            let folder = folder?;
            for entry in fs::read_dir(folder.path())? {
                let entry = entry?;
                let mut name = folder.file_name();
                name.push(entry.file_name());
                let Some(hash) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
                let found = entry.metadata()?;
                let (size, is_linked) = (found.len(), found.nlink() > 1);
                kept.push(KeptBlob { hash, size, is_linked, modified: found.modified()? });
            }
        }
        Ok(kept)
    }

    /// Takes a content away, whoever needs it.
    pub(crate) fn remove(&self, hash: &ContentHash) -> io::Result<()> {
        match fs::remove_file(self.path(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Flushes these contents, and their names, to the disk; each folder once.
    pub(crate) fn flush(&self, hashes: &[ContentHash]) -> Result<()> {
        let paths: Vec<PathBuf> = hashes.iter().map(|hash| self.path(hash)).collect();
        let mut folders: Vec<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
        folders.sort_unstable();
        folders.dedup();
        paths.iter().try_for_each(|path| flush(path))?;
        folders.iter().try_for_each(|folder| flush(folder))?;
        if paths.is_empty() { Ok(()) } else { flush(&self.directory) }
    }

    /// Returns a whole content.
    pub fn get(&self, hash: &ContentHash) -> Result<Vec<u8>> {
        let (mut bytes, path) = (Vec::new(), self.path(hash));
        self.file(hash)?.read_to_end(&mut bytes).map_err(|source| BlobError::Io { path, source })?;
        if ContentHash::of(&bytes) == *hash { Ok(bytes) } else { Err(BlobError::Damaged(hash.clone())) }
    }

    /// Returns a reader of a content. It fails at the end ([`io::ErrorKind::InvalidData`]) when what it read is not what
    /// the hash says, so nothing may be done with what was read before that.
    pub fn open(&self, hash: &ContentHash) -> Result<BlobReader> {
        Ok(BlobReader { file: self.file(hash)?, hasher: Some(Hasher::default()), expected: hash.clone() })
    }

    /// Tells whether a content is kept, without verifying it.
    pub fn contains(&self, hash: &ContentHash) -> bool {
        self.path(hash).is_file()
    }

    /// Tells whether a content of this size is kept, without verifying it.
    pub(crate) fn holds(&self, hash: &ContentHash, size: u64) -> bool {
        fs::metadata(self.path(hash)).is_ok_and(|kept| kept.is_file() && kept.len() == size)
    }

    /// Returns where a content is kept.
    pub(crate) fn path(&self, hash: &ContentHash) -> PathBuf {
        let (folder, name) = hash.as_str().split_at(2);
        self.directory.join(folder).join(name)
    }

    fn file(&self, hash: &ContentHash) -> Result<File> {
        let path = self.path(hash);
        File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BlobError::Missing(hash.clone()),
            _ => BlobError::Io { path, source },
        })
    }

    fn folder(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(&self.directory);
        fs::create_dir_all(folder).map_err(|source| BlobError::Io { path: folder.to_owned(), source })
    }
}

/// One content as it lies there.
#[derive(Debug, Clone)]
pub(crate) struct KeptBlob {
    pub(crate) hash: ContentHash,
    pub(crate) size: u64,
    /// It has another name: it is somebody's whole result.
    pub(crate) is_linked: bool,
    /// When it was kept, or wanted again.
    pub(crate) modified: SystemTime,
}

/// Reads one content and verifies it at its end.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    /// `None` once verified.
    hasher: Option<Hasher>,
    expected: ContentHash,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        match &mut self.hasher {
            Some(hasher) if count > 0 => hasher.update(&buffer[..count]),
            Some(_) if !buffer.is_empty() => self.verify()?,
            _ => {}
        }
        Ok(count)
    }
}

impl BlobReader {
    fn verify(&mut self) -> io::Result<()> {
        let hasher = self.hasher.take().expect("a content is verified once");
        if hasher.finish() == self.expected {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, BlobError::Damaged(self.expected.clone())))
    }
}

fn copy(content: &mut dyn Read, file: &mut NamedTempFile) -> io::Result<(ContentHash, u64)> {
    let (mut hasher, mut size, mut buffer) = (Hasher::default(), 0, vec![0; CHUNK_BYTES]);
    loop {
        let count = match content.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
        size += count as u64;
    }
}

fn flush(path: &Path) -> Result<()> {
    let flushed = File::open(path).and_then(|file| file.sync_all());
    flushed.map_err(|source| BlobError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        blobs: Blobs,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let (directory, temporaries) = (folder.path().join("blobs"), folder.path().join("tmp"));
        fs::create_dir(&directory).unwrap();
        fs::create_dir(&temporaries).unwrap();
        Place { blobs: Blobs::new(directory, temporaries), folder }
    }

    #[test]
    fn a_content_is_kept_once_under_its_hash() {
        let Place { blobs, folder } = place();
        for durability in [Durability::Process, Durability::Power, Durability::Process] {
            assert_eq!(blobs.put(b"content", durability).unwrap(), ContentHash::of(b"content"));
        }
        let hash = ContentHash::of(b"content");
        assert_eq!(blobs.get(&hash).unwrap(), b"content");
        let path = folder.path().join("blobs").join(&hash.as_str()[..2]).join(&hash.as_str()[2..]);
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_stream_of_any_length_comes_back() {
        let Place { blobs, folder: _folder } = place();
        for size in [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 1] {
            let bytes = vec![7; size];
            let hash = blobs.put_from(&mut &bytes[..], Durability::Process).unwrap();
            let mut read = Vec::new();
            blobs.open(&hash).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
        }
    }

    #[test]
    fn a_damaged_content_is_never_handed_out_whole() {
        let Place { blobs, folder: _folder } = place();
        let hash = blobs.put(b"content", Durability::Process).unwrap();
        fs::write(blobs.path(&hash), b"comtent").unwrap();
        assert!(matches!(blobs.get(&hash), Err(BlobError::Damaged(found)) if found == hash));
        let end = blobs.open(&hash).unwrap().read_to_end(&mut Vec::new());
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_content_cut_short_is_kept_again() {
        let Place { blobs, folder: _folder } = place();
        let hash = blobs.put(b"content", Durability::Process).unwrap();
        fs::write(blobs.path(&hash), b"").unwrap();
        blobs.put(b"content", Durability::Power).unwrap();
        assert_eq!(blobs.get(&hash).unwrap(), b"content");
    }

    #[test]
    fn what_is_not_kept_is_missing() {
        let Place { blobs, folder: _folder } = place();
        let hash = ContentHash::of(b"other");
        assert!(!blobs.contains(&hash));
        assert!(matches!(blobs.get(&hash), Err(BlobError::Missing(found)) if found == hash));
        assert!(matches!(blobs.open(&hash), Err(BlobError::Missing(found)) if found == hash));
    }
}
