//! `boxagnts replay`: a session's calls once more, from what was recorded of them, and what comes out differently.

mod story;

use std::path::Path;
use std::sync::Arc;

use protocol::{Event, Node, SessionId, TurnId};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tools::{ReplayDifference, ReplayResult, Replayer, Tool, builtin};
use workspace::{CallAccount, SessionAccount, Workspace, block_for_terminal, diff_texts, for_terminal};

use self::story::{Story, Turned};
use super::{print, session};
use crate::args::{Form, Place};
use crate::boot::Site;
use crate::exit::{Exit, Failure};
use crate::interrupt;

/// Characters of a hash that tell one content from another for people.
const SHOWN_HASH: usize = 12;

pub(crate) async fn replay(place: &Place, id: &str, with: Option<&str>, output: Form) -> Result<Exit, Failure> {
    let site = Site::find(place)?;
    let workspace = site.workspace()?;
    let id = session::find(&workspace, id)?;
    let events = workspace.journal().events(&id)?;
    let account = told_by(&events);
    let replayer = site.replayer(workspace.clone(), builtin())?;
    let instead = match with {
        Some(with) => Some(other(&replayer, &account, with).await?),
        None => None,
    };
    let cancel = interrupt::token();
    let mut told = Vec::new();
    for call in account.calls() {
        let result = replayer.replay(&account, call, instead.as_deref(), &cancel).await;
        if cancel.is_cancelled() {
            return Ok(Exit::Cancelled);
        }
        if output == Form::Text {
            print(&text(call, &result))?;
        }
        told.push((call, result));
    }
    // With another tool the model would have said something else.
    let turned = match instead {
        Some(_) => Vec::new(),
        None => turns(&site, &workspace, &account, &id, events, (output, &cancel)).await?,
    };
    if cancel.is_cancelled() {
        return Ok(Exit::Cancelled);
    }
    print(&match output {
        Form::Text => counted(&told, &turned),
        Form::Json => json!({
            "session": id,
            "calls": told.iter().map(line).collect::<Vec<_>>(),
            "turns": turned.iter().map(turn_line).collect::<Vec<_>>(),
        })
        .to_string(),
    })?;
    let is_fine = |(_, result): &(_, _)| matches!(result, ReplayResult::Same { .. } | ReplayResult::NeverRan);
    let is_same = |(_, turned): &(_, _)| matches!(turned, Turned::Same);
    Ok(if told.iter().all(is_fine) && turned.iter().all(is_same) { Exit::Done } else { Exit::Different })
}

fn told_by(events: &[Event]) -> Arc<SessionAccount> {
    let mut account = SessionAccount::default();
    for event in events {
        account.apply(event);
    }
    Arc::new(account)
}

/// Runs the session `id` again in silence. Returns how many calls it has, and whether all of it came out the same.
pub(crate) async fn repeat(site: &Site, workspace: &Arc<Workspace>, id: &SessionId) -> Result<(usize, bool), Failure> {
    let events = workspace.journal().events(id)?;
    let (account, cancel) = (told_by(&events), CancellationToken::new());
    let replayer = site.replayer(workspace.clone(), builtin())?;
    let mut is_same = true;
    for call in account.calls() {
        let result = replayer.replay(&account, call, None, &cancel).await;
        is_same &= matches!(result, ReplayResult::Same { .. } | ReplayResult::NeverRan);
    }
    let story = Story::open(site, workspace.clone(), account.clone(), id.clone())?;
    for turn in &story::turns(events) {
        is_same &= matches!(story.run(turn, &cancel).await?, Turned::Same);
    }
    Ok((account.calls().count(), is_same))
}

/// Runs the turns of the session again, through the loop.
async fn turns(
    site: &Site,
    workspace: &Arc<Workspace>,
    account: &Arc<SessionAccount>,
    id: &SessionId,
    events: Vec<Event>,
    (output, cancel): (Form, &CancellationToken),
) -> Result<Vec<(TurnId, Turned)>, Failure> {
    let recorded = story::turns(events);
    if recorded.is_empty() {
        return Ok(Vec::new());
    }
    let story = Story::open(site, workspace.clone(), account.clone(), id.clone())?;
    let mut results = Vec::new();
    for turn in &recorded {
        let turned = story.run(turn, cancel).await?;
        if output == Form::Text {
            print(&turn_text(&turn.turn, &turned))?;
        }
        results.push((turn.turn.clone(), turned));
    }
    Ok(results)
}

fn turn_text(turn: &TurnId, turned: &Turned) -> String {
    match turned {
        Turned::Same => format!("turn {turn}: the same"),
        Turned::NotReplayable { reason } => format!("turn {turn}: not replayable as a whole: {}", for_terminal(reason)),
        Turned::Different { first } => {
            let about = first.call.as_ref().map_or_else(String::new, |call| format!("call {call}: "));
            let shown = |side: &Option<Value>| side.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
            let (then, now) = (shown(&first.then), shown(&first.now));
            format!("turn {turn}: different\n  {about}{}\n  → {}", for_terminal(&then), for_terminal(&now))
        }
    }
}

fn turn_line((turn, turned): &(TurnId, Turned)) -> Value {
    let mut line = serde_json::to_value(turned).expect("a result is plain data");
    if let Value::Object(fields) = &mut line {
        fields.insert("turn".into(), json!(turn));
    }
    line
}

/// Returns the tool that `with` means, which the session must have called.
async fn other(replayer: &Replayer, account: &SessionAccount, with: &str) -> Result<Arc<Tool>, Failure> {
    let tool = if Path::new(with).exists() {
        let candidate = replayer.registry().examine(Path::new(with)).await;
        Arc::new(candidate.map_err(|error| Failure::usage(format!("{with} cannot be used: {error}")))?.tool)
    } else {
        registered(replayer, with).await?
    };
    let name = &tool.manifest.name;
    if account.calls().any(|call| call.tool == *name) {
        return Ok(tool);
    }
    let mut called: Vec<&str> = account.calls().map(|call| call.tool.as_str()).collect();
    called.sort_unstable();
    called.dedup();
    Err(Failure::usage(format!("the session did not call `{name}`")).hint(format!("it called: {}", called.join(", "))))
}

async fn registered(replayer: &Replayer, with: &str) -> Result<Arc<Tool>, Failure> {
    let (name, version) = with.split_once('@').map_or((with, None), |(name, version)| (name, Some(version)));
    let tool = replayer.registry().tool(name).await.map_err(Failure::internal)?;
    let none = || {
        Failure::usage(format!("there is no tool `{name}`, and no file {with}"))
            .hint("see the tools: boxagnts tool list; or name a folder with tool.toml and a component")
    };
    let tool = tool.ok_or_else(none)?;
    let found = &tool.manifest.version;
    if version.is_some_and(|version| version != found) {
        return Err(Failure::usage(format!(
            "`{name}` is here in version {found}, not {}",
            version.unwrap_or_default()
        ))
        .hint("name the folder of the other version: --with ./FOLDER"));
    }
    Ok(tool)
}

fn text(call: &CallAccount, result: &ReplayResult) -> String {
    let head = format!("call {} {}:", call.call, for_terminal(&call.tool));
    match result {
        ReplayResult::Same { fuel } => format!("{head} the same, {fuel} instructions"),
        ReplayResult::NeverRan => format!("{head} it never ran"),
        ReplayResult::NotReplayable { reason } => format!("{head} not replayable: {}", for_terminal(reason)),
        ReplayResult::Different(difference) => format!("{head} different\n{}", indented(&differing(difference))),
    }
}

fn indented(lines: &[String]) -> String {
    let lines = lines.iter().flat_map(|line| line.lines()).map(|line| format!("  {line}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns what is different, the cause first.
fn differing(difference: &ReplayDifference) -> Vec<String> {
    let ReplayDifference { component, left, end, text, summary, fuel, changes } = difference;
    let mut lines = Vec::new();
    lines.extend(component.as_ref().map(|component| format!("another component: {}", for_terminal(component))));
    lines.extend(left.as_ref().map(|left| format!("it asked for what was not recorded: {}", for_terminal(left))));
    lines.extend(end.as_ref().map(|(then, now)| format!("end: {then} → {now}")));
    match text {
        Some((Some(then), now)) => lines.push(format!("result:\n{}", diff_texts(then, now))),
        Some((None, now)) => lines.push(format!("result (what it was is not kept):\n{}", block_for_terminal(now))),
        None => {}
    }
    lines.extend(
        summary.as_ref().map(|(then, now)| format!("in one line: {} → {}", for_terminal(then), for_terminal(now))),
    );
    lines.extend(fuel.map(|(then, now)| format!("instructions: {then} → {now}")));
    let left = |node: &Option<Node>| node.as_ref().map_or_else(|| "not changed".to_owned(), left_there);
    lines.extend(
        changes.iter().map(|(path, then, now)| format!("{}: {} → {}", for_terminal(path), left(then), left(now))),
    );
    lines
}

/// Returns what a change left, for people.
fn left_there(node: &Node) -> String {
    match node {
        Node::Absent => "removed".to_owned(),
        Node::File { hash, size, mode } => format!("{size} bytes, {:.SHOWN_HASH$}, mode {mode:03o}", hash.as_str()),
        Node::Directory { mode } => format!("a folder, mode {mode:03o}"),
        Node::Symlink { target } => format!("a link to {}", for_terminal(target)),
    }
}

fn line((call, result): &(&CallAccount, ReplayResult)) -> Value {
    let mut line = serde_json::to_value(result).expect("a result is plain data");
    if let Value::Object(fields) = &mut line {
        fields.insert("call".into(), json!(call.call));
        fields.insert("tool".into(), json!(call.tool));
    }
    line
}

fn counted(told: &[(&CallAccount, ReplayResult)], turned: &[(TurnId, Turned)]) -> String {
    let count = |is: fn(&ReplayResult) -> bool| told.iter().filter(|(_, result)| is(result)).count();
    let same = count(|result| matches!(result, ReplayResult::Same { .. }));
    let different = count(|result| matches!(result, ReplayResult::Different(_)));
    let not = count(|result| matches!(result, ReplayResult::NotReplayable { .. }));
    let never = count(|result| matches!(result, ReplayResult::NeverRan));
    let calls = told.len();
    let calls =
        format!("{calls} calls: {same} the same, {different} different, {not} not replayable, {never} that never ran");
    if turned.is_empty() {
        return calls;
    }
    let same = turned.iter().filter(|(_, turned)| matches!(turned, Turned::Same)).count();
    format!("{calls}\n{} turns: {same} the same", turned.len())
}
