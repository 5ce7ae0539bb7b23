//! `boxagnts approve`, `deny` and `approvals`: answers from elsewhere to what a session asks.

use protocol::{ApprovalAnswer, ApprovalSubject, Arguments, EventBody, canonical};
use workspace::{ApprovalRecord, ApprovalState, Durability, Workspace, block_for_terminal, for_terminal};

use super::{moment, print};
use crate::args::Place;
use crate::boot::Site;
use crate::exit::{Exit, Failure};
use crate::translate::lookup;

/// Sessions whose questions are listed.
const LISTED: usize = 200;

const LIST: &str = "boxagnts approvals list";

pub(crate) fn list(place: &Place, all: bool) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let mut lines = Vec::new();
    for record in workspace.journal().recent_approvals(LISTED)? {
        let word = word(&workspace, &record)?;
        if all || word == WAITS || record.is_remembered() {
            lines.push(line(&record, word));
        }
    }
    if lines.is_empty() {
        print(if all { "Nothing was asked yet." } else { "Nothing waits for approval." })?;
    }
    lines.iter().try_for_each(|line| print(line))?;
    Ok(Exit::Done)
}

const WAITS: &str = "waits";

/// Returns where a question stands, in a word.
fn word(workspace: &Workspace, record: &ApprovalRecord) -> Result<&'static str, Failure> {
    let journal = workspace.journal();
    Ok(match record.state(journal.now_ms()) {
        ApprovalState::Open | ApprovalState::Allowed if journal.is_moot(record)? => "over",
        ApprovalState::Open => WAITS,
        ApprovalState::Expired => "expired",
        _ if record.answer.is_some_and(|answer| answer.allowed) => "allowed",
        ApprovalState::Allowed | ApprovalState::Used | ApprovalState::Refused => "refused",
    })
}

fn line(record: &ApprovalRecord, word: &str) -> String {
    let effects: Vec<_> = record.request.effects.iter().map(|effect| for_terminal(effect)).collect();
    let lasting = match record.answer {
        Some(ApprovalAnswer { remembered: true, .. }) if record.revoked => ", revoked",
        Some(ApprovalAnswer { remembered: true, .. }) => ", for the session",
        _ => "",
    };
    let (id, at, tool) = (&record.approval, moment(record.asked_at_ms), &record.request.tool);
    format!("{id}  {at}  {word}{lasting}  {tool}: {}", effects.join(", "))
}

pub(crate) fn show(place: &Place, prefix: &str) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let record = find(&workspace, prefix)?;
    let request = &record.request;
    print(&line(&record, word(&workspace, &record)?))?;
    print(&format!("session {}, call {}, until {}", record.session, request.call, moment(request.expires_at_ms)))?;
    for effect in &request.effects {
        print(&format!("  {}", for_terminal(effect)))?;
    }
    print(&format!("at most: {}", request.ceiling))?;
    print(&format!("why it is asked: {} (rule `{}`)", for_terminal(&request.reason), for_terminal(&request.rule)))?;
    print(block_for_terminal(&detail(&workspace, &record)?).trim_end())?;
    Ok(Exit::Done)
}

/// Returns what the answer is about: the arguments of a call, or the diff of what it staged.
fn detail(workspace: &Workspace, record: &ApprovalRecord) -> Result<String, Failure> {
    let view = workspace.view(&record.session)?;
    let call = view.pending.iter().find(|pending| pending.proposal.call == record.request.call);
    let Some(call) = call else { return Ok(format!("what came of it: boxagnts explain {}", record.request.call)) };
    if let (ApprovalSubject::Commit { change_set }, Some(held)) = (&record.request.subject, &call.held)
        && let Some(held) = held.changes.iter().find(|held| held.change_set == *change_set)
    {
        return Ok(workspace.diff(&held.changes)?);
    }
    Ok(match &call.proposal.arguments {
        Arguments::Json(arguments) => canonical(arguments),
        Arguments::Malformed(text) => text.clone(),
    })
}

/// Answers a question; the session goes on by itself if it runs, or with `boxagnts resume`.
pub(crate) fn answer(place: &Place, prefix: &str, allowed: bool, remembered: bool) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let record = find(&workspace, prefix)?;
    if word(&workspace, &record)? != WAITS {
        return Err(answered(&workspace, &record)?);
    }
    if remembered && record.request.subject == ApprovalSubject::Repeat {
        return Err(Failure::usage("running a call again is allowed once at a time")
            .hint(format!("boxagnts approve {}", record.approval)));
    }
    let said = ApprovalAnswer { allowed, remembered };
    let event = EventBody::ApprovalAnswered { approval: record.approval.clone(), answer: said };
    workspace.journal().append(&record.session, &[event], Durability::Power)?;
    // Somebody may have been quicker.
    let record = find(&workspace, record.approval.as_str())?;
    if record.answer != Some(said) {
        return Err(answered(&workspace, &record)?);
    }
    let effects: Vec<_> = record.request.effects.iter().map(|effect| for_terminal(effect)).collect();
    let verb = if allowed { "Allowed" } else { "Refused" };
    let lasting = if remembered { " for the rest of the session" } else { " once" };
    let lasting = if allowed { lasting } else { "" };
    print(&format!("{verb}{lasting}: {}: {}", record.request.tool, effects.join(", ")))?;
    eprintln!("a session that does not run goes on with: boxagnts resume {}", record.session);
    Ok(Exit::Done)
}

fn answered(workspace: &Workspace, record: &ApprovalRecord) -> Result<Failure, Failure> {
    let word = word(workspace, record)?;
    let message = match word {
        "over" => format!("nothing waits for {} any more: its call has ended", record.approval),
        "expired" => format!("it is too late to answer {}: it expired", record.approval),
        _ => format!("{} was answered before: {word}", record.approval),
    };
    let hint = match word {
        "expired" => format!("have it asked again: boxagnts resume {}", record.session),
        _ => format!("see what waits: {LIST}"),
    };
    Ok(Failure::usage(message).hint(hint))
}

pub(crate) fn revoke(place: &Place, prefix: &str) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let record = find(&workspace, prefix)?;
    if !record.is_remembered() {
        return Err(Failure::usage(format!("{} is not allowed for the rest of a session", record.approval))
            .hint(format!("see what is: {LIST}")));
    }
    let event = EventBody::ApprovalRevoked { approval: record.approval.clone() };
    workspace.journal().append(&record.session, &[event], Durability::Power)?;
    print(&format!("{} asks again: {}", record.request.tool, record.request.effects.join(", ")))?;
    Ok(Exit::Done)
}

fn find(workspace: &Workspace, prefix: &str) -> Result<ApprovalRecord, Failure> {
    let id = workspace.journal().find_approval(prefix).map_err(|error| lookup(error, LIST))?;
    let record = workspace.journal().approval(&id)?;
    record
        .ok_or_else(|| Failure::usage(format!("there is no question {id}")).hint(format!("see what there is: {LIST}")))
}
