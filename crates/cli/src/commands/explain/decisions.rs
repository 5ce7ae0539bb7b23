//! Decisions as people read them.

use policy::{Access, Considered, Explanation, GrantSpec, Scope, ToolRecord};
use protocol::RequestOutcome;
use serde_json::{Value, json};
use workspace::{Again, JudgedAccount, NotKnown, RequestAccount, Unjudged, for_terminal};

use super::super::verdict_word;
use super::indent;

/// Returns a decision, what was considered for it, and the answer.
pub(super) fn judged(judged: &JudgedAccount, now: &Result<Explanation, Unjudged>) -> String {
    let decision = &judged.decision;
    let verdict = verdict_word(decision.verdict);
    let mut lines =
        vec![format!("{verdict} by rule `{}`: {}", for_terminal(&decision.rule), for_terminal(&decision.reason))];
    if let Some(answer) = &judged.answer {
        let verdict = verdict_word(answer.verdict);
        lines.push(format!("then {verdict} by `{}`: {}", for_terminal(&answer.rule), for_terminal(&answer.reason)));
    }
    lines.push(match now {
        Ok(explanation) => considered(&explanation.considered),
        Err(unjudged) => {
            let effects: Vec<String> = decision.effects.iter().map(|effect| for_terminal(effect)).collect();
            format!("{}\nnot explained: {}", effects.join("\n"), for_terminal(&unjudged.to_string()))
        }
    });
    lines.join("\n")
}

/// Returns what was considered, effect by effect; the one that decided is marked.
fn considered(considered: &[Considered]) -> String {
    let widest = considered.iter().map(|note| note.rule.chars().count()).max().unwrap_or_default();
    let mut lines = Vec::new();
    let mut effect = None;
    for note in considered {
        if effect != Some(&note.effect) {
            effect = Some(&note.effect);
            lines.push(if note.effect.is_empty() { "all of it".to_owned() } else { for_terminal(&note.effect) });
        }
        let mark = if note.decided { ">" } else { " " };
        let verdict = note.verdict.map_or("-", verdict_word);
        let (rule, reason) = (for_terminal(&note.rule), for_terminal(&note.reason));
        lines.push(format!("{mark} {rule:<widest$}  {verdict:<5}  {reason}"));
    }
    lines.join("\n")
}

/// Returns one request with its ruling and what came of it.
pub(super) fn request(request: &RequestAccount, again: Option<&Again>) -> String {
    let path = for_terminal(request.path.as_deref().unwrap_or_default());
    let with = if request.secrets.is_empty() {
        String::new()
    } else {
        format!(", with {}", for_terminal(&request.secrets.join(", ")))
    };
    let head =
        format!("{}  {} {}{path}{with}", request.request, for_terminal(&request.method), for_terminal(&request.target));
    let verdict = verdict_word(request.verdict);
    let mut lines =
        vec![format!("{verdict} by rule `{}`: {}", for_terminal(&request.rule), for_terminal(&request.reason))];
    match again.map(|again| &again.now) {
        Some(Ok(explanation)) => lines.push(considered(&explanation.considered)),
        Some(Err(unjudged)) => lines.push(format!("not explained: {}", for_terminal(&unjudged.to_string()))),
        None => lines.push("not explained: the call's own decision is missing".to_owned()),
    }
    if !request.addresses.is_empty() {
        lines.push(format!("only to {}", addresses(&request.addresses)));
    }
    if let Some(outcome) = &request.outcome {
        let (sent, received) = (request.sent_bytes, request.received_bytes);
        lines.push(format!("{}; {sent} bytes out, {received} bytes in", came_of(outcome)));
    }
    format!("{head}\n{}", indent(&lines.join("\n")))
}

fn came_of(outcome: &RequestOutcome) -> String {
    match outcome {
        RequestOutcome::Answered { status, address } => format!("answered {status} by {address}"),
        RequestOutcome::Resolved { addresses: found } => format!("found {}", addresses(found)),
        RequestOutcome::Closed { address } => format!("closed; it was to {address}"),
        RequestOutcome::Failed { reason } => format!("failed: {}", for_terminal(reason)),
    }
}

fn addresses(addresses: &[std::net::IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns what the session held, and what the tool asked of it.
pub(super) fn grant(held: Result<GrantSpec, NotKnown>, tool: Result<&ToolRecord, NotKnown>) -> String {
    let (held, tool) = match (held, tool) {
        (Ok(held), Ok(tool)) => (held, tool),
        (Err(reason), _) | (_, Err(reason)) => return for_terminal(&reason.to_string()),
    };
    let of_call = held.meet(&tool.request.of(&held, &tool.name));
    format!("of the session\n{}\nof the call\n{}", indent(&spec(&held)), indent(&spec(&of_call)))
}

pub(crate) fn spec(spec: &GrantSpec) -> String {
    let access = |access: Access| match access {
        Access::Read => "read",
        Access::ReadWrite => "read and write, staged",
    };
    let files: Vec<String> = spec.mounts().map(|(mount, held)| format!("{mount} ({})", access(held))).collect();
    let tools = match &spec.tools {
        Scope::All => "every one".to_owned(),
        Scope::Only(names) => listed(&names.iter().cloned().collect::<Vec<_>>()),
    };
    let secrets = match &spec.secrets {
        Scope::All => "every one that is allowed".to_owned(),
        Scope::Only(names) => listed(&names.iter().map(ToString::to_string).collect::<Vec<_>>()),
    };
    let lines = [
        format!("files: {}", listed(&files)),
        format!("tools: {tools}"),
        format!("hosts: {}", spec.network),
        format!("secrets: {secrets}"),
    ];
    lines.iter().map(|line| for_terminal(line)).collect::<Vec<_>>().join("\n")
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

pub(super) fn json(again: &Again) -> Value {
    let (explanation, unjudged) = match &again.now {
        Ok(explanation) => (Some(explanation), None),
        Err(unjudged) => (None, Some(unjudged.to_string())),
    };
    json!({ "subject": again.subject, "was": again.was, "explanation": explanation, "not_explained": unjudged })
}

/// Returns a verdict that is not `Allow` first: what a person looks for.
pub(crate) fn ruled(ruled: &workspace::Ruled) -> String {
    format!("{} (`{}`)", verdict_word(ruled.verdict), for_terminal(&ruled.rule))
}

#[cfg(test)]
mod tests {
    use protocol::Verdict;

    use super::*;

    #[test]
    fn what_a_planner_wrote_does_nothing_on_a_terminal() {
        let note = |effect: &str, decided| Considered {
            effect: effect.into(),
            rule: "r\u{1b}[2J".into(),
            verdict: Some(Verdict::Deny),
            reason: "because\u{202e}".into(),
            decided,
        };
        let shown = considered(&[note("read /work/\u{1b}]0;x\u{7}", false), note("run", true)]);
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
        assert_eq!(shown.lines().filter(|line| line.starts_with('>')).count(), 1);
    }
}
