//! The staged tree: what lies on top of the base.
//!
//! A directory node merges its children over a directory of the base; a name that its children do not mention falls
//! through. So renaming a directory moves one node, which keeps its base, and copies nothing. A node also exists for
//! every open handle, so that all handles to an object share it; one that nothing changed is *clean* and vanishes with
//! its last handle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::SystemTime;

use protocol::{ContentHash, Node as Stands, Stamp};

use crate::base::{Base, Held, Hit, Reach, Standing};
use crate::content::Buffer;
use crate::error::{Result, StageError};
use crate::meta::{Identity, Kind, Metadata, stamp};
use crate::quota::{Ledger, Quota};

/// Names a node for as long as it lives; never used twice.
pub(crate) type NodeId = u64;

/// The mount's root.
pub(crate) const ROOT: NodeId = 0;

/// The device of what exists only in a stage.
const STAGE_DEVICE: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    /// The base path of the object: what a directory merges over, where a file's content is until it is copied up, where
    /// a symlink was. `None` for what was made in the stage.
    pub(crate) base: Option<String>,
    /// The directory and name it has; the first one for a file with several, `None` once it is gone.
    pub(crate) place: Option<(NodeId, String)>,
    /// Names it has in the staged tree.
    pub(crate) links: u64,
    handles: u64,
    /// Whether it is staged, and so holds an entry of the quota.
    dirty: bool,
    /// Bytes of the quota that it holds.
    bytes: u64,
    /// `None`: ask the base. Size and links are computed.
    meta: Option<Metadata>,
}

#[derive(Debug)]
pub(crate) enum NodeKind {
    Directory(BTreeMap<String, Entry>),
    File(Content),
    Symlink(String),
}

/// What a directory node says about one name.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `None`: a whiteout.
    pub(crate) node: Option<NodeId>,
    /// Whether the base directory had this name when the entry was made.
    pub(crate) shadows: bool,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// In the base, open while a handle is.
    Base(Option<Held>),
    Staged(Buffer),
}

/// What the stage knows of a base file or symlink that it touched.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// At first sight.
    pub(crate) stamp: Stamp,
    /// Whether a guest opened it.
    pub(crate) opened: bool,
    /// What it was, if it was read to its end with that stamp.
    pub(crate) node: Option<Stands>,
}

/// Where an after-content of the last change set is.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Node(NodeId),
    Base(String),
}

#[derive(Debug)]
pub(crate) struct Tree {
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    pub(crate) ledger: Ledger,
    pub(crate) seen: BTreeMap<String, Seen>,
    pub(crate) expected: HashMap<String, Stamp>,
    pub(crate) found: Findings,
}

/// What the last computation of a change set found out about the base.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) sources: HashMap<ContentHash, Source>,
    pub(crate) standings: HashMap<String, Standing>,
    /// Base paths that changed between the guest's first sight and now, so that what it saw is not known.
    pub(crate) moved: BTreeSet<String>,
}

impl Tree {
    pub(crate) fn new(quota: Quota) -> Self {
        let root = Node {
            kind: NodeKind::Directory(BTreeMap::new()),
            base: Some(String::new()),
            place: None,
            links: 1,
            handles: 1,
            dirty: false,
            bytes: 0,
            meta: None,
        };
        Self {
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            ledger: Ledger::new(quota),
            seen: BTreeMap::new(),
            expected: HashMap::new(),
            found: Findings::default(),
        }
    }

    pub(crate) fn get(&self, id: NodeId) -> &Node {
        self.nodes.get(&id).expect("a node lives while something names it")
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node lives while something names it")
    }

    /// Returns the node that a content source names, if it still exists.
    pub(crate) fn is_live(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }

    #[cfg(test)]
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the children of a directory; none for anything else.
    pub(crate) fn children(&self, id: NodeId) -> &BTreeMap<String, Entry> {
        static NONE: BTreeMap<String, Entry> = BTreeMap::new();
        match &self.get(id).kind {
            NodeKind::Directory(children) => children,
            _ => &NONE,
        }
    }

    fn children_mut(&mut self, id: NodeId) -> &mut BTreeMap<String, Entry> {
        match &mut self.get_mut(id).kind {
            NodeKind::Directory(children) => children,
            _ => unreachable!("only directories have children"),
        }
    }

    pub(crate) fn kind(&self, id: NodeId) -> Kind {
        match self.get(id).kind {
            NodeKind::Directory(_) => Kind::Directory,
            NodeKind::File(_) => Kind::File,
            NodeKind::Symlink(_) => Kind::Symlink,
        }
    }

    /// Whether the directory was removed while a handle was open.
    pub(crate) fn is_gone(&self, id: NodeId) -> bool {
        self.get(id).links == 0
    }

    /// Whether `ancestor` is `id` or above it.
    pub(crate) fn is_within(&self, id: NodeId, ancestor: NodeId) -> bool {
        let mut at = Some(id);
        while let Some(here) = at {
            if here == ancestor {
                return true;
            }
            at = self.get(here).place.as_ref().map(|(parent, _)| *parent);
        }
        false
    }

    /// Returns how many bytes the path of a directory has, from the root.
    pub(crate) fn path_bytes(&self, id: NodeId) -> usize {
        let mut bytes = 0;
        let mut at = id;
        while let Some((parent, name)) = &self.get(at).place {
            bytes += name.len() + 1;
            at = *parent;
        }
        bytes
    }

    // Nodes for what the base holds

    /// Returns the node of the directory `rest` beneath `dir`, making clean nodes on the way.
    pub(crate) fn settle(&mut self, dir: NodeId, rest: &str) -> NodeId {
        rest.split('/').filter(|name| !name.is_empty()).fold(dir, |parent, name| {
            let known = self.children(parent).get(name).and_then(|entry| entry.node);
            known.unwrap_or_else(|| self.insert_clean(parent, name, NodeKind::Directory(BTreeMap::new()), None))
        })
    }

    /// Returns a new clean node for what a lookup found at `name` in `parent`.
    pub(crate) fn adopt(&mut self, parent: NodeId, name: &str, hit: &Hit) -> Result<NodeId> {
        let kind = match hit.kind() {
            Kind::Directory => NodeKind::Directory(BTreeMap::new()),
            Kind::File => NodeKind::File(Content::Base(None)),
            Kind::Symlink => NodeKind::Symlink(hit.link_target()?),
            Kind::Other => return Err(StageError::NotPermitted),
        };
        let id = self.insert_clean(parent, name, kind, Some(Metadata::from(&hit.facts)));
        if hit.kind() != Kind::Directory {
            let path = self.get(id).base.clone().expect("it is in the base");
            let seen = || Seen { stamp: stamp(&hit.facts), opened: false, node: None };
            self.seen.entry(path).or_insert_with(seen);
        }
        Ok(id)
    }

    /// Notes that a guest opened a base file.
    pub(crate) fn note_opened(&mut self, id: NodeId) {
        if let Node { base: Some(path), kind: NodeKind::File(Content::Base(_)), .. } =
            self.nodes.get(&id).expect("it is held")
            && let Some(seen) = self.seen.get_mut(path)
        {
            seen.opened = true;
        }
    }

    fn insert_clean(&mut self, parent: NodeId, name: &str, kind: NodeKind, meta: Option<Metadata>) -> NodeId {
        let base = self.get(parent).base.as_deref().expect("it was found beneath the base");
        let node = Node {
            kind,
            base: Some(join(base, name)),
            place: Some((parent, name.to_owned())),
            links: 1,
            handles: 0,
            dirty: false,
            bytes: 0,
            meta,
        };
        let id = self.insert(node);
        self.children_mut(parent).insert(name.to_owned(), Entry { node: Some(id), shadows: true });
        id
    }

    fn insert(&mut self, node: Node) -> NodeId {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        id
    }

    // Handles

    pub(crate) fn hold(&mut self, id: NodeId) {
        self.get_mut(id).handles += 1;
    }

    /// Gives a handle back. A node that nothing needs any more goes, and clean parents with it.
    pub(crate) fn release(&mut self, id: NodeId) {
        let node = self.get_mut(id);
        node.handles -= 1;
        if node.handles > 0 {
            return;
        }
        if let NodeKind::File(Content::Base(file)) = &mut node.kind {
            *file = None;
        }
        self.prune(id);
    }

    /// Removes the node if it is gone or clean and nothing needs it, then its parent likewise.
    pub(crate) fn prune(&mut self, id: NodeId) {
        let mut at = id;
        while at != ROOT {
            let node = self.get(at);
            if node.handles > 0 {
                return;
            }
            if node.links == 0 {
                self.free(at);
                return;
            }
            if node.dirty || !self.children(at).is_empty() {
                return;
            }
            let (parent, name) = self.get(at).place.clone().expect("a clean node has its place");
            self.children_mut(parent).remove(&name);
            self.free(at);
            at = parent;
        }
    }

    fn free(&mut self, id: NodeId) {
        let node = self.nodes.remove(&id).expect("a node is freed once");
        self.ledger.give(u64::from(node.dirty), node.bytes);
    }

    // Changes. None of these can fail: whoever calls them has asked the ledger and the rules before.

    /// Makes a node at `name` in `dir`. The caller took one entry and `bytes`.
    pub(crate) fn create(&mut self, dir: NodeId, name: &str, kind: NodeKind, bytes: u64, now: SystemTime) -> NodeId {
        let (kind_of, mode) = match &kind {
            NodeKind::Directory(_) => (Kind::Directory, 0o755),
            NodeKind::File(_) => (Kind::File, 0o644),
            NodeKind::Symlink(_) => (Kind::Symlink, 0o777),
        };
        let meta = Metadata {
            kind: kind_of,
            size: 0,
            links: 0,
            mode,
            accessed: now,
            modified: now,
            changed: now,
            identity: Identity { device: STAGE_DEVICE, inode: self.next },
        };
        let node = Node { kind, base: None, place: None, links: 0, handles: 0, dirty: true, bytes, meta: Some(meta) };
        let id = self.insert(node);
        self.attach(dir, name, id, now);
        id
    }

    /// Gives a node a name, in the place of a whiteout or of nothing.
    pub(crate) fn attach(&mut self, dir: NodeId, name: &str, id: NodeId, now: SystemTime) {
        let children = self.children_mut(dir);
        let whiteout = children.get(name).is_some_and(|entry| entry.node.is_none());
        children.insert(name.to_owned(), Entry { node: Some(id), shadows: whiteout });
        self.ledger.give(u64::from(whiteout), 0);
        let node = self.get_mut(id);
        node.links += 1;
        node.place.get_or_insert_with(|| (dir, name.to_owned()));
        self.touch(dir, now);
    }

    /// Takes a name away. If it shadows the base a whiteout stays, for which the caller took an entry.
    pub(crate) fn detach(&mut self, dir: NodeId, name: &str, now: SystemTime) -> NodeId {
        let children = self.children_mut(dir);
        let entry = children.remove(name).expect("the name was resolved");
        if entry.shadows {
            children.insert(name.to_owned(), Entry { node: None, shadows: true });
        }
        let id = entry.node.expect("a whiteout is not resolved");
        let node = self.get_mut(id);
        node.links -= 1;
        if node.place.as_ref().is_some_and(|(parent, own)| *parent == dir && own == name) {
            node.place = None;
        }
        self.touch(dir, now);
        id
    }

    /// Ends a node that [`Self::detach`] took its last name from; open handles keep it until they close.
    pub(crate) fn discard(&mut self, id: NodeId) {
        if let NodeKind::Directory(children) = &mut self.get_mut(id).kind {
            let whiteouts = std::mem::take(children).len() as u64;
            self.ledger.give(whiteouts, 0);
            self.get_mut(id).base = None;
        }
        self.prune(id);
    }

    pub(crate) fn is_dirty(&self, id: NodeId) -> bool {
        self.get(id).dirty
    }

    /// Marks the node as staged; the caller took an entry if it was not.
    pub(crate) fn mark_dirty(&mut self, id: NodeId) {
        self.get_mut(id).dirty = true;
    }

    /// Makes sure that the node is staged, taking the entry.
    pub(crate) fn stage(&mut self, id: NodeId) -> Result<()> {
        if !self.is_dirty(id) {
            self.ledger.take(1, 0)?;
            self.mark_dirty(id);
        }
        Ok(())
    }

    /// Sets how many bytes of the quota the node holds.
    pub(crate) fn set_bytes(&mut self, id: NodeId, bytes: u64) {
        self.get_mut(id).bytes = bytes;
    }

    fn touch(&mut self, dir: NodeId, now: SystemTime) {
        if let Some(meta) = &mut self.get_mut(dir).meta {
            (meta.modified, meta.changed) = (now, now);
        }
    }

    // Metadata

    /// Fetches the metadata of a directory that was only passed through.
    pub(crate) fn ensure_metadata(&mut self, id: NodeId, base: &Base) -> Result<()> {
        if self.get(id).meta.is_none() {
            let path = self.get(id).base.as_deref().unwrap_or_default();
            let hit = base.lookup(path, Reach::Identity)?;
            self.get_mut(id).meta = Some(Metadata::from(&hit.facts));
        }
        Ok(())
    }

    pub(crate) fn metadata(&mut self, id: NodeId, base: &Base) -> Result<Metadata> {
        self.ensure_metadata(id, base)?;
        let node = self.get(id);
        let mut meta = node.meta.expect("it was just ensured");
        match &node.kind {
            NodeKind::Symlink(target) => meta.size = target.len() as u64,
            NodeKind::File(Content::Staged(buffer)) => meta.size = buffer.len(),
            NodeKind::File(Content::Base(Some(file))) if !node.dirty => {
                meta = Metadata::from(&file.facts()?);
            }
            NodeKind::Directory(_) | NodeKind::File(Content::Base(_)) => {}
        }
        // What the base counts includes the name that the node stands for.
        meta.links =
            if meta.identity.device == STAGE_DEVICE { node.links } else { (meta.links + node.links).saturating_sub(1) };
        Ok(meta)
    }

    /// Returns the permission bits of what was made or copied up here.
    pub(crate) fn mode(&self, id: NodeId) -> u32 {
        self.get(id).meta.expect("staged nodes have metadata").mode
    }

    /// Returns the links that the base counts for the node.
    pub(crate) fn base_links(&self, id: NodeId) -> u64 {
        self.get(id).meta.map_or(0, |meta| meta.links)
    }

    /// Returns the stored metadata of a node that [`Self::ensure_metadata`] or its creation filled.
    pub(crate) fn meta_mut(&mut self, id: NodeId) -> &mut Metadata {
        self.get_mut(id).meta.as_mut().expect("it was ensured")
    }
}

#[cfg(test)]
impl Tree {
    /// Checks that the ledger, the names and the handles agree with the nodes.
    pub(crate) fn audit(&self) {
        let mut names: HashMap<NodeId, u64> = HashMap::from([(ROOT, 1)]);
        let mut used = crate::quota::Usage::default();
        for (id, node) in &self.nodes {
            used.entries += u64::from(node.dirty) + node.links.saturating_sub(1);
            used.bytes += node.bytes;
            if let NodeKind::File(Content::Staged(buffer)) = &node.kind {
                assert_eq!(node.bytes, buffer.len());
            }
            for (name, entry) in self.children(*id) {
                match entry.node {
                    None => used.entries += 1,
                    Some(child) => *names.entry(child).or_default() += 1,
                }
                if let Some(child) = entry.node.filter(|child| self.kind(*child) == Kind::Directory) {
                    assert_eq!(self.get(child).place, Some((*id, name.clone())));
                }
            }
        }
        for (id, node) in &self.nodes {
            assert_eq!(node.links, names.get(id).copied().unwrap_or_default(), "links of {id}");
            let needed = node.handles > 0 || node.dirty || !self.children(*id).is_empty();
            assert!(needed, "node {id} is left over");
            assert!(node.handles > 0 || node.links > 0, "node {id} is unreachable");
        }
        assert_eq!(self.ledger.used(), used);
    }
}

/// Joins a directory's path and a name.
pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}
