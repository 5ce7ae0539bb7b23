//! `boxagnts changes diff | commit | discard` of what a session staged.

use policy::Principal;
use protocol::{EventBody, SessionId};
use tools::{ToolSession, Unattended, builtin};
use workspace::{Durability, SessionView, Workspace, block_for_terminal};

use super::{changes, print};
use crate::args::Place;
use crate::boot::Site;
use crate::exit::{Exit, Failure};
use crate::translate::lookup;

/// Sessions that are looked through for something staged.
const LOOKED_THROUGH: usize = 100;

/// Shows what is staged, or what a change set changed.
pub(crate) fn diff(place: &Place, id: Option<&str>) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    if let Some(id) = id
        && workspace.journal().find_session_or_name(id).is_err()
    {
        return changes::diff(place, id);
    }
    let (_, view) = staged(&workspace, id)?;
    for staged in view.staged.values() {
        print(block_for_terminal(&workspace.diff(&staged.staged.changes)?).trim_end())?;
    }
    Ok(Exit::Done)
}

/// Commits what is staged, as the person at the terminal.
pub(crate) async fn commit(place: &Place, session: Option<&str>) -> Result<Exit, Failure> {
    let site = Site::find(place)?;
    let workspace = site.workspace()?;
    let (id, _) = staged(&workspace, session)?;
    let _lease = workspace.lease(&id)?;
    let view = workspace.view(&id)?;
    let tools = site.tools(workspace.clone(), builtin(), std::sync::Arc::new(Unattended))?;
    let session = ToolSession::open(&workspace, id.clone(), Principal::User, site.grant(), &view.observed)?
        .committing(view.commit_mode, view.staged.clone());
    if let Some(reason) = tools.commit_staged(&session).await? {
        return Err(Failure::new(
            Exit::Conflict,
            format!("not committed: {}", workspace::for_terminal(&reason.to_string())),
        )
        .hint(format!(
            "it stays staged; compare: boxagnts changes diff {id}, or throw it away: boxagnts changes discard {id}"
        )));
    }
    for staged in view.staged.values() {
        print(&format!("committed {}: {} paths", staged.staged.change_set, staged.staged.changes.changes.len()))?;
    }
    Ok(Exit::Done)
}

pub(crate) fn discard(place: &Place, session: Option<&str>) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let (id, _) = staged(&workspace, session)?;
    let _lease = workspace.lease(&id)?;
    for staged in workspace.view(&id)?.staged.values() {
        let discarded = EventBody::ChangesDiscarded { change_set: staged.staged.change_set.clone() };
        workspace.journal().append(&id, &[discarded], Durability::Power)?;
        print(&format!("thrown away: {} paths", staged.staged.changes.changes.len()))?;
    }
    Ok(Exit::Done)
}

/// Returns the session that is named, or the only one with something staged.
fn staged(workspace: &Workspace, named: Option<&str>) -> Result<(SessionId, SessionView), Failure> {
    let journal = workspace.journal();
    let ids = match named {
        Some(named) => {
            vec![journal.find_session_or_name(named).map_err(|error| lookup(error, "boxagnts session list"))?]
        }
        None => journal.sessions(LOOKED_THROUGH)?.into_iter().map(|session| session.session).collect(),
    };
    let mut found = Vec::new();
    for id in ids {
        let view = workspace.view(&id)?;
        if !view.staged.is_empty() {
            found.push((id, view));
        }
    }
    match (found.len(), found.pop()) {
        (1, Some(one)) => Ok(one),
        (_, None) => Err(Failure::usage("nothing is staged").hint("see what was committed: boxagnts changes list")),
        (_, Some((last, _))) => {
            let ids = found.iter().map(|(id, _)| id).chain([&last]).map(ToString::to_string);
            Err(Failure::usage("several sessions have something staged; name one")
                .hint(ids.collect::<Vec<_>>().join(", ")))
        }
    }
}
