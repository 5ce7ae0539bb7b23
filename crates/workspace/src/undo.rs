//! Taking change sets back: one, or many at once.
//!
//! Many are composed into one set per mount, which is judged, kept and committed like every other: it is atomic and
//! survives a crash. An undo is a change set itself, so a redo is the undo of an undo.

use std::collections::{BTreeMap, BTreeSet};

use policy::CommitPermit;
use protocol::{Change, ChangeSet, ChangeSetId, CommitOutcome, Conflict, EventBody, Node, SessionId};

use crate::commit::{Attempt, CommitError, Committed};
use crate::compose::{Composed, inverse_of};
use crate::journal::{ChangeSetRecord, ChangeSetState};
use crate::workspace::Workspace;

type Result<T> = std::result::Result<T, CommitError>;

/// What taking change sets of one mount back comes to, as things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoPlan {
    /// Where it is recorded.
    pub session: SessionId,
    /// What is taken back, in the order in which it came into effect.
    pub undoes: Vec<ChangeSetId>,
    /// What would be done.
    pub changes: ChangeSet,
    /// What is in the way.
    pub obstacles: Vec<Obstacle>,
    /// Paths that are left as they are; empty unless a person spares them.
    pub spared: Vec<String>,
}

/// A path that changed since, and who changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    pub conflict: Conflict,
    /// The change set that did; `None` if nothing that is recorded here did.
    pub by: Option<ChangeSetId>,
}

/// One mount's part of what is taken back, from the journal alone.
struct Part {
    sets: Vec<ChangeSetRecord>,
    composed: Composed,
}

impl Workspace {
    /// Returns what taking `of` back comes to, for each mount. They must be committed, in effect, and of one session.
    pub fn undo_plans(&self, of: &[ChangeSetId]) -> Result<Vec<UndoPlan>> {
        self.parts(of)?.into_iter().map(|part| self.plan(part)).collect()
    }

    /// Takes back what `plan` says. The permit is for its changes, under the undo's own identifier. What was changed
    /// since is a conflict, and then nothing is changed. Blocks.
    pub fn undo(&self, permit: CommitPermit, plan: &UndoPlan) -> Result<Committed> {
        let _lock = self.lock_commits()?;
        // What is taken back is what the journal says now, whatever the plan says.
        let [part] = <[Part; 1]>::try_from(self.parts(&plan.undoes)?).map_err(|_| CommitError::ManyMounts)?;
        let spared: BTreeSet<&str> = plan.spared.iter().map(String::as_str).collect();
        let changes = &without(&part.composed.inverse, &spared);
        let change_set = permit.redeem(changes)?;
        let mount = self.mounted(&changes.mount)?;
        self.settle_before(&changes.mount)?;
        let beside = beside(&change_set, plan);
        let (session, undoes) = (&plan.session, plan.undoes.first());
        let attempt = Attempt { session, call: None, change_set, changes, undoes, beside: &beside, mount };
        let gaps: Vec<Conflict> =
            part.composed.gaps.into_iter().filter(|gap| !spared.contains(gap.path.as_str())).collect();
        if !gaps.is_empty() {
            return self.refuse(&attempt, gaps);
        }
        self.attempt(&attempt, &self.empty_stage(mount, &changes.mount), |hash| self.content(hash))
    }

    fn parts(&self, of: &[ChangeSetId]) -> Result<Vec<Part>> {
        let mut by_mount: BTreeMap<String, Vec<ChangeSetRecord>> = BTreeMap::new();
        for id in of {
            let record = self.undoable(id)?;
            by_mount.entry(record.changes.mount.clone()).or_default().push(record);
        }
        let part = |(mount, mut sets): (String, Vec<ChangeSetRecord>)| {
            sets.sort_by_key(|set| (set.effective, set.sequence));
            sets.dedup_by(|left, right| left.change_set == right.change_set);
            let composed = inverse_of(&mount, sets.iter().map(|set| &set.changes));
            Part { sets, composed }
        };
        Ok(by_mount.into_iter().map(part).collect())
    }

    fn undoable(&self, of: &ChangeSetId) -> Result<ChangeSetRecord> {
        let journal = self.journal();
        let Some(record) = journal.change_set(of)? else {
            let known = journal.has_ended(of)?;
            return Err(if known { CommitError::NotCommitted(of.clone()) } else { CommitError::Unknown(of.clone()) });
        };
        match record.state {
            ChangeSetState::Ended(CommitOutcome::Committed) => Ok(record),
            ChangeSetState::Undone { by } => Err(CommitError::AlreadyUndone { change_set: of.clone(), by }),
            _ => Err(CommitError::NotCommitted(of.clone())),
        }
    }

    fn plan(&self, part: Part) -> Result<UndoPlan> {
        let Part { sets, composed } = part;
        let mut conflicts = composed.gaps;
        conflicts.extend(self.conflicts(&composed.inverse)?);
        conflicts.sort_by(|left, right| left.path.cmp(&right.path));
        conflicts.dedup_by(|left, right| left.path == right.path);
        let obstacles = self.blame(&composed.inverse.mount, &sets, conflicts)?;
        let session = sets.first().expect("a part has one set at least").session.clone();
        let undoes = sets.into_iter().map(|set| set.change_set).collect();
        Ok(UndoPlan { session, undoes, changes: composed.inverse, obstacles, spared: Vec::new() })
    }

    fn conflicts(&self, changes: &ChangeSet) -> Result<Vec<Conflict>> {
        let mount = self.mounted(&changes.mount)?;
        Ok(self.empty_stage(mount, &changes.mount).conflicts(changes)?)
    }

    /// Finds out which change set brought each path to what is in the way.
    fn blame(&self, mount: &str, sets: &[ChangeSetRecord], conflicts: Vec<Conflict>) -> Result<Vec<Obstacle>> {
        if conflicts.is_empty() {
            return Ok(Vec::new());
        }
        let first = sets.iter().map(|set| set.sequence).min().unwrap_or(0);
        let chosen: BTreeSet<&ChangeSetId> = sets.iter().map(|set| &set.change_set).collect();
        let mut since = self.journal().change_sets_after(first)?;
        since.retain(|set| set.changes.mount == mount && is_committed(set) && !chosen.contains(&set.change_set));
        let by = |conflict: &Conflict| {
            let reaches = |change: &Change| change.path == conflict.path && change.after == conflict.found;
            let found = since.iter().find(|set| set.changes.changes.iter().any(reaches));
            found.map(|set| set.change_set.clone())
        };
        Ok(conflicts.into_iter().map(|conflict| Obstacle { by: by(&conflict), conflict }).collect())
    }

    /// Returns the plan that leaves what changed since as it is, and what cannot be done without it.
    pub fn sparing(&self, plan: UndoPlan) -> Result<UndoPlan> {
        let mut conflicts: Vec<Conflict> = plan.obstacles.iter().map(|obstacle| obstacle.conflict.clone()).collect();
        let mut changes = plan.changes.clone();
        // Each time around something is left out, so this ends.
        while !conflicts.is_empty() {
            let before = changes.changes.len();
            changes.changes.retain(|change| !conflicts.iter().any(|conflict| keeps(conflict, change)));
            if changes.changes.len() == before && !self.conflicts(&changes)?.is_empty() {
                changes.changes.clear();
            }
            conflicts = self.conflicts(&changes)?;
        }
        let left: BTreeSet<&str> = changes.changes.iter().map(|change| change.path.as_str()).collect();
        let in_the_way = plan.obstacles.iter().map(|obstacle| obstacle.conflict.path.clone());
        let not_done = plan.changes.changes.iter().map(|change| change.path.clone());
        let spared: BTreeSet<String> =
            in_the_way.chain(not_done).filter(|path| !left.contains(path.as_str())).collect();
        Ok(UndoPlan { changes, spared: spared.into_iter().collect(), ..plan })
    }
}

fn is_committed(set: &ChangeSetRecord) -> bool {
    matches!(set.state, ChangeSetState::Ended(CommitOutcome::Committed) | ChangeSetState::Undone { .. })
}

/// Tells whether `change` cannot be made while what `conflict` found stays.
fn keeps(conflict: &Conflict, change: &Change) -> bool {
    let (kept, path) = (conflict.path.as_str(), change.path.as_str());
    let directory = |node: &Node| matches!(node, Node::Directory { .. });
    let removes_directory = directory(&change.before) && !directory(&change.after);
    kept == path || is_below(path, kept) && !directory(&conflict.found) || is_below(kept, path) && removes_directory
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

fn without(changes: &ChangeSet, spared: &BTreeSet<&str>) -> ChangeSet {
    let kept = changes.changes.iter().filter(|change| !spared.contains(change.path.as_str()));
    ChangeSet { mount: changes.mount.clone(), changes: kept.cloned().collect() }
}

/// Returns what is recorded beside the intent, which itself names the first set only.
fn beside(change_set: &ChangeSetId, plan: &UndoPlan) -> Vec<EventBody> {
    let more = plan.undoes.iter().skip(1);
    let extended =
        |undoes: &ChangeSetId| EventBody::UndoExtended { change_set: change_set.clone(), undoes: undoes.clone() };
    let mut events: Vec<EventBody> = more.map(extended).collect();
    if !plan.spared.is_empty() {
        events.push(EventBody::UndoSpared { change_set: change_set.clone(), paths: plan.spared.clone() });
    }
    events
}
