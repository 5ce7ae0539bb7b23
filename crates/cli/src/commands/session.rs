//! `boxagnts session`: what happened, replayed from the journal.

use protocol::{Arguments, Event, EventBody, Part, SessionId, Spending, TurnOutcome, Verdict, canonical};
use workspace::{
    Durability, Passage, SessionSummary, TurnPlace, Workspace, block_for_terminal, for_terminal, session_name,
};

use super::{moment, print};
use crate::args::{Output, Place};
use crate::boot::{Site, random};
use crate::exit::{Exit, Failure};
use crate::progress::{duration, finished, spent};
use crate::translate::{amount, lookup};

/// Sessions that are listed.
const LISTED: usize = 200;

/// Passages that a search shows.
const FOUND: usize = 50;

/// Digits of a turn's number, and no more.
const MOST_DIGITS: usize = 8;

/// Characters of a task in the list, and of arguments in a replay.
const SHOWN: usize = 100;

pub(crate) fn list(place: &Place) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let sessions = workspace.journal().sessions(LISTED)?;
    if sessions.is_empty() {
        print("No sessions yet. Start one: boxagnts run \"…\"")?;
    }
    for session in sessions {
        print(&line(&session))?;
    }
    Ok(Exit::Done)
}

fn line(session: &SessionSummary) -> String {
    let ended = session.last_outcome.as_ref().map_or("unfinished", outcome_word);
    let without = if session.parent.is_some() { "(nothing yet)" } else { "(tool calls by hand)" };
    let task = shorten(session.first_text.as_deref().unwrap_or(without));
    let name = session.name.as_ref().map_or_else(String::new, |name| format!("[{}] ", for_terminal(name)));
    let from = session.parent.as_ref().map_or_else(String::new, |(parent, _)| format!("(from {parent}) "));
    format!("{}  {}  {ended:<10} {name}{from}{task}", session.session, moment(session.last_at_ms))
}

pub(super) fn outcome_word(outcome: &TurnOutcome) -> &'static str {
    match outcome {
        TurnOutcome::Done => "done",
        TurnOutcome::MaxTurns { .. } | TurnOutcome::MaxTokens | TurnOutcome::ContextFull { .. } => "limit",
        TurnOutcome::BudgetExceeded { .. } => "budget",
        TurnOutcome::Stalled { .. } => "stalled",
        TurnOutcome::Refused { .. } => "refused",
        TurnOutcome::Cancelled => "cancelled",
        TurnOutcome::Waiting { .. } => "waiting",
        TurnOutcome::Uncommitted { .. } => "staged",
        TurnOutcome::ProviderFailed { .. } => "provider",
    }
}

/// Returns the session that `name` means.
pub(crate) fn find(workspace: &Workspace, name: &str) -> Result<SessionId, Failure> {
    workspace.journal().find_session_or_name(name).map_err(|error| lookup(error, "boxagnts session list"))
}

pub(crate) fn show(place: &Place, id: &str, turns: Option<u32>, output: Output) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let id = find(&workspace, id)?;
    let (mut result, mut spending) = (Ok(()), Spending::default());
    let each = |event: Event| {
        let of_turn = turn_spending(&mut spending, &event.body);
        let lines = match output {
            Output::Json => Some(json_line(&event)),
            Output::Text => told(&event).map(|lines| lines + &of_turn),
        };
        if let (Some(lines), true) = (lines, result.is_ok()) {
            result = print(&lines);
        }
    };
    match turns {
        Some(turns) => workspace.journal().for_each_of_last(&id, turns as usize, each)?,
        None => workspace.journal().for_each_told(&id, each)?,
    }
    result.map(|()| Exit::Done)
}

pub(crate) fn name(place: &Place, id: &str, name: &str) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let id = find(&workspace, id)?;
    call(&workspace, &id, name)?;
    Ok(Exit::Done)
}

/// Gives `id` a name that no other session has.
fn call(workspace: &Workspace, id: &SessionId, name: &str) -> Result<(), Failure> {
    let name = unused(workspace, id, name)?.to_owned();
    workspace.journal().append(id, &[EventBody::SessionNamed { name }], Durability::Process)?;
    Ok(())
}

fn unused<'a>(workspace: &Workspace, id: &SessionId, name: &'a str) -> Result<&'a str, Failure> {
    let name = session_name(name).map_err(Failure::usage)?;
    match workspace.journal().named(name)? {
        Some(other) if other != *id => Err(Failure::usage(format!("session {other} is called that"))
            .hint(format!("choose another name, or rename that one: boxagnts session name {other} NAME"))),
        _ => Ok(name),
    }
}

pub(crate) fn search(place: &Place, text: &str) -> Result<Exit, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::usage("there is nothing to look for").hint("boxagnts session search TEXT"));
    }
    let workspace = Site::find(place)?.workspace()?;
    let found = workspace.journal().search(text, FOUND)?;
    if found.is_empty() {
        print("No task and no reply holds that.")?;
    }
    for Passage { session, turn, at_ms, line } in found {
        print(&format!("{session}  turn {turn}  {}  {}", moment(at_ms), shorten(&line)))?;
    }
    Ok(Exit::Done)
}

pub(crate) fn fork(place: &Place, id: &str, at: Option<&str>, name: Option<&str>) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let parent = find(&workspace, id)?;
    let turns = workspace.journal().turns(&parent)?;
    let (number, from) = turn(&turns, &parent, at)?;
    if !from.is_closed {
        let earlier =
            if number > 1 { format!("; or fork from an earlier one: --at {}", number - 1) } else { String::new() };
        return Err(Failure::usage(format!("turn {number} of session {parent} has not ended"))
            .hint(format!("end it: boxagnts resume {parent}{earlier}")));
    }
    let view = workspace.view(&parent)?;
    let fork = SessionId::from_random(random());
    let name = name.map(|name| unused(&workspace, &fork, name)).transpose()?;
    workspace.fork(&fork, from, &view.principal, &view.model)?;
    if let Some(name) = name {
        call(&workspace, &fork, name)?;
    }
    print(fork.as_str())?;
    eprintln!("it begins with {number} turns of {parent}; go on: boxagnts run --session {fork} \"…\"");
    Ok(Exit::Done)
}

/// Returns the turn that `at` means, with its number.
fn turn<'a>(turns: &'a [TurnPlace], of: &SessionId, at: Option<&str>) -> Result<(usize, &'a TurnPlace), Failure> {
    let hint = format!("see its turns: boxagnts session show {of}");
    let mut numbered = turns.iter().enumerate().map(|(at, place)| (at + 1, place));
    let Some(at) = at else {
        let none = || Failure::usage(format!("session {of} has no turn")).hint(hint.clone());
        return numbered.next_back().ok_or_else(none);
    };
    // An identifier is longer than any number of turns.
    if let Some(number) = at.parse::<usize>().ok().filter(|_| at.len() < MOST_DIGITS) {
        let none =
            || Failure::usage(format!("session {of} has {} turns, and no turn {number}", turns.len())).hint(hint);
        return numbered.find(|(at, _)| *at == number).ok_or_else(none);
    }
    let named: Vec<_> = numbered.filter(|(_, place)| place.turn.as_str().starts_with(at)).collect();
    match named[..] {
        [found] => Ok(found),
        [] => Err(Failure::usage(format!("no turn of session {of} begins with `{}`", for_terminal(at))).hint(hint)),
        _ => Err(Failure::usage(format!("`{}` may mean {} turns", for_terminal(at), named.len())).hint(hint)),
    }
}

/// Adds what `body` says was spent to what its turn spent before, and returns that where the turn ends.
fn turn_spending(spending: &mut Spending, body: &EventBody) -> String {
    if matches!(body, EventBody::TurnOpened { .. }) {
        *spending = Spending::default();
    }
    *spending = spending.plus(body.spent().unwrap_or(&Spending::default()));
    match body {
        EventBody::TurnClosed { .. } if spending.model_calls > 0 => format!(" ({})", spent(spending)),
        _ => String::new(),
    }
}

/// Returns an event as one line of JSON.
pub(crate) fn json_line(event: &Event) -> String {
    serde_json::to_string(event).expect("events are plain data")
}

/// Returns what a person reads of an event; what a later event says better is left out.
fn told(event: &Event) -> Option<String> {
    let at = moment(event.recorded_at_ms);
    let line = |text: String| Some(format!("{at}  {text}"));
    match &event.body {
        EventBody::SessionOpened { principal, model } => {
            line(format!("session {} of {principal}, {}", event.session, for_terminal(model)))
        }
        EventBody::SessionForked { principal, model, parent, turn, .. } => line(format!(
            "session {} of {principal}, {}, goes on from turn {turn} of session {parent}",
            event.session,
            for_terminal(model)
        )),
        EventBody::SessionNamed { name } => line(format!("called {}", for_terminal(name))),
        EventBody::TurnOpened { turn, text } => line(format!("turn {turn}, task: {}", block_for_terminal(text))),
        EventBody::TurnResumed { .. } => line("resumed".into()),
        EventBody::ModelReplied { number, reply, .. } => line(format!("reply {number}:{}", parts(&reply.parts))),
        EventBody::ModelFailed { number, failure, .. } => {
            line(format!("model call {number} failed: {}", for_terminal(&failure.message)))
        }
        EventBody::RetryPlanned { model, wait_ms, .. } => {
            line(format!("calling {} in {}", for_terminal(model), duration(wait_ms.saturating_mul(1_000))))
        }
        EventBody::ModelAbandoned { number, .. } => line(format!("model call {number} was broken off")),
        EventBody::Compacted { kept, summary, .. } => line(format!(
            "the conversation was summed up, all but its last {kept} messages:\n{}",
            block_for_terminal(summary)
        )),
        EventBody::CallDecided { tool, decision, .. } if decision.verdict != Verdict::Allow => line(format!(
            "  {} {}: {} (rule `{}`)",
            for_terminal(tool),
            verdict(decision.verdict),
            for_terminal(&decision.effects.join(", ")),
            for_terminal(&decision.rule)
        )),
        EventBody::CommitDecided { decision, .. } if decision.verdict != Verdict::Allow => line(format!(
            "  commit {}: {} (rule `{}`)",
            verdict(decision.verdict),
            for_terminal(&decision.effects.join(", ")),
            for_terminal(&decision.rule)
        )),
        EventBody::ApprovalAsked { approval, request } => {
            line(format!("  asked {approval}: {}", for_terminal(&request.effects.join(", "))))
        }
        EventBody::ApprovalAnswered { approval, answer } => {
            let word = if answer.allowed { "yes" } else { "no" };
            let lasting = if answer.remembered { ", for the session" } else { "" };
            line(format!("  answered {approval}: {word}{lasting}"))
        }
        EventBody::ChangesStaged { staged, .. } => {
            line(format!("  staged: {} paths of {} differ now", staged.changes.changes.len(), staged.changes.mount))
        }
        EventBody::ChangesDiscarded { .. } => line("  what was staged was thrown away".into()),
        EventBody::ApprovalRevoked { approval } => line(format!("  {approval} is asked again")),
        EventBody::UnknownPriceAccepted { model } => {
            line(format!("a person said not to count the dollars of {}", for_terminal(model)))
        }
        EventBody::RequestDecided { method, target, verdict: decided, rule, secrets, .. } => line(format!(
            "  {} {}: {} (rule `{}`{})",
            for_terminal(method),
            for_terminal(target),
            verdict(*decided),
            for_terminal(rule),
            with(secrets)
        )),
        EventBody::CallFinished { tool, outcome, summary, usage, .. } => {
            line(for_terminal(&finished(tool, outcome, summary, usage)))
        }
        EventBody::CommitIntended { change_set, changes, .. } => {
            let paths: Vec<_> = changes.changes.iter().map(|change| for_terminal(&change.path)).collect();
            line(format!("  commit {change_set}: {}", paths.join(", ")))
        }
        EventBody::CommitFinished { change_set, outcome } if *outcome != protocol::CommitOutcome::Committed => {
            line(format!("  commit {change_set} was not made"))
        }
        EventBody::TurnClosed { outcome, .. } => line(format!("ended: {}", ended(outcome))),
        _ => None,
    }
}

/// Returns the secrets that went along, as they follow the rule.
fn with(secrets: &[String]) -> String {
    if secrets.is_empty() { String::new() } else { format!("; with {}", for_terminal(&secrets.join(", "))) }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Ask => "asked",
        Verdict::Deny => "refused",
    }
}

pub(super) fn ended(outcome: &TurnOutcome) -> String {
    match outcome {
        TurnOutcome::MaxTurns { limit } => format!("limit of {limit} model calls"),
        TurnOutcome::MaxTokens => "limit of output tokens".into(),
        TurnOutcome::BudgetExceeded { scope, measure, limit, .. } => {
            format!("the {scope}'s budget of {}", amount(*measure, *limit))
        }
        TurnOutcome::Stalled { repeats } => format!("nothing new in {repeats} steps"),
        TurnOutcome::ContextFull { window } => format!("the model's {window} tokens are full"),
        TurnOutcome::Refused { rule, denials } => format!("{denials} refusals in a row, the last by rule `{rule}`"),
        TurnOutcome::ProviderFailed { failure } => format!("provider failure: {}", for_terminal(&failure.message)),
        other => outcome_word(other).into(),
    }
}

fn parts(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Text { text } => Some(format!("\n{}", block_for_terminal(text.trim_end()))),
        Part::ToolCall(call) => {
            let arguments = match &call.arguments {
                Arguments::Json(value) => canonical(value),
                Arguments::Malformed(text) => text.clone(),
            };
            Some(format!("\n    → {} {}", for_terminal(&call.tool), shorten(&arguments)))
        }
        Part::Reasoning { .. } | Part::ToolResult(_) => None,
    };
    parts.iter().filter_map(part).collect()
}

fn shorten(text: &str) -> String {
    let line = for_terminal(text);
    match line.char_indices().nth(SHOWN) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}
