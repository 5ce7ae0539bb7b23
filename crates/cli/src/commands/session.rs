//! `boxagnts session`: what happened, replayed from the journal.

use protocol::{Arguments, Event, EventBody, Part, TurnOutcome, Verdict, canonical};
use workspace::{SessionSummary, block_for_terminal, for_terminal};

use super::{moment, print};
use crate::args::{Output, Place};
use crate::boot::Site;
use crate::exit::{Exit, Failure};
use crate::progress::{duration, finished};
use crate::translate::{amount, lookup};

/// Sessions that are listed.
const LISTED: usize = 200;

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
    let task = shorten(session.first_text.as_deref().unwrap_or("(tool calls by hand)"));
    format!("{}  {}  {ended:<10} {task}", session.session, moment(session.last_at_ms))
}

fn outcome_word(outcome: &TurnOutcome) -> &'static str {
    match outcome {
        TurnOutcome::Done => "done",
        TurnOutcome::MaxTurns { .. } | TurnOutcome::MaxTokens | TurnOutcome::ContextFull { .. } => "limit",
        TurnOutcome::BudgetExceeded { .. } => "budget",
        TurnOutcome::Stalled { .. } => "stalled",
        TurnOutcome::Refused { .. } => "refused",
        TurnOutcome::Cancelled => "cancelled",
        TurnOutcome::ProviderFailed { .. } => "provider",
    }
}

pub(crate) fn show(place: &Place, prefix: &str, output: Output) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let id = workspace.journal().find_session(prefix).map_err(|error| lookup(error, "boxagnts session list"))?;
    let mut result = Ok(());
    workspace.journal().for_each(&id, |event| {
        let lines = match output {
            Output::Json => Some(json_line(&event)),
            Output::Text => told(&event),
        };
        if let (Some(lines), true) = (lines, result.is_ok()) {
            result = print(&lines);
        }
    })?;
    result.map(|()| Exit::Done)
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
        EventBody::TurnOpened { text, .. } => line(format!("task: {}", block_for_terminal(text))),
        EventBody::TurnResumed { .. } => line("resumed".into()),
        EventBody::ModelReplied { number, reply, .. } => line(format!("reply {number}:{}", parts(&reply.parts))),
        EventBody::ModelFailed { number, failure, .. } => {
            line(format!("model call {number} failed: {}", for_terminal(&failure.message)))
        }
        EventBody::RetryPlanned { model, wait_ms, .. } => {
            line(format!("calling {} again in {}", for_terminal(model), duration(wait_ms.saturating_mul(1_000))))
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

fn ended(outcome: &TurnOutcome) -> String {
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
