//! The watched folder of extensions: what lies there now, and whether it was approved.
//!
//! It is the person's, outside every mount: a tool that a planner could drop there would register itself. Each time
//! somebody needs to know, names, sizes and times are looked at; only what changed is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::ContentHash;

use crate::approval::Approvals;
use crate::entry::Entry;
use crate::source::{Difference, ExtensionError, Source, entries};

/// Extensions of one person; each is shown to the model.
const MAX_EXTENSIONS: usize = 64;

/// The extensions of one person, in `tools/NAME/` of a folder, with their approvals beside them.
pub struct Extensions {
    tools: PathBuf,
    approvals: Approvals,
    reserved: BTreeSet<String>,
    known: Mutex<BTreeMap<String, Known>>,
}

/// One extension as it was read last.
struct Known {
    print: Print,
    found: Found,
}

/// What tells a folder from its changed self without reading it: each file's name, size, times and identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Print(BTreeMap<OsString, [i128; 5]>);

/// What stands in one folder.
#[derive(Clone)]
pub(crate) enum Found {
    Broken(Arc<ExtensionError>),
    Whole(Arc<Whole>),
}

impl Found {
    /// Returns the extension when it is whole and asks for no more than was approved.
    pub(crate) fn approved(&self) -> Option<Arc<Whole>> {
        match self {
            Self::Whole(whole) if !whole.difference.is_more() => Some(whole.clone()),
            _ => None,
        }
    }
}

/// An extension that can be read.
pub(crate) struct Whole {
    pub(crate) entry: Entry,
    pub(crate) source: Source,
    pub(crate) difference: Difference,
    /// Whether it is not what a person approved, though it may ask for no more.
    pub(crate) is_changed: bool,
}

impl Whole {
    /// Returns what tells this state of the extension from every other.
    pub(crate) fn identity(&self) -> (ContentHash, ContentHash) {
        (self.source.component_hash(), self.source.manifest_hash())
    }
}

/// Everything that was found, by name.
pub(crate) type Look = BTreeMap<String, Found>;

impl Extensions {
    /// Returns the extensions beneath `folder`, which need not exist and must lie outside every mount.
    pub fn new(folder: &Path) -> Self {
        let approvals = Approvals::new(folder.join("approvals"));
        Self { tools: folder.join("tools"), approvals, reserved: BTreeSet::new(), known: Mutex::default() }
    }

    /// Returns the folder that is watched.
    pub fn folder(&self) -> &Path {
        &self.tools
    }

    /// Takes the names that no extension may have.
    pub(crate) fn reserve(&mut self, names: impl Iterator<Item = String>) {
        self.reserved = names.collect();
    }

    /// Returns what lies in the folder now. Blocks while it reads what changed.
    pub(crate) fn look(&self) -> Look {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.names();
        known.retain(|name, _| names.contains(name));
        for (at, name) in names.iter().enumerate() {
            let print = self.print(name);
            let is_same = known.get(name).is_some_and(|known| known.print == print);
            if !is_same {
                let found = if at < MAX_EXTENSIONS { self.read(name) } else { too_many() };
                // Whatever changes while it is read is read again.
                let print = if self.print(name) == print { print } else { Print::default() };
                known.insert(name.clone(), Known { print, found });
            }
        }
        known.iter().map(|(name, known)| (name.clone(), known.found.clone())).collect()
    }

    /// Returns the names in the folder; those that begin with a dot are on their way in or out.
    fn names(&self) -> BTreeSet<String> {
        let listed = fs::read_dir(&self.tools).into_iter().flatten().take(MAX_EXTENSIONS * 4).flatten();
        let names = listed.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    fn print(&self, name: &str) -> Print {
        let folder = self.tools.join(name);
        let approval = self.approvals.path(name);
        let files = entries(&folder).unwrap_or_default();
        let stamped = files.into_iter().chain([folder, approval]);
        Print(stamped.map(|path| (path.clone().into_os_string(), stamp(&path))).collect())
    }

    fn read(&self, name: &str) -> Found {
        match self.read_whole(name) {
            Ok(whole) => Found::Whole(Arc::new(whole)),
            Err(error) => Found::Broken(Arc::new(error)),
        }
    }

    fn read_whole(&self, name: &str) -> Result<Whole, ExtensionError> {
        let folder = self.tools.join(name);
        check_private(&self.tools)?;
        check_private(&folder)?;
        let source = Source::read_folder(&folder)?;
        if source.manifest.name != name {
            return Err(ExtensionError::OtherName { name: source.manifest.name });
        }
        let entry = self.entry(&source)?;
        let difference = self.difference(&source)?;
        let is_changed = self.approvals.read(name)?.is_some_and(|approval| approval != source.approval());
        Ok(Whole { entry, source, difference, is_changed })
    }

    /// Returns `source` as the registry keeps it, unless it takes a name that is not its own.
    pub(crate) fn entry(&self, source: &Source) -> Result<Entry, ExtensionError> {
        let name = &source.manifest.name;
        if self.reserved.contains(name) {
            return Err(ExtensionError::Taken(name.clone()));
        }
        let schema = source.schema.as_ref().map(|schema| schema.text.as_str());
        Ok(Entry::new(source.manifest.clone(), source.component.clone().into(), schema)?)
    }

    /// Returns what `source` asks for beside what was approved of its name.
    pub(crate) fn difference(&self, source: &Source) -> Result<Difference, ExtensionError> {
        let approved = self.approvals.read(&source.manifest.name)?.map(|approval| approval.asks);
        Ok(Difference::new(source.manifest.asks(), approved.unwrap_or_default()))
    }

    /// Remembers that a person approved everything that `source` asks for.
    pub(crate) fn approve(&self, source: &Source) -> Result<(), ExtensionError> {
        Ok(self.approvals.write(&source.approval())?)
    }

    /// Puts `source` into the folder in place of what has its name, whole or not at all; it is not approved by that.
    pub(crate) fn install(&self, source: &Source) -> Result<PathBuf, ExtensionError> {
        let name = &source.manifest.name;
        let to = self.tools.join(name);
        let failed = |source| ExtensionError::Io { path: to.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.tools).map_err(failed)?;
        let part = tempfile::Builder::new().prefix(".").tempdir_in(&self.tools).map_err(failed)?;
        for (file, content) in source.files() {
            fs::write(part.path().join(file), content).map_err(failed)?;
        }
        let old = self.set_aside(name).map_err(failed)?;
        if let Err(error) = fs::rename(part.path(), &to) {
            if let Some(old) = &old {
                fs::rename(old.path().join(name), &to).map_err(failed)?;
            }
            return Err(failed(error));
        }
        Ok(to)
    }

    /// Takes the extension `name` and its approval away.
    pub(crate) fn remove(&self, name: &str) -> Result<(), ExtensionError> {
        // The approval first: what is left behind by an interruption is then at least not approved.
        self.approvals.remove(name)?;
        let failed = |source| ExtensionError::Io { path: self.tools.join(name), source };
        self.set_aside(name).map_err(failed).map(drop)
    }

    /// Moves what has `name` into a folder that is removed when it is dropped.
    fn set_aside(&self, name: &str) -> io::Result<Option<tempfile::TempDir>> {
        if fs::symlink_metadata(self.tools.join(name)).is_err() {
            return Ok(None);
        }
        let aside = tempfile::Builder::new().prefix(".").tempdir_in(&self.tools)?;
        fs::rename(self.tools.join(name), aside.path().join(name))?;
        Ok(Some(aside))
    }
}

fn too_many() -> Found {
    Found::Broken(Arc::new(ExtensionError::TooMany { most: MAX_EXTENSIONS }))
}

fn stamp(path: &Path) -> [i128; 5] {
    let Ok(metadata) = fs::symlink_metadata(path) else { return [0; 5] };
    let ns = |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    [
        metadata.len().into(),
        ns(metadata.mtime(), metadata.mtime_nsec()),
        ns(metadata.ctime(), metadata.ctime_nsec()),
        metadata.ino().into(),
        metadata.mode().into(),
    ]
}

/// Refuses a folder that somebody else could change, and whatever is no folder.
fn check_private(folder: &Path) -> Result<(), ExtensionError> {
    let metadata = fs::symlink_metadata(folder).map_err(|source| ExtensionError::Io { path: folder.into(), source })?;
    if !metadata.is_dir() {
        return Err(ExtensionError::Kind { path: folder.into() });
    }
    if metadata.mode() & 0o022 != 0 { Err(ExtensionError::Writable { path: folder.into() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    const MANIFEST: &str = "name = \"NAME\"\nversion = \"1\"\nlevel = \"LEVEL\"\n[capabilities]\nfiles = \"FILES\"\n";

    fn manifest(name: &str, files: &str) -> String {
        MANIFEST.replace("NAME", name).replace("FILES", files).replace("LEVEL", "none")
    }

    struct Home {
        folder: tempfile::TempDir,
        extensions: Extensions,
    }

    impl Home {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut extensions = Extensions::new(folder.path());
            extensions.reserve(["read".to_owned()].into_iter());
            Self { folder, extensions }
        }

        fn put(&self, folder: &str, manifest: &str, component: &str) -> PathBuf {
            let path = self.folder.path().join("tools").join(folder);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("tool.toml"), manifest).unwrap();
            fs::write(path.join("c.wasm"), component).unwrap();
            path
        }

        /// Returns each extension in a word: what it waits for, or what is wrong with it.
        fn told(&self) -> BTreeMap<String, String> {
            let told = |found: &Found| match found {
                Found::Broken(error) => error.to_string(),
                Found::Whole(whole) if whole.is_changed => whole.difference.lines().join(", ") + " (changed)",
                Found::Whole(whole) => whole.difference.lines().join(", "),
            };
            self.extensions.look().iter().map(|(name, found)| (name.clone(), told(found))).collect()
        }

        fn source(&self, name: &str) -> Source {
            Source::read_folder(&self.folder.path().join("tools").join(name)).unwrap()
        }
    }

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, told)| ((*name).to_owned(), (*told).to_owned())).collect()
    }

    #[test]
    fn what_is_dropped_in_is_seen_and_what_is_taken_away_is_gone() {
        let home = Home::new();
        assert_eq!(home.told(), map(&[]));
        home.put("a", &manifest("a", "none"), "one");
        let path = home.put("b", &manifest("b", "read"), "one");
        assert_eq!(home.told(), map(&[("a", ""), ("b", "+ be judged as level none, + read files")]));
        fs::remove_dir_all(path).unwrap();
        assert_eq!(home.told(), map(&[("a", "")]));
    }

    #[test]
    fn only_what_changed_is_read_again() {
        let home = Home::new();
        home.put("a", &manifest("a", "none"), "one");
        home.put("b", &manifest("b", "none"), "one");
        let first = home.extensions.look();
        home.put("b", &manifest("b", "none"), "two");
        let second = home.extensions.look();
        let third = home.extensions.look();
        let is_same = |left: &Look, right: &Look, name: &str| {
            Arc::ptr_eq(&left[name].approved().unwrap(), &right[name].approved().unwrap())
        };
        assert!(is_same(&first, &second, "a") && !is_same(&first, &second, "b") && is_same(&second, &third, "b"));
    }

    #[test]
    fn a_change_that_wants_more_is_not_approved_and_one_that_does_not_is() {
        let home = Home::new();
        home.put("a", &manifest("a", "read"), "one");
        home.extensions.approve(&home.source("a")).unwrap();
        assert_eq!(home.told(), map(&[("a", "  be judged as level none,   read files")]));
        home.put("a", &manifest("a", "read"), "other bytes");
        assert_eq!(home.told(), map(&[("a", "  be judged as level none,   read files (changed)")]));
        home.put("a", &manifest("a", "read_write").replace("none", "write"), "other bytes");
        let lines =
            "- be judged as level none, + be judged as level write,   read files, + write files, staged (changed)";
        assert_eq!(home.told(), map(&[("a", lines)]));
    }

    #[test]
    fn one_broken_extension_breaks_no_other() {
        let home = Home::new();
        home.put("good", &manifest("good", "none"), "one");
        home.put("syntax", "name = ", "one");
        home.put("other", &manifest("good", "none"), "one");
        home.put("read", &manifest("read", "none"), "one");
        home.put("damaged", &manifest("damaged", "none"), "one");
        fs::create_dir_all(home.folder.path().join("approvals")).unwrap();
        fs::write(home.folder.path().join("approvals/damaged.toml"), "more = 1").unwrap();
        fs::write(home.folder.path().join("tools/file"), "x").unwrap();
        symlink(home.folder.path().join("tools/good"), home.folder.path().join("tools/link")).unwrap();
        let told = home.told();
        assert_eq!(told["good"], "");
        assert!(told["syntax"].starts_with("tool.toml cannot be read"), "{told:?}");
        assert_eq!(told["other"], "it calls itself `good`; its folder must have the same name");
        assert_eq!(told["read"], "the name `read` is a built-in tool's");
        assert!(told["damaged"].contains("cannot be understood"), "{told:?}");
        assert!(told["file"].contains("is not a plain file or folder"), "{told:?}");
        assert!(told["link"].contains("is not a plain file or folder"), "{told:?}");
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_trusted() {
        let home = Home::new();
        let path = home.put("a", &manifest("a", "none"), "one");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(home.told()["a"].contains("can be written by others"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(home.told(), map(&[("a", "")]));
        fs::set_permissions(home.folder.path().join("tools"), fs::Permissions::from_mode(0o775)).unwrap();
        home.put("b", &manifest("b", "none"), "one");
        assert!(home.told()["b"].contains("can be written by others"));
    }

    #[test]
    fn there_are_not_more_than_a_model_can_be_shown() {
        let home = Home::new();
        for number in 0..=MAX_EXTENSIONS {
            let name = format!("t{number:03}");
            home.put(&name, &manifest(&name, "none"), "one");
        }
        let told = home.told();
        assert_eq!(told.values().filter(|told| told.is_empty()).count(), MAX_EXTENSIONS);
        assert!(told["t064"].contains("more than 64 extensions"), "{}", told["t064"]);
    }

    #[test]
    fn installing_replaces_and_removing_leaves_nothing() {
        let home = Home::new();
        let from = tempfile::tempdir().unwrap();
        let source = |content: &str| {
            fs::write(from.path().join("tool.toml"), manifest("a", "read")).unwrap();
            fs::write(from.path().join("c.wasm"), content).unwrap();
            Source::read(from.path()).unwrap()
        };
        for content in ["one", "two"] {
            let path = home.extensions.install(&source(content)).unwrap();
            assert_eq!(fs::read_to_string(path.join("a.wasm")).unwrap(), content);
            assert_eq!(home.told(), map(&[("a", "+ be judged as level none, + read files")]));
        }
        home.extensions.approve(&source("two")).unwrap();
        home.extensions.remove("a").unwrap();
        for folder in ["tools", "approvals"] {
            assert_eq!(fs::read_dir(home.folder.path().join(folder)).unwrap().count(), 0, "{folder}");
        }
    }
}
