//! Settling commits that were interrupted: by a crash, or by an error half-way.
//!
//! An intended commit whose paths all stand as before or as after is finished. If a person changed one of them meanwhile,
//! the commit is taken back instead and that path is left alone: nothing of a commit that nobody was told of remains,
//! and nothing of a person's is overwritten. Each step brings one path from a known state to the wanted one, so settling
//! can be interrupted and begun again. What cannot be settled now (a mount that is not there, a full disk) stays
//! unfinished, is reported, and keeps its mount from further commits.

use protocol::{Change, ChangeSet, CommitOutcome, Node};
use stage::{Base, StageError, Step, Writer, steps};

use crate::commit::{CommitError, Committed};
use crate::faults;
use crate::journal::{Durability, Unfinished};
use crate::workspace::{Opening, Workspace};

type Result<T> = std::result::Result<T, CommitError>;

/// Where an interrupted commit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// What a path has to do with the side it should be brought to.
enum Standing {
    There,
    /// It stands so, and may be brought there.
    Away(Node),
    /// A person changed it.
    Foreign,
}

impl Workspace {
    /// Settles every interrupted commit that can be. The caller holds the commit lock.
    pub(crate) fn settle(&self) -> Result<Opening> {
        let mut opening = Opening::default();
        for unfinished in self.journal().unfinished()? {
            match self.settle_one(&unfinished) {
                Ok(committed) => opening.settled.push(committed),
                Err(error) => opening.unsettled.push((unfinished.change_set, error.to_string())),
            }
        }
        Ok(opening)
    }

    /// Settles what was interrupted, so that a commit to `mount` begins on known ground.
    pub(crate) fn settle_before(&self, mount: &str) -> Result<()> {
        for unfinished in self.journal().unfinished()? {
            match self.settle_one(&unfinished) {
                Err(error) if unfinished.changes.mount == mount => {
                    let (change_set, reason) = (unfinished.change_set, error.to_string());
                    return Err(CommitError::Unsettled { change_set, reason });
                }
                // Another mount's is reported when the workspace is opened.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn settle_one(&self, unfinished: &Unfinished) -> Result<Committed> {
        let Unfinished { session, change_set, changes, place } = unfinished;
        let mount = self.mounted(&changes.mount)?;
        if mount.place != *place {
            let reason = format!("{} is another directory than it was then", changes.mount);
            return Err(CommitError::Unsettled { change_set: change_set.clone(), reason });
        }
        let writer = self.writer(mount)?;
        writer.sweep(changes.changes.iter().map(|change| change.path.as_str()))?;
        let outcome = match self.complete(&writer, &mount.base, changes) {
            Ok(true) => CommitOutcome::Committed,
            Ok(false) => self.restore(&writer, &mount.base, changes, INTERRUPTED)?,
            Err(error) => self.restore(&writer, &mount.base, changes, &format!("{INTERRUPTED}, and then {error}"))?,
        };
        faults::point("settled");
        self.finish(session, change_set, &outcome, Durability::Power)?;
        Ok(Committed { change_set: change_set.clone(), outcome, observed: Vec::new() })
    }

    /// Finishes a commit, unless a person changed one of its paths.
    fn complete(&self, writer: &Writer, base: &Base, changes: &ChangeSet) -> Result<bool> {
        let (todo, foreign) = survey(base, changes, Side::After)?;
        if !foreign.is_empty() {
            return Ok(false);
        }
        for step in steps(&todo) {
            faults::point("settling");
            self.perform(writer, &step)?;
        }
        Ok(true)
    }

    /// Takes a commit back, leaving alone what a person changed.
    pub(crate) fn restore(
        &self,
        writer: &Writer,
        base: &Base,
        changes: &ChangeSet,
        why: &str,
    ) -> Result<CommitOutcome> {
        let (todo, mut foreign) = survey(base, changes, Side::Before)?;
        for step in steps(&todo) {
            faults::point("restoring");
            let (Step::Remove(change) | Step::Put(change)) = step;
            match self.perform(writer, &step) {
                Ok(_) => {}
                Err(CommitError::Stage(error)) if is_interference(&error, base, &change.path) => {
                    foreign.push(change.path.clone());
                }
                Err(error) => return Err(error),
            }
        }
        foreign.sort_unstable();
        foreign.dedup();
        let reason = match foreign.as_slice() {
            [] => why.to_owned(),
            paths => format!("{why}; changed meanwhile and left as it is: {}", paths.join(", ")),
        };
        Ok(CommitOutcome::RolledBack { reason })
    }
}

const INTERRUPTED: &str = "it was interrupted";

/// Returns the changes that still lead to `side`, and the paths that a person changed.
fn survey(base: &Base, changes: &ChangeSet, side: Side) -> Result<(ChangeSet, Vec<String>)> {
    let (mut todo, mut foreign) = (Vec::new(), Vec::new());
    for change in &changes.changes {
        let (from, target) = match side {
            Side::Before => (&change.after, &change.before),
            Side::After => (&change.before, &change.after),
        };
        match standing(base, &change.path, from, target)? {
            Standing::There => {}
            Standing::Away(before) => {
                let (path, after) = (change.path.clone(), target.clone());
                todo.push(Change { path, before, after, renamed_from: None });
            }
            Standing::Foreign => foreign.push(change.path.clone()),
        }
    }
    Ok((ChangeSet { mount: changes.mount.clone(), changes: todo }, foreign))
}

fn standing(base: &Base, path: &str, from: &Node, target: &Node) -> Result<Standing> {
    let node = match base.node(path) {
        Err(StageError::Unrepresentable { .. } | StageError::Changed { .. }) => return Ok(Standing::Foreign),
        node => node?,
    };
    Ok(match node {
        node if node == *target => Standing::There,
        node if node == *from || is_between(&node, from, target) => Standing::Away(node),
        _ => Standing::Foreign,
    })
}

/// Tells whether a step leaves `node` behind when it is cut short: a directory is made before it gets its mode, and
/// nothing stands between a directory and something else. Bringing either further overwrites no content.
fn is_between(node: &Node, from: &Node, target: &Node) -> bool {
    let directory = |node: &Node| matches!(node, Node::Directory { .. });
    directory(from) != directory(target) && matches!(node, Node::Absent | Node::Directory { .. })
}

/// Tells whether a step failed because somebody else works in the same tree, and not because the host cannot.
fn is_interference(error: &StageError, base: &Base, path: &str) -> bool {
    use std::io::ErrorKind as Kind;
    let in_the_way = match error {
        StageError::Changed { .. } | StageError::Unrepresentable { .. } => true,
        StageError::Host { code, .. } => matches!(
            std::io::Error::from_raw_os_error(*code).kind(),
            Kind::AlreadyExists | Kind::DirectoryNotEmpty | Kind::IsADirectory | Kind::NotADirectory
        ),
        _ => false,
    };
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    in_the_way || !matches!(base.node(parent), Ok(Node::Directory { .. }))
}
