//! Directory handles and the operations on paths.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::base::Reach;
use crate::content::Buffer;
use crate::error::{Result, StageError};
use crate::file::File;
use crate::hidden::is_hidden;
use crate::meta::{Kind, Metadata};
use crate::mutate::with_node;
use crate::resolve::{Final, Found, Last, MAX_PATH_BYTES, Target};
use crate::stage::Shared;
use crate::tree::{Content, NodeId, NodeKind, Tree};

/// How to open (wasi:filesystem `path-flags`, `open-flags`, `descriptor-flags`).
#[expect(clippy::struct_excessive_bools, reason = "they are the independent flags of the WASI call")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// Follow a symbolic link at the end.
    pub follow: bool,
    /// Make a file if nothing is there.
    pub create: bool,
    /// With `create`: fail if anything is there.
    pub exclusive: bool,
    /// Cut the file to nothing.
    pub truncate: bool,
    /// Fail unless it is a directory.
    pub directory: bool,
    /// Without `write`, `create` and `truncate` a file is opened for reading in any case.
    pub read: bool,
    /// `create` and `truncate` imply it.
    pub write: bool,
}

impl OpenHow {
    fn writes(self) -> bool {
        self.write || self.create || self.truncate
    }
}

/// What was opened.
#[derive(Debug)]
pub enum Opened {
    File(File),
    Dir(Dir),
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub kind: Kind,
}

/// An open directory. Paths are relative and resolved beneath it, on the merged view: `..` or a symbolic link that leads
/// above it, and an absolute path, are [`StageError::NotPermitted`]. It stays valid when the directory is renamed (it
/// follows) or removed (it is empty then).
#[derive(Debug)]
pub struct Dir {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: NodeId,
}

impl Drop for Dir {
    fn drop(&mut self) {
        self.shared.release(self.id);
    }
}

impl Dir {
    /// Returns a handle that gives back, when it is dropped, a hold that the caller made.
    pub(crate) fn of_held(shared: &Arc<Shared>, id: NodeId) -> Self {
        Self { shared: Arc::clone(shared), id }
    }

    /// Opens or makes a file, or opens a directory. A FIFO, socket or device is [`StageError::NotPermitted`]; a base file
    /// without any write bit is not opened for writing ([`StageError::Access`]). Opening for writing changes nothing yet.
    pub fn open(&self, path: &str, how: OpenHow) -> Result<Opened> {
        if how.directory && (how.create || how.exclusive || how.truncate) {
            return Err(StageError::Invalid);
        }
        if how.writes() {
            self.shared.writable()?;
        }
        let exclusive = how.create && how.exclusive;
        let last = match how {
            // Whatever is there: no file can be made under a name with a slash.
            _ if how.create && path.ends_with('/') => Final::Entry,
            _ if how.follow && !exclusive => Final::Follow,
            _ => Final::Keep,
        };
        let mut tree = self.shared.tree();
        let found = tree.resolve(&self.shared.base, self.id, path, last, Reach::Content)?;
        match (&found.target, found.kind(&tree)) {
            (Target::Hidden, _) if how.create => Err(StageError::NotPermitted),
            _ if how.create && found.slash && found.last != Last::Here && found.last != Last::Above => {
                Err(StageError::IsDirectory)
            }
            (Target::Missing, _) if how.create => self.create_file(&mut tree, &found, how),
            (_, None) => Err(StageError::NoEntry),
            _ if exclusive => Err(StageError::Exist),
            (_, Some(Kind::Other)) => Err(StageError::NotPermitted),
            (_, Some(Kind::Symlink | Kind::File)) if how.directory => Err(StageError::NotDirectory),
            (_, Some(Kind::Symlink)) => Err(StageError::Loop),
            (_, Some(Kind::Directory)) if how.writes() => Err(StageError::IsDirectory),
            (_, Some(Kind::Directory)) => self.open_directory(&mut tree, &found),
            (_, Some(Kind::File)) => self.open_file(&mut tree, found, how),
        }
    }

    fn create_file(&self, tree: &mut Tree, found: &Found, how: OpenHow) -> Result<Opened> {
        let kind = NodeKind::File(Content::Staged(Buffer::empty()));
        let id = self.shared.create(tree, found, kind, 0)?;
        tree.hold(id);
        Ok(Opened::File(File::of_held(&self.shared, id, how.read, true)))
    }

    fn open_directory(&self, tree: &mut Tree, found: &Found) -> Result<Opened> {
        let id = tree.materialise(found)?;
        tree.hold(id);
        Ok(Opened::Dir(Self::of_held(&self.shared, id)))
    }

    fn open_file(&self, tree: &mut Tree, found: Found, how: OpenHow) -> Result<Opened> {
        let id = tree.materialise(&found)?;
        tree.hold(id);
        if let Err(error) = self.prepare_file(tree, id, found, how) {
            tree.release(id);
            return Err(error);
        }
        Ok(Opened::File(File::of_held(&self.shared, id, how.read || !how.writes(), how.writes())))
    }

    fn prepare_file(&self, tree: &mut Tree, id: NodeId, found: Found, how: OpenHow) -> Result<()> {
        if how.writes() && tree.metadata(id, &self.shared.base)?.mode & 0o222 == 0 {
            return Err(StageError::Access);
        }
        match found.target {
            Target::Base(hit) => tree.get_mut(id).kind = NodeKind::File(Content::Base(Some(hit.held))),
            _ => self.shared.ensure_open(tree, id)?,
        }
        tree.note_opened(id);
        if how.truncate { self.shared.set_len(tree, id, 0) } else { Ok(()) }
    }

    /// Returns the metadata of what is at `path`.
    pub fn stat(&self, path: &str, follow: bool) -> Result<Metadata> {
        let mut tree = self.shared.tree();
        let found = self.find(&tree, path, if follow { Final::Follow } else { Final::Keep })?;
        match found.target {
            Target::Node(id) => tree.metadata(id, &self.shared.base),
            Target::Base(hit) => Ok(Metadata::from(&hit.facts)),
            Target::Missing | Target::Hidden => Err(StageError::NoEntry),
        }
    }

    /// Returns the directory's own metadata.
    pub fn metadata(&self) -> Result<Metadata> {
        self.shared.tree().metadata(self.id, &self.shared.base)
    }

    /// Makes a directory.
    pub fn create_directory(&self, path: &str) -> Result<()> {
        self.make(path, true, NodeKind::Directory(BTreeMap::new()), 0)
    }

    /// Makes a symbolic link. An absolute target is [`StageError::NotPermitted`].
    pub fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.shared.writable()?;
        check_target(target)?;
        self.make(path, false, NodeKind::Symlink(target.to_owned()), target.len() as u64)
    }

    fn make(&self, path: &str, slash: bool, kind: NodeKind, bytes: u64) -> Result<()> {
        self.shared.writable()?;
        let mut tree = self.shared.tree();
        let found = self.find(&tree, path, Final::Entry)?;
        vacant(&found, slash)?;
        self.shared.create(&mut tree, &found, kind, bytes).map(drop)
    }

    /// Returns the target of a symbolic link; [`StageError::NotPermitted`] if it is absolute, since it tells of the host.
    pub fn read_link(&self, path: &str) -> Result<String> {
        let tree = self.shared.tree();
        let found = self.find(&tree, path, Final::Keep)?;
        if found.kind(&tree).ok_or(StageError::NoEntry)? != Kind::Symlink {
            return Err(StageError::Invalid);
        }
        let target = match found.target {
            Target::Base(hit) => hit.link_target()?,
            Target::Node(id) => match &tree.get(id).kind {
                NodeKind::Symlink(target) => target.clone(),
                _ => unreachable!("its kind is a link"),
            },
            Target::Missing | Target::Hidden => unreachable!("it has a kind"),
        };
        if target.starts_with('/') { Err(StageError::NotPermitted) } else { Ok(target) }
    }

    /// Removes a file or symbolic link.
    pub fn unlink_file(&self, path: &str) -> Result<()> {
        self.shared.writable()?;
        let mut tree = self.shared.tree();
        let found = self.find(&tree, path, Final::Entry)?;
        match found.kind(&tree).ok_or(StageError::NoEntry)? {
            Kind::Directory => Err(StageError::IsDirectory),
            _ if found.slash => Err(StageError::NotDirectory),
            _ => self.shared.remove(&mut tree, &found),
        }
    }

    /// Removes an empty directory. One that holds only what the view does not show is not empty.
    pub fn remove_directory(&self, path: &str) -> Result<()> {
        self.shared.writable()?;
        let mut tree = self.shared.tree();
        let found = self.find(&tree, path, Final::Entry)?;
        match (&found.last, found.kind(&tree).ok_or(StageError::NoEntry)?) {
            (Last::Here, _) => Err(StageError::Invalid),
            (Last::Above, _) => Err(StageError::NotEmpty),
            (_, Kind::Directory) => self.shared.remove(&mut tree, &found),
            _ => Err(StageError::NotDirectory),
        }
    }

    /// Renames, over what is there as POSIX allows. A directory takes what is in it along without touching it.
    pub fn rename(&self, old: &str, new_dir: &Dir, new: &str) -> Result<()> {
        self.shared.writable()?;
        self.same_stage(new_dir)?;
        let mut tree = self.shared.tree();
        let source = self.find(&tree, old, Final::Entry)?;
        let kind = source.kind(&tree).ok_or(StageError::NoEntry)?;
        match source.last {
            Last::Here | Last::Above => return Err(StageError::Busy),
            Last::Name(_) if source.slash && kind != Kind::Directory => return Err(StageError::NotDirectory),
            Last::Name(_) => {}
        }
        // Named by a node now, so that what stands in the way of the new path is seen to be it.
        with_node(&mut tree, &source, |tree, id| {
            let target = new_dir.find(tree, new, Final::Entry)?;
            self.shared.rename(tree, id, &source, &target)
        })
    }

    /// Gives a file or symbolic link a second name. In the change set that is a second file: the base's files stay apart.
    pub fn link(&self, old: &str, new_dir: &Dir, new: &str) -> Result<()> {
        self.shared.writable()?;
        self.same_stage(new_dir)?;
        let mut tree = self.shared.tree();
        let source = self.find(&tree, old, Final::Keep)?;
        if source.kind(&tree) == Some(Kind::Directory) {
            return Err(StageError::NotPermitted);
        }
        with_node(&mut tree, &source, |tree, id| {
            let target = new_dir.find(tree, new, Final::Entry)?;
            vacant(&target, false)?;
            self.shared.link(tree, id, &target)
        })
    }

    /// Sets times in the stage (`None`: leave). They are not part of a change set.
    pub fn set_times_at(
        &self,
        path: &str,
        follow: bool,
        accessed: Option<SystemTime>,
        modified: Option<SystemTime>,
    ) -> Result<()> {
        self.shared.writable()?;
        let mut tree = self.shared.tree();
        let found = self.find(&tree, path, if follow { Final::Follow } else { Final::Keep })?;
        with_node(&mut tree, &found, |tree, id| self.shared.set_times(tree, id, accessed, modified))
    }

    /// Sets the directory's own times, as [`Self::set_times_at`].
    pub fn set_times(&self, accessed: Option<SystemTime>, modified: Option<SystemTime>) -> Result<()> {
        let mut tree = self.shared.tree();
        self.shared.set_times(&mut tree, self.id, accessed, modified)
    }

    /// Returns the merged listing, sorted by name, without `.`, `..`, hidden and non-UTF-8 names.
    pub fn entries(&self) -> Result<Vec<DirEntry>> {
        let tree = self.shared.tree();
        let children = tree.children(self.id);
        let mut entries = Vec::with_capacity(children.len());
        let staged = children.iter().filter_map(|(name, entry)| Some((name, entry.node?)));
        entries.extend(staged.map(|(name, id)| DirEntry { name: name.clone(), kind: tree.kind(id) }));
        if let Some(path) = &tree.get(self.id).base {
            let listed = self.shared.base.list_while(path, || self.shared.interrupt.check())?;
            let raw = listed.into_iter().filter(|raw| !raw.veiled);
            let visible =
                raw.filter_map(|raw| Some(DirEntry { name: String::from_utf8(raw.name).ok()?, kind: raw.kind }));
            entries.extend(visible.filter(|entry| !children.contains_key(&entry.name) && !is_hidden(&entry.name)));
        }
        entries.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    /// Returns whether both handles are of the same directory.
    pub fn is_same(&self, other: &Dir) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) && self.id == other.id
    }

    /// Returns another handle to the same directory.
    #[must_use]
    pub fn duplicate(&self) -> Dir {
        self.shared.tree().hold(self.id);
        Self::of_held(&self.shared, self.id)
    }

    pub(crate) fn find(&self, tree: &Tree, path: &str, last: Final) -> Result<Found> {
        tree.resolve(&self.shared.base, self.id, path, last, Reach::Identity)
    }

    fn same_stage(&self, other: &Dir) -> Result<()> {
        if Arc::ptr_eq(&self.shared, &other.shared) { Ok(()) } else { Err(StageError::CrossDevice) }
    }
}

/// Checks that a name is free. `slash`: whether one may follow it.
fn vacant(found: &Found, slash: bool) -> Result<()> {
    match found.target {
        Target::Hidden => Err(StageError::NotPermitted),
        Target::Missing if found.slash && !slash => Err(StageError::NoEntry),
        Target::Missing => Ok(()),
        Target::Node(_) | Target::Base(_) => Err(StageError::Exist),
    }
}

fn check_target(target: &str) -> Result<()> {
    match target {
        "" => Err(StageError::NoEntry),
        target if target.starts_with('/') => Err(StageError::NotPermitted),
        target if target.contains('\0') => Err(StageError::Invalid),
        target if target.len() >= MAX_PATH_BYTES => Err(StageError::NameTooLong),
        _ => Ok(()),
    }
}
