//! (c) Sessions of 1, 20, 100 and 1,000 turns, each a reply with one call, with the journal on: what a turn costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use policy::Budget;
use protocol::{CallId, Spending, TurnId, TurnOutcome};
use providers::{Delta, Price, ScriptedModel};
use query::{Driver, Planner, TurnLimits};
use testkit::{Runtime, random};
use tokio_util::sync::CancellationToken;
use workspace::SessionView;

use crate::table::{Row, Sample, micros};

const SCRIPT: &str = r#"
[[reply]]
text = "Again."
repeat = true
[[reply.call]]
tool = "read"
arguments = { path = "small.txt" }
"#;

pub(crate) async fn measure() -> Result<Vec<Row>> {
    // On a worker, as sessions run.
    tokio::spawn(sessions()).await?
}

async fn sessions() -> Result<Vec<Row>> {
    let cache = tempfile::tempdir()?;
    let runtime = Runtime::new(cache.path());
    std::fs::write(runtime.root().join("small.txt"), "one line of a small file\n".repeat(160))?;
    session(&runtime, 20).await?;
    let mut rows = Vec::new();
    for (turns, runs) in [(1_u32, 51), (20, 11), (100, 5), (1_000, 1)] {
        let mut each = Vec::new();
        for _ in 0..runs {
            each.push(session(&runtime, turns).await? / turns);
        }
        let each = Sample::new(each).median();
        let what = format!("(c) a turn in a session of {turns}");
        rows.push(Row::against(what, micros(each), "2 ms", each <= Duration::from_millis(2)));
    }
    Ok(rows)
}

/// Returns how long a session of `turns` model calls takes.
async fn session(runtime: &Runtime, turns: u32) -> Result<Duration> {
    let plenty = Budget::MAX;
    let call_ids = Arc::new(|| CallId::from_random(random()));
    let driver = Driver {
        planner: Planner {
            model: Arc::new(ScriptedModel::parse(SCRIPT, call_ids)?),
            price: Price::free(),
            context_window: None,
            max_output_tokens: None,
        },
        fallback: None,
        tools: &runtime.tools,
        workspace: &runtime.workspace,
        session: &runtime.session(),
        // It reads the same file every time.
        limits: TurnLimits { model_calls: turns, recoveries: 0, retries: 0, repeats: turns },
        budget: Budget {
            turn: Spending { model_calls: turns.into(), ..plenty },
            session: plenty,
            day: plenty,
            ..Budget::default()
        },
        backoff: Duration::ZERO,
        random,
        cancel: CancellationToken::new(),
    };
    let started = Instant::now();
    let turn = TurnId::from_random(random());
    let turned = driver.run(turn, "read", SessionView::default(), &mut |_: Delta| {}).await?;
    let took = started.elapsed();
    ensure!(turned.outcome == TurnOutcome::MaxTurns { limit: turns }, "the session ended with {:?}", turned.outcome);
    Ok(took)
}
