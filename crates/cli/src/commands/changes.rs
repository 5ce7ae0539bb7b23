//! `boxagnts changes`: what was changed, and taking it back.

use policy::{CommitRequest, Decision, PolicyRecord, Principal};
use protocol::{Basis, ChangeSetId, CommitOutcome, Level};
use workspace::{ChangeSetRecord, ChangeSetState, Undo, Workspace, block_for_terminal, for_terminal};

use super::{moment, print};
use crate::args::Place;
use crate::boot::{Site, random};
use crate::exit::{Exit, Failure};
use crate::progress::change_word;
use crate::translate::{commit_failure, lookup};

/// Change sets that are listed.
const LISTED: usize = 200;

/// Paths that one line of the list names.
const NAMED: usize = 4;

pub(crate) fn list(place: &Place) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let sets = workspace.journal().change_sets(LISTED)?;
    if sets.is_empty() {
        print("No changes yet.")?;
    }
    for set in sets {
        print(&line(&set))?;
    }
    Ok(Exit::Done)
}

fn line(set: &ChangeSetRecord) -> String {
    let named = set.changes.changes.iter().take(NAMED);
    let mut paths: Vec<_> = named
        .map(|change| format!("{} {}", change_word(&change.before, &change.after), for_terminal(&change.path)))
        .collect();
    let more = set.changes.changes.len().saturating_sub(NAMED);
    if more > 0 {
        paths.push(format!("{more} more"));
    }
    format!("{}  {}  {:<12} {}", set.change_set, moment(set.intended_at_ms), state(set), paths.join(", "))
}

fn state(set: &ChangeSetRecord) -> String {
    match &set.state {
        ChangeSetState::Intended => "interrupted".into(),
        ChangeSetState::Undone { by } => format!("undone by {by}"),
        ChangeSetState::Ended(CommitOutcome::Conflicted { .. }) => "conflicted".into(),
        ChangeSetState::Ended(CommitOutcome::RolledBack { .. }) => "rolled back".into(),
        ChangeSetState::Ended(CommitOutcome::Committed) => match &set.undoes {
            Some(undone) => format!("undoes {undone}"),
            None => "committed".into(),
        },
    }
}

pub(crate) fn diff(place: &Place, prefix: &str) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let set = find(&workspace, prefix)?;
    print(block_for_terminal(&workspace.diff(&set.changes)?).trim_end())?;
    Ok(Exit::Done)
}

pub(crate) fn undo(place: &Place, prefix: &str) -> Result<Exit, Failure> {
    let site = Site::find(place)?;
    let workspace = site.workspace()?;
    let set = find(&workspace, prefix)?;
    let outcome = take_back(&site, &workspace, &set)?;
    if let Some(failure) = commit_failure(&outcome) {
        return Err(failure);
    }
    for change in &set.changes.changes {
        print(&format!("{} {}", taken_back(change_word(&change.before, &change.after)), for_terminal(&change.path)))?;
    }
    Ok(Exit::Done)
}

fn taken_back(word: &str) -> &'static str {
    match word {
        "created" => "removed",
        _ => "restored",
    }
}

/// Takes a change set back, as the person at the terminal: judged and recorded like every commit.
pub(crate) fn take_back(site: &Site, workspace: &Workspace, set: &ChangeSetRecord) -> Result<CommitOutcome, Failure> {
    let (judge, grant) = (site.judge()?, site.grant());
    let journal = workspace.journal().session(&set.session);
    let policy = journal.state_policy(&PolicyRecord::of(&judge, grant.spec(), site.config.limits))?;
    let request = CommitRequest {
        change_set: ChangeSetId::from_random(random()),
        call: None,
        principal: Principal::User,
        tool: "undo".into(),
        level: Level::Write,
        changes: workspace.inverse(&set.change_set)?,
        grant,
        approved: std::collections::BTreeSet::new(),
        basis: Some(Basis { policy, tool: None }),
    };
    match judge.judge_commit(request).record(&journal)? {
        Decision::Allow(permit) => Ok(workspace.undo(Undo { permit, of: &set.change_set })?.outcome),
        Decision::Deny(denial) => {
            Err(Failure::new(Exit::Refused, format!("refused by rule `{}`: {}", denial.rule, denial.reason)))
        }
        Decision::Ask(_) => unreachable!("a person's own undo is allowed or denied"),
    }
}

fn find(workspace: &Workspace, prefix: &str) -> Result<ChangeSetRecord, Failure> {
    const LIST: &str = "boxagnts changes list";
    let id = workspace.journal().find_change_set(prefix).map_err(|error| lookup(error, LIST))?;
    let set = workspace.journal().change_set(&id)?;
    set.ok_or_else(|| Failure::usage(format!("there is no change set {id}")).hint(format!("see what there is: {LIST}")))
}
