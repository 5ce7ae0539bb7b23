//! `boxagnts session export`: a session whole, to keep or to pass on.

use protocol::{Arguments, CommitOutcome, Event, EventBody, Part, Verdict};
use serde_json::json;
use workspace::{block_for_terminal, for_terminal};

use super::session::{ended, find};
use super::{moment, print, verdict_word};
use crate::args::{Format, Place};
use crate::boot::Site;
use crate::exit::{Exit, Failure};
use crate::progress::{change_word, finished};

pub(crate) fn export(place: &Place, id: &str, format: Format) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let journal = workspace.journal();
    let id = find(&workspace, id)?;
    let name = journal.name(&id)?;
    let mut printed = print(&match format {
        Format::Json => format!("{{\"session\":{},\"name\":{},\"events\":[", json!(id), json!(name)),
        Format::Markdown => format!("# {}", markdown_line(name.as_deref().unwrap_or(id.as_str()))),
    });
    let (mut turns, mut is_first) = (0, true);
    journal.for_each_told(&id, |event| {
        let text = match format {
            Format::Json => Some(format!("{}{}", if is_first { "" } else { "," }, json!(event))),
            Format::Markdown => markdown(&event, &mut turns).map(|text| format!("\n{text}")),
        };
        is_first = false;
        if let (Some(text), true) = (text, printed.is_ok()) {
            printed = print(&text);
        }
    })?;
    printed?;
    if format == Format::Json {
        print("]}")?;
    }
    Ok(Exit::Done)
}

/// Returns what a reader wants of an event.
fn markdown(event: &Event, turns: &mut usize) -> Option<String> {
    Some(match &event.body {
        EventBody::SessionOpened { principal, model } => {
            let model = if model.is_empty() { String::new() } else { format!(", {}", markdown_line(model)) };
            format!("Session `{}` of {principal}{model}, {}.", event.session, moment(event.recorded_at_ms))
        }
        EventBody::SessionForked { parent, turn, .. } => {
            format!("*From here on session `{}`, which goes on from turn `{turn}` of `{parent}`.*", event.session)
        }
        EventBody::TurnOpened { turn, text } => {
            *turns += 1;
            format!("## Turn {turns}\n\n`{turn}`, {}\n\n{}", moment(event.recorded_at_ms), quoted(text))
        }
        EventBody::ModelReplied { reply, .. } => parts(&reply.parts)?,
        EventBody::CallProposed { proposal } => called(&proposal.tool, &proposal.arguments),
        EventBody::CallDecided { tool, decision, .. } if decision.verdict != Verdict::Allow => format!(
            "*{} by rule `{}`: {}: {}*",
            verdict_word(decision.verdict),
            for_terminal(&decision.rule),
            markdown_line(tool),
            markdown_line(&decision.effects.join(", "))
        ),
        EventBody::CallFinished { tool, outcome, summary, usage, result, .. } => {
            let line = finished(tool, outcome, summary, usage);
            format!("**Result** {}\n\n{}", markdown_line(line.trim()), fenced("text", &result.text))
        }
        EventBody::CommitIntended { change_set, changes, .. } => {
            let line = |change: &protocol::Change| {
                let path = format!("{}/{}", changes.mount, change.path);
                format!("- {} {}", change_word(&change.before, &change.after), markdown_line(&path))
            };
            let lines: Vec<String> = changes.changes.iter().map(line).collect();
            format!("**Changes** `{change_set}`\n\n{}", lines.join("\n"))
        }
        EventBody::CommitFinished { change_set, outcome } if *outcome != CommitOutcome::Committed => {
            format!("*The changes `{change_set}` were not made.*")
        }
        EventBody::TurnClosed { outcome, .. } => format!("*Ended: {}.*", ended(outcome)),
        _ => return None,
    })
}

fn parts(parts: &[Part]) -> Option<String> {
    let part = |part: &Part| match part {
        Part::Text { text } if !text.trim().is_empty() => Some(block_for_terminal(text.trim_end())),
        Part::ToolCall(call) => Some(called(&call.tool, &call.arguments)),
        _ => None,
    };
    let told: Vec<String> = parts.iter().filter_map(part).collect();
    (!told.is_empty()).then(|| told.join("\n\n"))
}

fn called(tool: &str, arguments: &Arguments) -> String {
    let (kind, text) = match arguments {
        Arguments::Json(value) => ("json", serde_json::to_string_pretty(value).expect("a value is plain data")),
        Arguments::Malformed(text) => ("text", text.clone()),
    };
    format!("**Call** {}\n\n{}", markdown_line(tool), fenced(kind, &text))
}

/// Returns `text` between fences that it cannot end.
fn fenced(kind: &str, text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{kind}\n{}\n{fence}", block_for_terminal(text.trim_end()))
}

fn quoted(text: &str) -> String {
    let safe = block_for_terminal(text.trim_end());
    safe.lines().map(|line| format!("> {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Returns one line in which nothing is markup.
fn markdown_line(text: &str) -> String {
    let mut line = String::new();
    for character in for_terminal(text).chars() {
        if matches!(character, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|') {
            line.push('\\');
        }
        line.push(character);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_fence_or_becomes_markup() {
        let text = "a\n```\n# not a heading\n````\nb\u{1b}";
        assert_eq!(fenced("text", text), "`````text\na\n```\n# not a heading\n````\nb\\u{1b}\n`````");
        assert_eq!(markdown_line("# [x](y) `z`\n"), "\\# \\[x\\](y) \\`z\\`\\\\u{a}");
        assert_eq!(quoted("a\n# b"), "> a\n> # b");
    }
}
