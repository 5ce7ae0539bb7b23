//! `boxagnts changes undo` and `redo`: taking changes back, and taking that back.

use std::collections::BTreeSet;

use policy::{CommitRequest, Decision, PolicyRecord, Principal};
use protocol::{Basis, ChangeSetId, Conflict, Level, Node};
use workspace::{
    ChangeSetRecord, ChangeSetRole, ChangeSetState, Committed, Obstacle, UndoPlan, Undoable, Workspace,
    block_for_terminal, for_terminal,
};

use super::changes::named;
use super::print;
use crate::args::{Place, TakeBack};
use crate::boot::{Site, WORK, random};
use crate::exit::{Exit, Failure};
use crate::progress::change_word;
use crate::translate::{commit_failure, lookup};

const LIST: &str = "boxagnts changes list";

/// Which of the two is done, and how it is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// What rules and records call it, and what is typed.
    name: &'static str,
    done: &'static str,
    does: &'static str,
    is_undo: bool,
}

/// Takes back what calls did.
pub(crate) const UNDO: Way = Way { name: "undo", done: "undone", does: "undoes", is_undo: true };

/// Takes back an undo.
const REDO: Way = Way { name: "redo", done: "redone", does: "redoes", is_undo: false };

pub(crate) fn undo(place: &Place, id: Option<&str>, how: TakeBack) -> Result<Exit, Failure> {
    Taking { way: UNDO, id, how }.run(place)
}

pub(crate) fn redo(place: &Place, id: Option<&str>, how: TakeBack) -> Result<Exit, Failure> {
    Taking { way: REDO, id, how }.run(place)
}

/// What was typed.
struct Taking<'a> {
    way: Way,
    id: Option<&'a str>,
    how: TakeBack,
}

impl Taking<'_> {
    fn run(&self, place: &Place) -> Result<Exit, Failure> {
        let site = Site::find(place)?;
        let workspace = site.workspace()?;
        let plans = self.plans(&workspace)?;
        for plan in &plans {
            if self.how.dry_run { self.show(&workspace, plan)? } else { self.make(&site, &workspace, plan)? }
        }
        Ok(Exit::Done)
    }

    /// Returns what is to be done, for each mount. It fails where something is in the way, before anything is done.
    fn plans(&self, workspace: &Workspace) -> Result<Vec<UndoPlan>, Failure> {
        let mut plans = workspace.undo_plans(&self.chosen(workspace)?)?;
        if self.how.keep_changed {
            plans = plans.into_iter().map(|plan| workspace.sparing(plan)).collect::<Result<_, _>>()?;
        }
        let is_blocked = plans.iter().any(|plan| !plan.obstacles.is_empty());
        let is_empty = plans.iter().all(|plan| plan.changes.is_empty());
        if is_blocked && (is_empty || !self.how.keep_changed) {
            return Err(self.blocked(&plans));
        }
        if is_empty {
            return Err(Failure::usage(format!(
                "what these change sets did cancels out; nothing can be {}",
                self.way.done
            )));
        }
        plans.retain(|plan| !plan.changes.is_empty());
        Ok(plans)
    }

    fn chosen(&self, workspace: &Workspace) -> Result<Vec<ChangeSetId>, Failure> {
        let Some(prefix) = self.id else { return Ok(vec![self.last(workspace)?.change_set]) };
        let journal = workspace.journal();
        let target = journal.find_undoable(prefix).map_err(|error| lookup(error, LIST))?;
        let sets = journal.change_sets_of(&target)?;
        if sets.is_empty() {
            return Err(Failure::usage(format!(
                "{target} changed no files, or they were committed with those of other calls"
            ))
            .hint(format!("see what did: {LIST}")));
        }
        match (&target, self.way.is_undo) {
            // What keeps one from being taken back is told by whoever takes it back.
            (Undoable::ChangeSet(id), true) => Ok(vec![id.clone()]),
            (Undoable::ChangeSet(id), false) if sets[0].role == ChangeSetRole::Undo => Ok(vec![id.clone()]),
            _ => self.of_many(&target, &sets),
        }
    }

    /// Returns the set that came into effect last.
    fn last(&self, workspace: &Workspace) -> Result<ChangeSetRecord, Failure> {
        let role = if self.way.is_undo { ChangeSetRole::Change } else { ChangeSetRole::Undo };
        let nothing = || {
            Failure::usage(format!("there is nothing to {}", self.way.name)).hint(format!("see what there is: {LIST}"))
        };
        workspace.journal().last_in_effect(role)?.ok_or_else(nothing)
    }

    /// Returns those of `sets` that are in effect, or what undid the others.
    fn of_many(&self, target: &Undoable, sets: &[ChangeSetRecord]) -> Result<Vec<ChangeSetId>, Failure> {
        let chosen: BTreeSet<ChangeSetId> = sets.iter().filter_map(|set| self.choice(set)).collect();
        if chosen.is_empty() {
            let state = if self.way.is_undo { "is in effect any more" } else { "is undone" };
            return Err(Failure::usage(format!("nothing of {target} {state}")).hint(format!("see what is: {LIST}")));
        }
        Ok(chosen.into_iter().collect())
    }

    fn choice(&self, set: &ChangeSetRecord) -> Option<ChangeSetId> {
        match &set.state {
            _ if self.way.is_undo => set.is_in_effect().then(|| set.change_set.clone()),
            ChangeSetState::Undone { by } => Some(by.clone()),
            _ => None,
        }
    }

    fn show(&self, workspace: &Workspace, plan: &UndoPlan) -> Result<(), Failure> {
        print(block_for_terminal(&workspace.diff(&plan.changes)?).trim_end())?;
        kept(plan).iter().try_for_each(|line| print(line))?;
        eprintln!("nothing was changed; without --dry-run this {} {}", self.way.does, named(&plan.undoes));
        Ok(())
    }

    fn make(&self, site: &Site, workspace: &Workspace, plan: &UndoPlan) -> Result<(), Failure> {
        let committed = carry_out(site, workspace, plan, self.way)?;
        if let Some(failure) = commit_failure(&committed.outcome) {
            return Err(failure);
        }
        for change in &plan.changes.changes {
            let word = self.word(&change.before, &change.after);
            print(&format!("{word} {}", place_of(&plan.changes.mount, &change.path)))?;
        }
        kept(plan).iter().try_for_each(|line| print(line))?;
        let id = &committed.change_set;
        let made = workspace.journal().change_set(id)?;
        let (does, back) = match made.as_ref().map(|made| made.role) {
            Some(ChangeSetRole::Redo) => ("redoes", "undo"),
            _ => ("undoes", "redo"),
        };
        let of = made.map_or_else(String::new, |made| named(&made.of));
        eprintln!("change set {id} {does} {of}; the way back: boxagnts changes {back} {id}");
        Ok(())
    }

    fn word(&self, before: &Node, after: &Node) -> &'static str {
        match (self.way.is_undo, after) {
            (false, _) => change_word(before, after),
            (true, Node::Absent) => "removed",
            (true, _) => "restored",
        }
    }

    /// Returns the failure that names each path that is in the way, what is there, and who changed it.
    fn blocked(&self, plans: &[UndoPlan]) -> Failure {
        let lines: Vec<String> = plans.iter().flat_map(in_the_way).collect();
        let message = format!("changed since, so nothing was {}:\n{}", self.way.done, lines.join("\n"));
        let is_some_left =
            !self.how.keep_changed && plans.iter().any(|plan| plan.changes.changes.len() > plan.obstacles.len());
        let hint = match (is_some_left, self.id) {
            (true, Some(id)) => {
                format!("do the others and leave these: boxagnts changes {} {id} --keep-changed", self.way.name)
            }
            (true, None) => format!("do the others and leave these: boxagnts changes {} --keep-changed", self.way.name),
            (false, _) => "compare with `boxagnts changes diff ID`, then change the files by hand".to_owned(),
        };
        Failure::new(Exit::Conflict, message).hint(hint)
    }
}

/// Carries a plan out as the person at the terminal: judged and recorded like every commit.
pub(crate) fn carry_out(site: &Site, workspace: &Workspace, plan: &UndoPlan, way: Way) -> Result<Committed, Failure> {
    let (judge, grant) = (site.judge()?, site.grant());
    let journal = workspace.journal().session(&plan.session);
    let policy = journal.state_policy(&PolicyRecord::of(&judge, grant.spec(), site.config.limits))?;
    let request = CommitRequest {
        change_set: ChangeSetId::from_random(random()),
        call: None,
        principal: Principal::User,
        tool: way.name.into(),
        level: Level::Write,
        changes: plan.changes.clone(),
        grant,
        approved: BTreeSet::new(),
        basis: Some(Basis { policy, tool: None }),
    };
    match judge.judge_commit(request).record(&journal)? {
        Decision::Allow(permit) => Ok(workspace.undo(permit, plan)?),
        Decision::Deny(denial) => {
            Err(Failure::new(Exit::Refused, format!("refused by rule `{}`: {}", denial.rule, denial.reason)))
        }
        Decision::Ask(_) => unreachable!("a person's own undo is allowed or denied"),
    }
}

fn place_of(mount: &str, path: &str) -> String {
    if mount == WORK { for_terminal(path) } else { for_terminal(&format!("{mount}/{path}")) }
}

fn in_the_way(plan: &UndoPlan) -> Vec<String> {
    let line = |obstacle: &Obstacle| format!("  {}", told(&plan.changes.mount, obstacle));
    plan.obstacles.iter().map(line).collect()
}

/// Returns a line for each path that is left as it is.
fn kept(plan: &UndoPlan) -> Vec<String> {
    let mount = &plan.changes.mount;
    let line = |path: &String| {
        let obstacle = plan.obstacles.iter().find(|obstacle| obstacle.conflict.path == *path);
        match obstacle {
            Some(obstacle) => format!("kept {}", told(mount, obstacle)),
            None => format!("kept {}: not without the others", place_of(mount, path)),
        }
    };
    plan.spared.iter().map(line).collect()
}

fn told(mount: &str, obstacle: &Obstacle) -> String {
    let Obstacle { conflict, by } = obstacle;
    let who = match by {
        Some(by) => format!("changed by change set {by}"),
        None => "changed outside of BoxAgnts".to_owned(),
    };
    format!("{}: {}, {who}", place_of(mount, &conflict.path), stands(conflict))
}

/// Returns what is there now.
fn stands(conflict: &Conflict) -> String {
    match (&conflict.expected, &conflict.found) {
        (Node::File { hash, mode: was, .. }, Node::File { hash: found, mode, .. }) if hash == found && was != mode => {
            format!("its mode is now {mode:o}")
        }
        (_, Node::Absent) => "it is gone".to_owned(),
        (_, Node::File { size: 1, .. }) => "now a file of 1 byte".to_owned(),
        (_, Node::File { size, .. }) => format!("now a file of {size} bytes"),
        (_, Node::Directory { mode }) => format!("now a directory of mode {mode:o}"),
        (_, Node::Symlink { target }) => format!("now a link to {}", for_terminal(target)),
    }
}
