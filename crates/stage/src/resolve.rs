//! Paths to nodes, on the merged view.
//!
//! A walk follows the staged nodes; where they end it asks the base for the whole rest at once, and takes it one component
//! at a time only if that meets a symbolic link. Links are followed here, never by the kernel, because a staged link or a
//! whiteout may be in the way. The result carries what was found, so that nothing is looked up twice.

use std::borrow::Cow;

use rustix::io::Errno;

use crate::base::{Base, Hit, Reach};
use crate::error::{Result, StageError};
use crate::hidden::is_hidden;
use crate::meta::Kind;
use crate::tree::{NodeId, NodeKind, Tree, join};

/// Longest path (Linux `PATH_MAX`), in bytes.
pub(crate) const MAX_PATH_BYTES: usize = 4096;

/// Longest name (`NAME_MAX` of every common file system), in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Most symbolic links in one resolution (Linux `MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

/// A directory: `rest` beneath the node `dir`, every component of it a real directory of the base without a node.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) dir: NodeId,
    pub(crate) rest: String,
}

/// The end of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Last {
    Name(String),
    /// `.`, so the place itself.
    Here,
    /// `..`, so the place itself, which is above where the path had been.
    Above,
}

#[derive(Debug)]
pub(crate) enum Target {
    Node(NodeId),
    /// In the base, without a node.
    Base(Hit),
    Missing,
    /// Nothing may be seen or made under this name.
    Hidden,
}

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) last: Last,
    pub(crate) target: Target,
    /// Whether the path ended in a slash.
    pub(crate) slash: bool,
}

/// What to do with a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Final {
    Follow,
    /// Keep it, unless a slash follows (`lstat`, `O_NOFOLLOW`).
    Keep,
    /// Keep it in any case: the name is what is made, moved or removed.
    Entry,
}

struct Walk<'a> {
    tree: &'a Tree,
    base: &'a Base,
    /// The handle's directory, above which `..` may not lead.
    jail: NodeId,
    place: Place,
    links: u32,
    last: Final,
    reach: Reach,
}

/// One step of a walk.
enum Step {
    Done(Found),
    /// Go on with this path.
    On(String),
}

impl Tree {
    /// Finds `path` beneath the directory `jail`.
    pub(crate) fn resolve(&self, base: &Base, jail: NodeId, path: &str, last: Final, reach: Reach) -> Result<Found> {
        check(path)?;
        let place = Place { dir: jail, rest: String::new() };
        let mut walk = Walk { tree: self, base, jail, place, links: 0, last, reach };
        let mut todo = Cow::Borrowed(path);
        loop {
            match walk.step(&todo)? {
                Step::Done(found) => return Ok(found),
                Step::On(rest) => todo = Cow::Owned(rest),
            }
        }
    }

    /// Returns the node of what was found, making a clean one if the base alone has it.
    pub(crate) fn materialise(&mut self, found: &Found) -> Result<NodeId> {
        match (&found.target, &found.last) {
            (Target::Node(id), _) => Ok(*id),
            (Target::Base(hit), Last::Name(name)) => {
                if hit.kind() == Kind::Other {
                    return Err(StageError::NotPermitted);
                }
                let parent = self.settle(found.place.dir, &found.place.rest);
                let adopted = self.adopt(parent, name, hit);
                if adopted.is_err() {
                    self.prune(parent);
                }
                adopted
            }
            (Target::Base(_), _) => Ok(self.settle(found.place.dir, &found.place.rest)),
            (Target::Missing | Target::Hidden, _) => Err(StageError::NoEntry),
        }
    }

    fn base_path(&self, place: &Place) -> Option<String> {
        let base = self.get(place.dir).base.as_deref()?;
        Some(if place.rest.is_empty() { base.to_owned() } else { join(base, &place.rest) })
    }
}

impl Found {
    pub(crate) fn kind(&self, tree: &Tree) -> Option<Kind> {
        match &self.target {
            Target::Node(id) => Some(tree.kind(*id)),
            Target::Base(hit) => Some(hit.kind()),
            Target::Missing | Target::Hidden => None,
        }
    }
}

impl Walk<'_> {
    /// Takes one component of `todo`, or all of it where the base can answer at once.
    fn step(&mut self, todo: &str) -> Result<Step> {
        let todo = todo.trim_start_matches('/');
        let (name, rest) = todo.split_once('/').unwrap_or((todo, ""));
        let slash = name.len() < todo.len();
        let rest = rest.trim_start_matches('/');
        match name {
            "" | "." => return self.stay(Last::Here, rest),
            ".." => {
                self.up()?;
                return self.stay(Last::Above, rest);
            }
            name if name.len() > MAX_NAME_BYTES => return Err(StageError::NameTooLong),
            name if is_hidden(name) && rest.is_empty() => return Ok(self.done(name, Target::Hidden, slash)),
            name if is_hidden(name) => return Err(StageError::NoEntry),
            _ => {}
        }
        if !self.place.rest.is_empty() {
            return self.in_base(name, rest, slash);
        }
        match self.tree.children(self.place.dir).get(name) {
            Some(entry) => self.at_entry(entry.node, name, rest, slash),
            None if self.tree.get(self.place.dir).base.is_none() => self.missing(name, rest, slash),
            None => self.in_base(name, rest, slash),
        }
    }

    fn stay(&self, last: Last, rest: &str) -> Result<Step> {
        if !rest.is_empty() {
            return Ok(Step::On(rest.to_owned()));
        }
        let place = self.place.clone();
        let target = match self.tree.base_path(&place) {
            Some(path) if !place.rest.is_empty() => Target::Base(self.base.lookup(&path, Reach::Identity)?),
            _ => Target::Node(place.dir),
        };
        Ok(Step::Done(Found { place, last, target, slash: true }))
    }

    fn up(&mut self) -> Result<()> {
        if let Some((above, _)) = self.place.rest.rsplit_once('/') {
            self.place.rest.truncate(above.len());
        } else if !self.place.rest.is_empty() {
            self.place.rest.clear();
        } else if self.place.dir == self.jail {
            return Err(StageError::NotPermitted);
        } else {
            let (parent, _) = self.tree.get(self.place.dir).place.as_ref().ok_or(StageError::NoEntry)?;
            self.place.dir = *parent;
        }
        Ok(())
    }

    fn at_entry(&mut self, node: Option<NodeId>, name: &str, rest: &str, slash: bool) -> Result<Step> {
        let Some(id) = node else { return self.missing(name, rest, slash) };
        match &self.tree.get(id).kind {
            NodeKind::Symlink(target) if self.follows(rest, slash) => self.expand(target, rest, slash),
            NodeKind::Directory(_) if !rest.is_empty() => {
                self.place = Place { dir: id, rest: String::new() };
                Ok(Step::On(rest.to_owned()))
            }
            NodeKind::Directory(_) => Ok(self.done(name, Target::Node(id), slash)),
            _ if rest.is_empty() => self.leaf(name, Target::Node(id), slash),
            _ => Err(StageError::NotDirectory),
        }
    }

    fn in_base(&mut self, name: &str, rest: &str, slash: bool) -> Result<Step> {
        let Some(directory) = self.tree.base_path(&self.place) else { return self.missing(name, rest, slash) };
        let end = if rest.is_empty() { slash } else { rest.ends_with('/') };
        if let Some(names) = plain(rest)
            && let Some(step) = self.at_once(&directory, name, &names, end)?
        {
            return Ok(step);
        }
        self.one(&directory, name, rest, slash)
    }

    /// Looks the whole rest of a path up with one call. `None`: something is in the way that must be taken step by step.
    fn at_once(&mut self, directory: &str, name: &str, rest: &[&str], slash: bool) -> Result<Option<Step>> {
        let (last, middle) = rest.split_last().map_or((name, rest), |(last, middle)| (*last, middle));
        let passed = || std::iter::once(name).chain(middle.iter().copied()).take(rest.len());
        let parent = passed().fold(directory.to_owned(), |path, name| join(&path, name));
        let target = match self.base.lookup(&join(&parent, last), self.reach) {
            Ok(hit) if hit.kind() == Kind::Symlink => return Ok(None),
            Ok(hit) => Target::Base(hit),
            Err(Errno::NOENT) if rest.is_empty() => Target::Missing,
            Err(Errno::NOENT) if self.is_directory(&parent) => Target::Missing,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        passed().for_each(|name| self.descend(name));
        self.leaf(last, target, slash).map(Some)
    }

    fn is_directory(&self, path: &str) -> bool {
        self.base.lookup(path, Reach::Identity).is_ok_and(|hit| hit.kind() == Kind::Directory)
    }

    /// Looks one component up.
    fn one(&mut self, directory: &str, name: &str, rest: &str, slash: bool) -> Result<Step> {
        let path = join(directory, name);
        let hit = match self.base.lookup(&path, Reach::Identity) {
            Ok(hit) => hit,
            Err(Errno::NOENT) => return self.missing(name, rest, slash),
            // A directory that the walk has passed is a link now: somebody else is at work here.
            Err(Errno::LOOP) => return Err(StageError::NotPermitted),
            Err(errno) => return Err(errno.into()),
        };
        match hit.kind() {
            Kind::Symlink if self.follows(rest, slash) => self.expand(&hit.link_target()?, rest, slash),
            Kind::Directory if !rest.is_empty() => {
                self.descend(name);
                Ok(Step::On(rest.to_owned()))
            }
            _ if !rest.is_empty() => Err(StageError::NotDirectory),
            Kind::File if self.reach == Reach::Content => {
                let hit = self.base.lookup(&path, Reach::Content)?;
                self.leaf(name, Target::Base(hit), slash)
            }
            _ => self.leaf(name, Target::Base(hit), slash),
        }
    }

    /// Whether a link with this after it is to be followed.
    fn follows(&self, rest: &str, slash: bool) -> bool {
        !rest.is_empty() || self.last == Final::Follow || (slash && self.last == Final::Keep)
    }

    fn expand(&mut self, target: &str, rest: &str, slash: bool) -> Result<Step> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(StageError::Loop);
        }
        check(target)?;
        Ok(Step::On(if slash { format!("{target}/{rest}") } else { target.to_owned() }))
    }

    fn descend(&mut self, name: &str) {
        if !self.place.rest.is_empty() {
            self.place.rest.push('/');
        }
        self.place.rest.push_str(name);
    }

    fn missing(&self, name: &str, rest: &str, slash: bool) -> Result<Step> {
        if rest.is_empty() { Ok(self.done(name, Target::Missing, slash)) } else { Err(StageError::NoEntry) }
    }

    /// Ends at something; a slash after what is no directory is an error, except where the caller judges it.
    fn leaf(&self, name: &str, target: Target, slash: bool) -> Result<Step> {
        let Step::Done(found) = self.done(name, target, slash) else { unreachable!("done ends a walk") };
        let no_directory = found.kind(self.tree).is_some_and(|kind| kind != Kind::Directory);
        if slash && no_directory && self.last != Final::Entry {
            return Err(StageError::NotDirectory);
        }
        Ok(Step::Done(found))
    }

    fn done(&self, name: &str, target: Target, slash: bool) -> Step {
        Step::Done(Found { place: self.place.clone(), last: Last::Name(name.to_owned()), target, slash })
    }
}

/// Returns the names of a path if the kernel may be given all of them at once.
fn plain(path: &str) -> Option<Vec<&str>> {
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
    let plain = |name: &&str| !matches!(*name, "." | "..") && name.len() <= MAX_NAME_BYTES && !is_hidden(name);
    names.iter().all(plain).then_some(names)
}

/// Refuses what can be no path beneath a directory.
fn check(path: &str) -> Result<()> {
    match path {
        "" => Err(StageError::NoEntry),
        path if path.starts_with('/') => Err(StageError::NotPermitted),
        path if path.contains('\0') => Err(StageError::Invalid),
        path if path.len() > MAX_PATH_BYTES => Err(StageError::NameTooLong),
        _ => Ok(()),
    }
}
