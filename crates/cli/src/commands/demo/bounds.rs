//! The scenes of what ends a session: its budget, and `kill -9`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use policy::Budget;
use protocol::{BudgetScope, EventBody, Measure, MicroUsd, TurnOutcome};
use workspace::ChangeSetState;

use super::{Row, Stage};
use crate::boot::Site;
use crate::commands::print;
use crate::exit::Failure;

const SPEND: &str = include_str!("../../../demo/spend.toml");
const CRASH: &str = include_str!("../../../demo/crash.toml");

/// Whose price counts: the script only stands in.
const PRICED: &str = "anthropic/claude-sonnet-5";

/// What that session may spend, in micro-USD: a few calls.
const PURSE: u64 = 100_000;

/// Plays the planner that goes on and on.
pub(super) async fn overspend(stage: &Stage) -> Result<Row, Failure> {
    print("\nA planner with ten cents\n")?;
    let mut budget: Budget = stage.site.config.budget;
    budget.session.micro_usd = PURSE;
    let price =
        providers::catalog::lookup(PRICED).price.ok_or_else(|| Failure::internal("the catalog lacks a price"))?;
    let turned = stage.play_paid("Read it again and again.", SPEND, price, budget).await?;
    let events = stage.taken();
    let spent = events.iter().filter_map(|event| match &event.body {
        EventBody::ModelReplied { spent, .. } => Some(spent.micro_usd),
        _ => None,
    });
    let (calls, spent) = (spent.clone().count(), spent.sum::<u64>());
    let stopped = matches!(
        turned.outcome,
        TurnOutcome::BudgetExceeded { scope: BudgetScope::Session, measure: Measure::MicroUsd, .. }
    );
    let (spent_usd, purse) = (MicroUsd::new(spent), MicroUsd::new(PURSE));
    Ok(Row {
        attempt: "spend more than its budget".into(),
        outcome: format!("stopped before model call {}: {spent_usd} of {purse} spent", calls + 1),
        by: "query loop",
        as_expected: stopped && calls > 0 && (1..=PURSE).contains(&spent),
    })
}

/// Kills a real process in the middle of its work, and resumes the session in another.
pub(super) fn crash() -> Result<Row, Failure> {
    print("\nA process that is killed in the middle of its work\n")?;
    let folder = tempfile::tempdir().map_err(Failure::internal)?;
    let root = folder.path().canonicalize().map_err(Failure::internal)?;
    fs::write(root.join("script.toml"), CRASH).map_err(Failure::internal)?;
    kill_after_a_commit(&root)?;
    let at_its_end = written(&root);
    let resumed = boxagnts(&root, &["resume"])?.output().map_err(Failure::internal)?;
    let sets = Site::at(root.clone())?.workspace()?.journal().change_sets(10)?;
    let committed = |state: &ChangeSetState| matches!(state, ChangeSetState::Ended(protocol::CommitOutcome::Committed));
    let once = sets.len() == 3 && sets.iter().all(|set| committed(&set.state));
    Ok(Row {
        attempt: "kill -9 in the middle of a session".into(),
        outcome: format!("{at_its_end} of 3 files then; resumed: {} of 3, each written once", written(&root)),
        by: "workspace",
        as_expected: resumed.status.success() && at_its_end < 3 && written(&root) == 3 && once,
    })
}

fn kill_after_a_commit(root: &Path) -> Result<(), Failure> {
    let mut run = boxagnts(root, &["run", "--model", "script/script.toml", "Write three files."])?;
    let mut child = run.spawn().map_err(Failure::internal)?;
    let events = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines);
    events.map_while(Result::ok).find(|event| event.contains("\"commit_finished\""));
    child.kill().and_then(|()| child.wait()).map(drop).map_err(Failure::internal)
}

/// Returns this program, told to work at `root`.
fn boxagnts(root: &Path, arguments: &[&str]) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(Failure::internal)?);
    command.args(arguments).args(["--headless", "--output", "json"]).current_dir(root).arg("--workspace").arg(root);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(command)
}

fn written(root: &Path) -> usize {
    ["one.txt", "two.txt", "three.txt"].iter().filter(|name| root.join(name).exists()).count()
}
