//! Running a call again from its tape. It reaches nothing: no directory, no network, no secret, no clock.

use std::io::Cursor;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use protocol::CallId;
use serde_json::Value;
use stage::{Left, Scratch, Stage, StageError, StageOptions, Veil};
use tokio_util::sync::CancellationToken;

use crate::host::{Files, Program};
use crate::run::{Running, carry, preopen, tell_time, unrun};
use crate::tape::{Contents, Deck, MountTape, Tape};
use crate::{Ending, LoadError, LoadedCommand, LoadedTool, Mount, Outcome, Sandbox};

/// How many times the deadline of a call its replay may take: it waits for nothing, but this machine may be slower.
const PATIENCE: u64 = 10;

/// A call to be run again.
pub struct Replay<'a> {
    /// The tool's name, as its definition says.
    pub tool: &'a str,
    /// The arguments of then.
    pub arguments: &'a Value,
    pub tape: &'a Tape,
    /// What the tape names.
    pub contents: Contents,
    /// Where large staged contents are held.
    pub scratch: Scratch,
    pub cancel: CancellationToken,
}

/// What became of a call that was run again.
pub struct Replayed {
    /// Its mounts stage what the call changed; their change sets can be computed, and nothing else done with them.
    pub outcome: Outcome,
    /// Where it asked for something that the tape does not have.
    pub left: Left,
}

impl Sandbox {
    /// Runs a call of `tool` again.
    pub async fn replay(&self, tool: &LoadedTool, replay: Replay<'_>) -> Replayed {
        let arguments = protocol::canonical(replay.arguments);
        let name = replay.tool.to_owned();
        let again = Again::new(self, &replay).await;
        let (mounts, left) = (again.mounts, again.left);
        let outcome = match (again.running, tool.code().await) {
            (Ok(running), Ok(code)) => {
                let epochs = running.epochs();
                match carry(Box::pin(running.call(code.clone(), name, arguments)), &epochs).await {
                    Ok((running, result)) => running.replied(result, mounts).await,
                    Err(ending) => unrun(ending, mounts),
                }
            }
            (running, code) => unrun(unready(running.err(), code.err()), mounts),
        };
        Replayed { outcome, left }
    }

    /// Runs a call of `command` again, with the line that its arguments make.
    pub async fn replay_command(
        &self,
        command: &LoadedCommand,
        replay: Replay<'_>,
        argv: Vec<String>,
        stdin: Vec<u8>,
    ) -> Replayed {
        let arguments = std::iter::once(replay.tool.to_owned()).chain(argv).collect();
        let program = Program { arguments, input: Bytes::from(stdin) };
        let again = Again::new(self, &replay).await;
        let (mounts, left) = (again.mounts, again.left);
        let outcome = match (again.running, command.code().await) {
            (Ok(running), Ok(code)) => {
                let epochs = running.epochs();
                match carry(Box::pin(running.command(code.clone(), program)), &epochs).await {
                    Ok((running, ran)) => running.exited(ran, mounts).await,
                    Err(ending) => unrun(ending, mounts),
                }
            }
            (running, code) => unrun(unready(running.err(), code.err()), mounts),
        };
        Replayed { outcome, left }
    }
}

fn unready(ending: Option<Ending>, error: Option<LoadError>) -> Ending {
    let unloaded = || Ending::HostFailed(error.map_or_else(String::new, |error| error.to_string()));
    ending.unwrap_or_else(unloaded)
}

/// Begins a stage as it began then.
fn restage(stage: &Stage, recorded: &MountTape, contents: &Contents, left: &Left) {
    let Some(staged) = recorded.staged() else { return };
    let seeded = stage.seed(&staged.changes, staged.at(), |hash| {
        let bytes = contents(hash).ok_or(StageError::NoContent)?;
        Ok(Box::new(Cursor::new(bytes)))
    });
    if let Err(error) = seeded {
        left.note(|| format!("what earlier calls had staged: {error}"));
    }
}

/// A guest that is about to run again.
struct Again {
    running: Result<Running, Ending>,
    mounts: Vec<Mount>,
    left: Left,
}

impl Again {
    async fn new(sandbox: &Sandbox, replay: &Replay<'_>) -> Self {
        let Replay { tape, contents, scratch, cancel, .. } = replay;
        let left = Left::default();
        let deck = Arc::new(Deck::played(tape, contents.clone(), left.clone()));
        let mount = |(at, recorded): (usize, &MountTape)| {
            let options = StageOptions {
                mount: recorded.name.clone(),
                writable: recorded.writable,
                quota: recorded.quota(),
                scratch: scratch.clone(),
                clock: SystemTime::now,
                veil: Veil::none(),
            };
            let stage = Stage::new(tape.base(at, contents.clone(), left.clone()), options);
            restage(&stage, recorded, contents, &left);
            let mount = Mount { name: recorded.name.clone(), stage };
            tell_time(&mount, &deck);
            mount
        };
        let mounts: Vec<Mount> = tape.mounts().iter().enumerate().map(mount).collect();
        let running = Self::running(sandbox, tape, &mounts, deck, cancel).await;
        Self { running, mounts, left }
    }

    async fn running(
        sandbox: &Sandbox,
        tape: &Tape,
        mounts: &[Mount],
        deck: Arc<Deck>,
        cancel: &CancellationToken,
    ) -> Result<Running, Ending> {
        let shared = &sandbox.0;
        if !tape.is_known() {
            return Err(Ending::HostFailed("its tape is of another version of the runtime".to_owned()));
        }
        let mut limits = tape.limits().meet(&shared.ceiling);
        if limits != *tape.limits() {
            let reason = "it had higher limits than [limits] in boxagnts.toml allows now".to_owned();
            return Err(Ending::HostFailed(reason));
        }
        limits.timeout_ms = limits.timeout_ms.saturating_mul(PATIENCE);
        let slot = tokio::select! {
            () = cancel.cancelled() => return Err(Ending::Cancelled),
            slot = shared.slot() => slot,
        };
        let preopens = mounts.iter().zip(tape.mounts()).map(|(mount, recorded)| preopen(mount, recorded.writable));
        let files = Files::new(preopens.collect(), limits.open_files);
        // Shut: there is no network to judge or to reach.
        let gate = Arc::new(shared.gate(CallId::from_random(0), None, None, &limits));
        Ok(Running::new(shared, limits, files, gate, slot, cancel.child_token(), deck))
    }
}
