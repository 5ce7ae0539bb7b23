//! Running recorded calls again, and saying what is different.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::ToolRecord;
use protocol::{Arguments, Change, ChangeSet, ContentHash, Node, Taped};
use sandbox::{Ending, Replay, Replayed, Sandbox};
use serde::Serialize;
use stage::Scratch;
use tokio_util::sync::CancellationToken;
use workspace::{CallAccount, SessionAccount, Workspace};

use crate::entry::Tool;
use crate::registry::Registry;
use crate::tape::{Came, Contents, End, NotReplayable, reel};

/// Runs calls again from what the journal has of them. Nothing is reached but the journal.
pub struct Replayer {
    sandbox: Sandbox,
    registry: Registry,
    workspace: Arc<Workspace>,
}

/// What became of one call when it was run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Result {
    /// Byte for byte, and to the last instruction.
    Same {
        fuel: u64,
    },
    Different(Box<Difference>),
    /// It never ran: refused, invalid or cut short before.
    NeverRan,
    /// There is nothing to run it from.
    NotReplayable {
        reason: String,
    },
}

/// How the replay of a call differs from what was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Why the component is another one than then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// What it asked for that was not recorded. From there on it is another call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// How it ended, then and now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<(String, String)>,
    /// What it said, then and now; `None` of then is no longer kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<(Option<String>, String)>,
    /// Its line for people, then and now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<(String, String)>,
    /// The instructions that it took, then and now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<(u64, u64)>,
    /// Paths that it changed otherwise: what it left there, then and now; `None` where it changed nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<(String, Option<Node>, Option<Node>)>,
}

impl Difference {
    fn is_nothing(&self) -> bool {
        Self { component: None, ..self.clone() } == Self::default()
    }
}

impl Replayer {
    /// Returns what replays the calls of `workspace`.
    pub fn new(sandbox: Sandbox, registry: Registry, workspace: Arc<Workspace>) -> Self {
        Self { sandbox, registry, workspace }
    }

    /// Returns the registered tools.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Runs `call` of `session` again, with `instead` if that is a tool of the same name.
    pub async fn replay(
        &self,
        session: &SessionAccount,
        call: &CallAccount,
        instead: Option<&Tool>,
        cancel: &CancellationToken,
    ) -> Result {
        let tape = match &call.taped {
            None if call.finished.as_ref().is_some_and(|finished| finished.usage.fuel > 0) => {
                return not_replayable("it was not recorded then");
            }
            None if !call.requests.is_empty() || !call.commits.is_empty() => {
                return not_replayable("it was interrupted before its record was kept");
            }
            None => return Result::NeverRan,
            Some(Taped::NotKept { reason }) => return not_replayable(reason),
            Some(Taped::Kept { tape, .. }) => tape,
        };
        match self.run(session, call, tape, instead, cancel).await {
            Ok(difference) => difference,
            Err(NotReplayable(reason)) => not_replayable(&reason),
        }
    }

    async fn run(
        &self,
        session: &SessionAccount,
        call: &CallAccount,
        tape: &ContentHash,
        instead: Option<&Tool>,
        cancel: &CancellationToken,
    ) -> std::result::Result<Result, NotReplayable> {
        let reel = reel(&self.workspace, tape)?;
        let Some(Arguments::Json(arguments)) = call.proposal.as_ref().map(|proposal| &proposal.arguments) else {
            return Err("its arguments were not recorded".into());
        };
        let decided = call.decisions.last().ok_or("its decision was not recorded")?;
        let then = session.tool_of(&decided.decision).map_err(|unknown| NotReplayable(unknown.to_string()))?;
        let registered = match instead.filter(|tool| tool.manifest.name == call.tool) {
            Some(_) => None,
            None => self.registry.tool(&call.tool).await.map_err(|error| NotReplayable(error.to_string()))?,
        };
        let tool = match (instead.filter(|tool| tool.manifest.name == call.tool), &registered) {
            (Some(tool), _) => tool,
            (None, Some(tool)) => tool.as_ref(),
            (None, None) => return Err(NotReplayable(format!("there is no tool `{}` any more", call.tool))),
        };
        let is_other = *tool.component() != then.component || tool.manifest.version != then.version;
        let component = is_other.then(|| told_apart(tool, then));
        let contents = Contents::new(self.workspace.clone());
        let replay = Replay {
            tool: &call.tool,
            arguments,
            tape: &reel.tape,
            contents: contents.given(),
            scratch: Scratch::new(self.workspace.scratch()),
            cancel: cancel.clone(),
        };
        let replayed = tool.replay(&self.sandbox, replay).await;
        let difference = self.compare(call, &reel.came, replayed)?;
        if let Some(reason) = contents.missing() {
            return Err(reason.into());
        }
        if difference.is_nothing() {
            return Ok(Result::Same { fuel: reel.came.fuel });
        }
        Ok(Result::Different(Box::new(Difference { component, ..difference })))
    }

    fn compare(
        &self,
        call: &CallAccount,
        then: &Came,
        replayed: Replayed,
    ) -> std::result::Result<Difference, NotReplayable> {
        let Replayed { outcome, left } = replayed;
        if let Ending::HostFailed(reason) = &outcome.ending {
            return Err(NotReplayable(reason.clone()));
        }
        let mut changes = Vec::new();
        if matches!(outcome.ending, Ending::Returned { .. }) {
            for mount in &outcome.mounts {
                match mount.stage.changes() {
                    Ok(staged) => changes.push(staged),
                    Err(error) => left.note(|| format!("what it changed: {error}")),
                }
            }
        }
        let left = left.asked().map(ToOwned::to_owned);
        let (now, text) = match Came::of(&outcome.ending, &outcome.usage, changes.iter()) {
            Ok(came) => came,
            Err(reason) => {
                let end = Some((words(then.end).to_owned(), reason.to_owned()));
                return Ok(Difference { left, end, ..Difference::default() });
            }
        };
        let is_other = |then: &str, now: &str| (then != now).then(|| (then.to_owned(), now.to_owned()));
        Ok(Difference {
            component: None,
            left,
            end: (then.end != now.end).then(|| (words(then.end).to_owned(), words(now.end).to_owned())),
            text: (then.text != now.text).then(|| (self.said(call, &then.text), text.to_owned())),
            summary: is_other(&then.summary, &now.summary),
            fuel: (then.fuel != now.fuel).then_some((then.fuel, now.fuel)),
            changes: changed(&then.changes, &now.changes),
        })
    }

    /// Returns what a call said then, if that is what it was read as, or is kept whole.
    fn said(&self, call: &CallAccount, hash: &ContentHash) -> Option<String> {
        let finished = call.finished.as_ref()?;
        let is_it = |text: &String| ContentHash::of(text.as_bytes()) == *hash;
        let whole = || String::from_utf8(self.workspace.kept(finished.full_output.as_ref()?).ok()?).ok();
        Some(finished.result.text.clone()).filter(is_it).or_else(|| whole().filter(is_it))
    }
}

fn told_apart(tool: &Tool, then: &ToolRecord) -> String {
    let (now, before) = (&tool.manifest.version, &then.version);
    if now == before { format!("another build of version {now}") } else { format!("version {now}, then {before}") }
}

fn not_replayable(reason: &str) -> Result {
    Result::NotReplayable { reason: reason.to_owned() }
}

fn words(end: End) -> &'static str {
    match end {
        End::Returned => "it succeeded",
        End::Rejected => "it could not do it",
        End::Internal => "it failed",
        End::Trapped => "it crashed",
        End::Stopped(cause) => match cause {
            protocol::StopCause::Fuel => "it was stopped for its instructions",
            protocol::StopCause::Memory => "it was stopped for its memory",
            protocol::StopCause::Stack => "it was stopped for its stack",
            protocol::StopCause::Output => "it was stopped for its output",
            protocol::StopCause::Resources => "it was stopped for its open files",
            protocol::StopCause::Stage => "it was stopped for what it wrote",
            protocol::StopCause::Deadline => "it was stopped at its deadline",
        },
    }
}

/// Returns the paths that are not changed in the same way.
fn changed(then: &[ChangeSet], now: &[ChangeSet]) -> Vec<(String, Option<Node>, Option<Node>)> {
    let (then, now) = (by_path(then), by_path(now));
    let paths: BTreeSet<_> = then.keys().chain(now.keys()).collect();
    let different = paths.into_iter().filter(|path| then.get(*path) != now.get(*path));
    let after = |change: Option<&&Change>| change.map(|change| change.after.clone());
    different.map(|path| (path.clone(), after(then.get(path)), after(now.get(path)))).collect()
}

fn by_path(sets: &[ChangeSet]) -> BTreeMap<String, &Change> {
    let path = |set: &ChangeSet, change: &Change| format!("{}/{}", set.mount, change.path);
    sets.iter().flat_map(|set| set.changes.iter().map(move |change| (path(set, change), change))).collect()
}
