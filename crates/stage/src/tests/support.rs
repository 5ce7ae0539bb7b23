use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use protocol::{ChangeSet, ContentHash, Node};
use tempfile::TempDir;

use crate::error::Result;
use crate::{Base, Dir, File, OpenHow, Opened, Quota, Scratch, Stage, StageError, StageOptions, Writer, steps};

/// The time of every staged change.
pub(crate) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(12)
}

pub(crate) const QUOTA: Quota = Quota { bytes: 16 << 20, entries: 1000 };

/// A base directory with a stage over it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) base: Base,
    pub(crate) stage: Stage,
    pub(crate) root: Dir,
}

pub(crate) fn options(folder: &TempDir) -> StageOptions {
    let scratch = Scratch::new(folder.path().join("scratch"));
    StageOptions {
        mount: "/work".into(),
        writable: true,
        quota: QUOTA,
        scratch,
        clock: noon,
        veil: crate::Veil::none(),
    }
}

/// Makes a folder with `base`, `scratch` and `temporaries` in it.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["base", "scratch", "temporaries"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

impl World {
    /// Fills the base: `a/` is a directory, `a -> b` a link, anything else a file whose content is its path.
    pub(crate) fn with(entries: &[&str]) -> Self {
        let folder = folder();
        fill(&folder.path().join("base"), entries);
        Self::over(folder, |_| {})
    }

    pub(crate) fn over(folder: TempDir, adjust: impl FnOnce(&mut StageOptions)) -> Self {
        let base = Base::open(&folder.path().join("base")).unwrap();
        Self::on(folder, base, adjust)
    }

    pub(crate) fn on(folder: TempDir, base: Base, adjust: impl FnOnce(&mut StageOptions)) -> Self {
        let mut options = options(&folder);
        adjust(&mut options);
        let stage = Stage::new(base.clone(), options);
        let root = stage.root();
        Self { folder, base, stage, root }
    }

    /// Returns the real path of something in the base.
    pub(crate) fn real(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join("base").join(path)
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer::new(self.base.clone(), &self.folder.path().join("temporaries"), false).unwrap()
    }

    /// Returns the listing of a directory, a `/` after directories, `@` after links, `?` after the rest.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        names(&dir(&self.root, path))
    }

    /// Returns the changes as `+path`, `-path`, `~path`, with `<origin` after what was renamed.
    pub(crate) fn changed(&self) -> Vec<String> {
        let changes = self.stage.changes().unwrap().changes.into_iter();
        let mark = |change: protocol::Change| {
            let sign = match (&change.before, &change.after) {
                (Node::Absent, _) => '+',
                (_, Node::Absent) => '-',
                _ => '~',
            };
            let origin = change.renamed_from.map(|origin| format!("<{origin}")).unwrap_or_default();
            format!("{sign}{}{origin}", change.path)
        };
        changes.map(mark).collect()
    }
}

pub(crate) fn fill(base: &Path, entries: &[&str]) {
    for entry in entries {
        let name = entry.split(" -> ").next().unwrap();
        std::fs::create_dir_all(base.join(name).parent().unwrap()).unwrap();
        match entry.split_once(" -> ") {
            Some((link, target)) => symlink(target, base.join(link)).unwrap(),
            None if entry.ends_with('/') => std::fs::create_dir_all(base.join(entry)).unwrap(),
            None => std::fs::write(base.join(entry), entry).unwrap(),
        }
    }
}

pub(crate) fn names(dir: &Dir) -> Vec<String> {
    let sign = |kind| match kind {
        crate::Kind::Directory => "/",
        crate::Kind::Symlink => "@",
        crate::Kind::Other => "?",
        crate::Kind::File => "",
    };
    dir.entries().unwrap().into_iter().map(|entry| entry.name + sign(entry.kind)).collect()
}

pub(crate) const READ: OpenHow = OpenHow {
    follow: true,
    create: false,
    exclusive: false,
    truncate: false,
    directory: false,
    read: true,
    write: false,
};
pub(crate) const WRITE: OpenHow = OpenHow { write: true, ..READ };
pub(crate) const CREATE: OpenHow = OpenHow { create: true, ..WRITE };

pub(crate) fn open(dir: &Dir, path: &str, how: OpenHow) -> Result<File> {
    match dir.open(path, how)? {
        Opened::File(file) => Ok(file),
        Opened::Dir(_) => Err(StageError::IsDirectory),
    }
}

pub(crate) fn dir(parent: &Dir, path: &str) -> Dir {
    match parent.open(path, READ).unwrap() {
        Opened::Dir(dir) => dir,
        Opened::File(_) => panic!("{path} is a file"),
    }
}

pub(crate) fn read(dir: &Dir, path: &str) -> Result<Vec<u8>> {
    read_all(&open(dir, path, READ)?)
}

pub(crate) fn read_all(file: &File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let more = file.read_at(bytes.len() as u64, 4096)?;
        if more.is_empty() {
            return Ok(bytes);
        }
        bytes.extend(more);
    }
}

pub(crate) fn text(dir: &Dir, path: &str) -> String {
    String::from_utf8(read(dir, path).unwrap()).unwrap()
}

pub(crate) fn write(dir: &Dir, path: &str, text: &str) -> Result<()> {
    let file = open(dir, path, OpenHow { truncate: true, ..CREATE })?;
    file.write_at(0, text.as_bytes())
}

/// Applies a change set as a commit does.
pub(crate) fn apply(writer: &Writer, changes: &ChangeSet, contents: &BTreeMap<ContentHash, Vec<u8>>) -> Result<()> {
    for step in steps(changes) {
        writer.perform(&step, &mut |hash| {
            Ok(Box::new(std::io::Cursor::new(contents.get(hash).ok_or(StageError::NoContent)?.clone())))
        })?;
    }
    Ok(())
}

/// Reads every content that a change set or its inverse needs.
pub(crate) fn contents(stage: &Stage, base: &Base, changes: &ChangeSet) -> BTreeMap<ContentHash, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for change in &changes.changes {
        if let Node::File { hash, .. } = &change.after {
            let mut bytes = Vec::new();
            stage.content(hash).unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(ContentHash::of(&bytes), *hash, "{}", change.path);
            contents.insert(hash.clone(), bytes);
        }
        if let Node::File { hash, .. } = &change.before {
            let mut bytes = Vec::new();
            base.read(&change.path).unwrap().read_to_end(&mut bytes).unwrap();
            contents.insert(hash.clone(), bytes);
        }
    }
    contents
}

/// One thing in a tree: `None` for a directory.
pub(crate) type Snapshot = BTreeMap<String, (char, u32, Vec<u8>)>;

/// Returns everything beneath a real directory.
pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let mode = meta.permissions().mode() & 0o777;
            let node = if meta.is_dir() {
                todo.push(path.clone());
                ('d', mode, Vec::new())
            } else if meta.is_symlink() {
                ('l', 0, path.read_link().unwrap().into_os_string().into_encoded_bytes())
            } else {
                ('f', mode, std::fs::read(&path).unwrap())
            };
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), node);
        }
    }
    found
}

/// Returns everything that a guest sees beneath a directory.
pub(crate) fn staged_snapshot(root: &Dir) -> Snapshot {
    let mut found = Snapshot::new();
    let mut todo = vec![(String::new(), root.duplicate())];
    while let Some((path, directory)) = todo.pop() {
        for entry in directory.entries().unwrap() {
            let inner = crate::tree::join(&path, &entry.name);
            let meta = directory.stat(&entry.name, false).unwrap();
            assert_eq!(meta.kind, entry.kind, "{inner}");
            let node = match entry.kind {
                crate::Kind::Directory => {
                    todo.push((inner.clone(), dir(&directory, &entry.name)));
                    ('d', meta.mode, Vec::new())
                }
                crate::Kind::Symlink => ('l', 0, directory.read_link(&entry.name).unwrap().into_bytes()),
                _ => ('f', meta.mode, read(&directory, &entry.name).unwrap()),
            };
            found.insert(inner, node);
        }
    }
    found
}
