//! `boxagnts changes list` and `diff`: what was changed.

use protocol::{ChangeSetId, CommitOutcome};
use workspace::{ChangeSetRecord, ChangeSetRole, ChangeSetState, Workspace, block_for_terminal, for_terminal};

use super::{moment, print};
use crate::args::Place;
use crate::boot::Site;
use crate::exit::{Exit, Failure};
use crate::progress::change_word;
use crate::translate::lookup;

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
        ChangeSetState::Undone { by } if set.role == ChangeSetRole::Undo => format!("redone by {by}"),
        ChangeSetState::Undone { by } => format!("undone by {by}"),
        ChangeSetState::Ended(CommitOutcome::Conflicted { .. }) => "conflicted".into(),
        ChangeSetState::Ended(CommitOutcome::RolledBack { .. }) => "rolled back".into(),
        ChangeSetState::Ended(CommitOutcome::Committed) => match set.role {
            ChangeSetRole::Change => "committed".into(),
            ChangeSetRole::Undo => format!("undoes {}{}", named(&set.of), spared(set)),
            ChangeSetRole::Redo => format!("redoes {}{}", named(&set.of), spared(set)),
        },
    }
}

/// Returns the first of `sets`, and how many there are beside it.
pub(super) fn named(sets: &[ChangeSetId]) -> String {
    match sets {
        [] => "nothing".into(),
        [only] => only.to_string(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}

fn spared(set: &ChangeSetRecord) -> String {
    match set.spared.len() {
        0 => String::new(),
        1 => " but for 1 path".into(),
        count => format!(" but for {count} paths"),
    }
}

pub(crate) fn diff(place: &Place, prefix: &str) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let set = find(&workspace, prefix)?;
    print(block_for_terminal(&workspace.diff(&set.changes)?).trim_end())?;
    Ok(Exit::Done)
}

fn find(workspace: &Workspace, prefix: &str) -> Result<ChangeSetRecord, Failure> {
    const LIST: &str = "boxagnts changes list";
    let id = workspace.journal().find_change_set(prefix).map_err(|error| lookup(error, LIST))?;
    let set = workspace.journal().change_set(&id)?;
    set.ok_or_else(|| Failure::usage(format!("there is no change set {id}")).hint(format!("see what there is: {LIST}")))
}
