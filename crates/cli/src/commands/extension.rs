//! `boxagnts tool add`, `approve` and `rm`: which extensions there are, and what they may ask for.

use std::path::Path;
use std::sync::Arc;

use tools::{Asked, Candidate, ExtensionState, Listed, Registry};
use workspace::for_terminal;

use super::{print, tool};
use crate::approve::approver;
use crate::args::Place;
use crate::exit::{Exit, Failure};
use crate::place;
use crate::progress::Progress;

pub(crate) async fn add(place: &Place, path: &Path, yes: bool) -> Result<Exit, Failure> {
    let (tools, _) = tool::assemble(place)?;
    let candidate = tools.registry().examine(path).await.map_err(no_folder_or_usage)?;
    consent(&candidate, yes, &format!("boxagnts tool add {} --yes", path.display())).await?;
    let path = tools.registry().install(&candidate)?;
    print(&format!("added {} to {}", named(&candidate), path.display()))?;
    Ok(Exit::Done)
}

pub(crate) async fn approve(place: &Place, name: &str, yes: bool) -> Result<Exit, Failure> {
    let (tools, _) = tool::assemble(place)?;
    let candidate = tools.registry().examine_installed(name).await.map_err(no_folder_or_usage)?;
    consent(&candidate, yes, &format!("boxagnts tool approve {} --yes", for_terminal(name))).await?;
    tools.registry().approve(&candidate)?;
    print(&format!("approved {}", named(&candidate)))?;
    Ok(Exit::Done)
}

pub(crate) fn remove(place: &Place, name: &str) -> Result<Exit, Failure> {
    let (tools, _) = tool::assemble(place)?;
    tools.registry().remove(name).map_err(no_folder_or_usage)?;
    print(&format!("removed {}", for_terminal(name)))?;
    Ok(Exit::Done)
}

fn named(candidate: &Candidate) -> String {
    let manifest = &candidate.tool.manifest;
    format!("{} {}", manifest.name, for_terminal(&manifest.version))
}

/// Asks whether `candidate` may have what it asks for, where that is more than was approved or where it takes the place of
/// something else; `yes` is the answer, given beforehand.
async fn consent(candidate: &Candidate, yes: bool, command: &str) -> Result<(), Failure> {
    if !candidate.difference.is_more() && candidate.replaces.is_none() {
        return Ok(());
    }
    let lines = question(candidate);
    let answer = if yes { Some(true) } else { ask(candidate, &lines).await };
    let asks = lines.join("\n  ");
    match answer {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new(Exit::Refused, format!("{} was not approved", named(candidate)))),
        None => Err(Failure::new(
            Exit::Refused,
            format!("{} wants to:\n  {asks}\nand nobody is there to be asked", named(candidate)),
        )
        .hint(format!("say yes beforehand: {command}"))),
    }
}

/// Returns what is asked, a line each.
fn question(candidate: &Candidate) -> Vec<String> {
    let replaces = candidate.replaces.as_ref().map(|version| format!("+ replace version {}", for_terminal(version)));
    replaces.into_iter().chain(candidate.difference.lines()).collect()
}

async fn ask(candidate: &Candidate, lines: &[String]) -> Option<bool> {
    let asked = Asked {
        tool: &candidate.tool.manifest.name,
        effects: lines,
        rule: "extensions",
        reason: "it is not part of the runtime, and asks for more than you approved",
        detail: &tool::described(&candidate.tool, "extension"),
        ceiling: "",
        approval: None,
        may_remember: false,
    };
    approver(false, false, &Arc::new(Progress::new())).trust(asked).await
}

fn no_folder_or_usage(error: tools::RegistryError) -> Failure {
    match error {
        tools::RegistryError::NoExtensions => {
            Failure::usage(error).hint("set one of XDG_DATA_HOME and HOME: XDG_DATA_HOME=/path boxagnts …")
        }
        tools::RegistryError::NoSuchExtension(_) => Failure::usage(error).hint("see what there is: boxagnts tool list"),
        error => Failure::usage(for_terminal(&error.to_string())),
    }
}

/// Returns an extension's line of the list.
pub(crate) fn line(listed: &Listed) -> String {
    let line = |state: &str, purpose: &str| tool::line(&listed.name, state, "extension", purpose);
    match &listed.state {
        ExtensionState::Ready { tool, is_changed } => {
            let note = if *is_changed { "(changed since you approved it) " } else { "" };
            line(&tool.manifest.level.to_string(), &format!("{note}{}", tool.definition.description))
        }
        ExtensionState::Waiting(_) | ExtensionState::Broken(_) => {
            let problem = problem(listed).expect("it is not ready");
            let state = if problem.exit == Exit::Refused { "waiting" } else { "broken" };
            let hint = problem.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            line(state, &format!("{}{hint}", problem.message))
        }
    }
}

/// Returns why an extension cannot be used, when it cannot.
pub(crate) fn problem(listed: &Listed) -> Option<Failure> {
    let name = for_terminal(&listed.name);
    match &listed.state {
        ExtensionState::Ready { .. } => None,
        ExtensionState::Waiting(difference) => Some(
            Failure::new(
                Exit::Refused,
                format!("`{name}` asks for more than was approved: {}", difference.lines().join(", ")),
            )
            .hint(format!("look at it, then: boxagnts tool approve {name}")),
        ),
        ExtensionState::Broken(reason) => {
            Some(Failure::usage(format!("`{name}` cannot be used: {}", for_terminal(reason))))
        }
    }
}

/// Tells a person at the start of a session which extensions are not offered, and which are not what was approved.
pub(crate) async fn tell_problems(registry: &Registry) {
    let listed = registry.extensions().await;
    for Listed { name, state } in &listed {
        if let ExtensionState::Ready { is_changed: true, .. } = state {
            eprintln!("note: the extension `{name}` changed since you approved it; it asks for no more");
        }
    }
    for failure in listed.iter().filter_map(problem) {
        eprintln!("note: the extension {}", failure.message);
        if let Some(hint) = failure.hint {
            eprintln!("      {hint}");
        }
    }
}

/// Returns what the doctor says of the extensions: a line each for what does not work.
pub(crate) async fn check(registry: &Registry) -> Result<String, Failure> {
    let Some(folder) = place::extensions() else { return Ok("none: neither XDG_DATA_HOME nor HOME is set".into()) };
    let listed = registry.extensions().await;
    let mut problems: Vec<_> = listed.iter().filter_map(problem).collect();
    if problems.is_empty() {
        return Ok(format!("{} in {}", listed.len(), folder.display()));
    }
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.clone()).collect();
    let first = problems.swap_remove(0);
    Err(Failure { message: messages.join("; "), ..first })
}
