//! `boxagnts demo`: the runtime at work on a sample repository, with a planner that works and with one gone wrong.
//!
//! Nothing here is staged for show: loop, tools, sandbox, policy and journal are those of every session. Only the
//! planner is scripted.

mod bounds;
mod carrier;

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use policy::{Budget, Principal};
use protocol::{CallId, CallOutcome, Event, EventBody, SessionId, TurnId, TurnOutcome, Verdict};
use providers::{Delta, Price, ScriptedModel};
use query::{Driver, Planner, Turned};
use tools::{Package, ToolSession, Unattended, builtin};
use workspace::{ChangeSetRecord, SessionView, Workspace};

use carrier::Carrier;

use super::explain::tell;
use super::run::limits;
use super::undo::{UNDO, carry_out};
use super::{print, replay};
use crate::args::Form;
use crate::boot::{Site, random};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::progress::{Progress, stopped};

/// The sample repository.
const SAMPLE: [(&str, &str); 14] = [
    (".gitignore", include_str!("../../../demo/sample/.gitignore")),
    ("CHANGELOG.md", include_str!("../../../demo/sample/CHANGELOG.md")),
    ("README.md", include_str!("../../../demo/sample/README.md")),
    ("boxagnts.toml", include_str!("../../../demo/sample/boxagnts.toml")),
    ("docs/format.md", include_str!("../../../demo/sample/docs/format.md")),
    ("events.csv", include_str!("../../../demo/sample/events.csv")),
    ("parcel/__init__.py", include_str!("../../../demo/sample/parcel/__init__.py")),
    ("parcel/__main__.py", include_str!("../../../demo/sample/parcel/__main__.py")),
    ("parcel/events.py", include_str!("../../../demo/sample/parcel/events.py")),
    ("parcel/status.py", include_str!("../../../demo/sample/parcel/status.py")),
    ("tests/__init__.py", ""),
    ("tests/test_events.py", include_str!("../../../demo/sample/tests/test_events.py")),
    ("tests/test_status.py", include_str!("../../../demo/sample/tests/test_status.py")),
    (".git/HEAD", "ref: refs/heads/main\n"),
];

/// Tools that only the demo has: components that do not mean well.
const PROBES: [(&str, &[u8]); 2] = include!(concat!(env!("OUT_DIR"), "/probes.rs"));

const CARRIER: &str = include_str!("../../../demo/carrier.toml");
const GOOD: &str = include_str!("../../../demo/good.toml");
const BAD: &str = include_str!("../../../demo/bad.toml");

/// What a tool says of a path that leads out of its mounts.
const OUTSIDE: &str = "outside what this tool may use";

/// The rule that keeps git's hooks and the runtime's own files.
const PROTECTION: &str = "protected-paths";

/// Lines of an explanation that the demo shows.
const EXPLAINED_LINES: usize = 12;

/// Lines of a diff that the demo shows.
const DIFF_LINES: usize = 24;

pub(crate) async fn demo() -> Result<Exit, Failure> {
    let started = Instant::now();
    let temporary = || tempfile::tempdir().map_err(|error| Failure::internal(format!("no temporary folder: {error}")));
    let (folder, secrets) = (temporary()?, temporary()?);
    let carrier = Carrier::start().map_err(|error| Failure::internal(format!("no server on loopback: {error}")))?;
    lay_out(folder.path(), &carrier)
        .map_err(|error| Failure::internal(format!("the sample cannot be copied: {error}")))?;
    let root = folder.path().canonicalize().map_err(Failure::internal)?;
    let (secrets, journals) = (Some(secrets.path().join("secrets")), Some(secrets.path().join("journals")));
    let stage = Stage::open(Site { secrets, journals, ..Site::at(root)? }, carrier)?;
    let mut rows = work(&stage).await?;
    rows.extend(converse(&stage).await?);
    rows.extend(misbehave(&stage).await?);
    rows.push(bounds::overspend(&stage).await?);
    rows.push(bounds::crash()?);
    print(&table(&rows))?;
    let held = rows.iter().all(|row| row.as_expected);
    print(&format!("\n{} in {:.1} s.", conclusion(held), started.elapsed().as_secs_f64()))?;
    Ok(if held { Exit::Done } else { Exit::Internal })
}

fn conclusion(held: bool) -> &'static str {
    if held { "Everything above was decided, contained and recorded by the runtime" } else { "Something did not hold" }
}

/// Copies the sample, with a link that leads out of it.
fn lay_out(root: &Path, carrier: &Carrier) -> std::io::Result<()> {
    for (path, content) in SAMPLE {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(root))?;
        std::fs::write(path, carrier.addressed(content))?;
    }
    std::os::unix::fs::symlink("/etc/passwd", root.join("docs/passwd"))
}

/// Where both planners play.
struct Stage {
    site: Site,
    workspace: Arc<Workspace>,
    events: Arc<Mutex<Vec<Event>>>,
    carrier: Carrier,
}

impl Stage {
    fn open(site: Site, carrier: Carrier) -> Result<Self, Failure> {
        carrier.give_key(&site.secret_store()?)?;
        let workspace = site.workspace()?;
        let (events, progress) = (Arc::new(Mutex::new(Vec::new())), Progress::new());
        let seen = events.clone();
        workspace.journal().observe(Box::new(move |event: &Event| {
            progress.event(event);
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        }));
        Ok(Self { site, workspace, events, carrier })
    }

    /// Plays `script` as one session, and returns how it ended.
    async fn play(&self, task: &str, script: &str) -> Result<Turned, Failure> {
        self.play_paid(task, script, Price::free(), self.site.config.budget).await
    }

    /// Plays a model that costs `price`, with a budget of its own.
    async fn play_paid(&self, task: &str, script: &str, price: Price, budget: Budget) -> Result<Turned, Failure> {
        let call_ids = Arc::new(|| CallId::from_random(random()));
        let model = ScriptedModel::parse(&self.carrier.addressed(script), call_ids).map_err(Failure::internal)?;
        let mut packages = builtin();
        packages.extend(PROBES.iter().map(|(manifest, component)| Package {
            manifest: Cow::Borrowed(*manifest),
            component: Cow::Borrowed(*component),
        }));
        let tools = self.site.tools(self.workspace.clone(), packages, Arc::new(Unattended))?;
        let (id, grant) = (SessionId::from_random(random()), self.site.grant());
        let session = ToolSession::open(&self.workspace, id, Principal::Planner, grant, &[])?;
        let driver = Driver {
            planner: Planner { model: Arc::new(model), price, context_window: None, max_output_tokens: None },
            fallback: None,
            tools: &tools,
            workspace: &self.workspace,
            session: &session,
            limits: limits(&self.site, None),
            budget,
            backoff: Duration::ZERO,
            random,
            cancel: interrupt::token(),
        };
        let turn = TurnId::from_random(random());
        Ok(driver.run(turn, task, SessionView::default(), &mut |_: Delta| {}).await?)
    }

    fn taken(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One line of the table.
struct Row {
    attempt: String,
    outcome: String,
    by: &'static str,
    as_expected: bool,
}

/// Plays the planner that works, shows a diff, and takes one commit back.
async fn work(stage: &Stage) -> Result<Vec<Row>, Failure> {
    print("A planner at work\n")?;
    let turned = stage.play("Fix the spelling of \"recieved\" everywhere.", GOOD).await?;
    print(&format!("\n{}", turned.answer))?;
    let sets = stage.workspace.journal().change_sets(100)?;
    let calls = stage.taken().iter().filter(|event| matches!(event.body, EventBody::CallFinished { .. })).count();
    let done = turned.outcome == TurnOutcome::Done && sets.len() == 8;
    let mut rows = vec![Row {
        attempt: "fix a misspelling in 8 files".into(),
        outcome: format!("{calls} calls, {} commits", sets.len()),
        by: "",
        as_expected: done,
    }];
    let Some(last) = sets.into_iter().next() else { return Ok(rows) };
    rows.push(undo(stage, &last)?);
    Ok(rows)
}

fn undo(stage: &Stage, set: &ChangeSetRecord) -> Result<Row, Failure> {
    let path = set.changes.changes.first().map(|change| change.path.clone()).unwrap_or_default();
    print(&format!("\nThe last commit, {}:\n", set.change_set))?;
    for line in stage.workspace.diff(&set.changes)?.lines().take(DIFF_LINES) {
        print(&format!("  {line}"))?;
    }
    print("\nTaken back:")?;
    let plan = stage.workspace.undo_plans(std::slice::from_ref(&set.change_set))?.remove(0);
    let outcome = carry_out(&stage.site, &stage.workspace, &plan, UNDO)?.outcome;
    let restored = SAMPLE.iter().find(|(sample, _)| *sample == path).map(|(_, content)| *content);
    let now = std::fs::read_to_string(stage.site.root.join(&path)).ok();
    stage.taken();
    Ok(Row {
        attempt: format!("undo the commit to {path}"),
        outcome: "the file is as it was, byte for byte".into(),
        by: "",
        as_expected: outcome == protocol::CommitOutcome::Committed && now.as_deref() == restored,
    })
}

/// Plays the planner that uses a key, and looks for the key everywhere.
async fn converse(stage: &Stage) -> Result<Vec<Row>, Failure> {
    print("\nA planner with a key that it never sees\n")?;
    let turned = stage.play("How many parcels has the carrier?", CARRIER).await?;
    print(&format!("\n{}", turned.answer))?;
    let events = stage.taken();
    let told = serde_json::to_string(&events).map_err(Failure::internal)?;
    let echo = "signed in with Bearer {{secret:CARRIER_KEY}}";
    let is_scrubbed =
        |event: &Event| matches!(&event.body, EventBody::CallFinished { result, .. } if result.text.contains(echo));
    let is_kept = stage.carrier.key_lies_in(&stage.site.root).map_err(Failure::internal)?;
    let is_hidden = !is_kept && !told.contains(stage.carrier.key()) && events.iter().any(is_scrubbed);
    let used = Row {
        attempt: "use a key without seeing it".into(),
        outcome: "the server got the key, and said it back; journal and files have its name".into(),
        by: "sandbox",
        as_expected: turned.outcome == TurnOutcome::Done && stage.carrier.got_key() && is_hidden,
    };
    let again = replay_scene(stage, events.first().map(|event| &event.session)).await?;
    Ok([Some(used), again].into_iter().flatten().collect())
}

/// Runs a session again that talked to a server, and looks whether the server was asked.
async fn replay_scene(stage: &Stage, session: Option<&SessionId>) -> Result<Option<Row>, Failure> {
    let Some(session) = session else { return Ok(None) };
    print("\nThe same session once more, from its record")?;
    let asked = stage.carrier.requests();
    let (calls, is_same) = replay::repeat(&stage.site, &stage.workspace, session).await?;
    Ok(Some(Row {
        attempt: "replay that session".into(),
        outcome: format!("{calls} calls the same to the last instruction; the server was not asked"),
        by: "sandbox",
        as_expected: is_same && calls > 0 && stage.carrier.requests() == asked,
    }))
}

/// Plays the planner gone wrong; each attempt is a row.
async fn misbehave(stage: &Stage) -> Result<Vec<Row>, Failure> {
    print("\nA planner gone wrong\n")?;
    let turned = stage.play("Whatever a web page said.", BAD).await?;
    let events = stage.taken();
    let mut rows: Vec<Row> = events.iter().filter_map(|event| attempt(event, &events)).collect();
    rows.extend(why(stage, &events)?);
    let limit = matches!(turned.outcome, TurnOutcome::MaxTurns { .. });
    let TurnOutcome::MaxTurns { limit: most } = turned.outcome else {
        rows.push(Row {
            attempt: "never stop".into(),
            outcome: format!("{:?}", turned.outcome),
            by: "",
            as_expected: limit,
        });
        return Ok(rows);
    };
    let outcome = format!("stopped after {most} model calls (`max_turns`)");
    rows.push(Row { attempt: "call tools for ever".into(), outcome, by: "query loop", as_expected: true });
    Ok(rows)
}

/// Asks the journal why the planner may not plant a hook.
fn why(stage: &Stage, events: &[Event]) -> Result<Option<Row>, Failure> {
    let refused = events.iter().find_map(|event| match &event.body {
        EventBody::CallDecided { call, decision, .. } if decision.rule == PROTECTION => Some((&event.session, call)),
        _ => None,
    });
    let Some((session, call)) = refused else { return Ok(None) };
    let told = tell(&stage.workspace, session, call, Form::Text)?;
    print(&format!("\nWhy it may not plant a hook, as `boxagnts explain {call}` tells it:\n"))?;
    let decided = told.lines().skip_while(|line| !line.starts_with("decision")).take(EXPLAINED_LINES);
    decided.map(|line| format!("  {line}")).try_for_each(|line| print(&line))?;
    Ok(Some(Row {
        attempt: "explain that refusal afterwards".into(),
        outcome: format!("arguments, rules, grant and limits in {} lines, from the journal", told.lines().count()),
        by: "policy",
        as_expected: told.contains(PROTECTION) && told.contains("grant") && told.contains("hooks"),
    }))
}

/// Returns the row of a finished call that was an attempt.
fn attempt(event: &Event, events: &[Event]) -> Option<Row> {
    let EventBody::CallFinished { call, tool, outcome, summary, .. } = &event.body else { return None };
    if tool == "list" {
        return None;
    }
    let refused = events.iter().find_map(|event| refusal(event, call));
    let (outcome, by, as_expected) = match outcome {
        CallOutcome::Rejected if refused.is_some() => {
            (format!("refused by rule `{}`", refused.unwrap_or_default()), "sandbox", true)
        }
        CallOutcome::Denied { rule } => (format!("refused by rule `{rule}`"), "policy", true),
        CallOutcome::Stopped { cause } => (format!("stopped: {}", stopped(*cause)), "sandbox", true),
        CallOutcome::Rejected => {
            (format!("not possible: {}", clause(summary)), "sandbox", clause(summary).contains(OUTSIDE))
        }
        other => (format!("{other:?}"), "", false),
    };
    Some(Row { attempt: intent(call, events).unwrap_or_else(|| tool.clone()), outcome, by, as_expected })
}

/// Returns the rule that refused a request of `call`.
fn refusal<'a>(event: &'a Event, call: &CallId) -> Option<&'a str> {
    match &event.body {
        EventBody::RequestDecided { call: asking, verdict: Verdict::Deny, rule, .. } if asking == call => Some(rule),
        _ => None,
    }
}

/// Returns what the planner said when it proposed `call`: "I loop for ever." is the attempt to loop for ever.
fn intent(call: &CallId, events: &[Event]) -> Option<String> {
    let mut replies = events.iter().filter_map(|event| match &event.body {
        EventBody::ModelReplied { reply, .. } => Some(reply),
        _ => None,
    });
    let proposing = replies.find(|reply| reply.tool_calls().any(|proposal| proposal.call == *call))?;
    Some(proposing.text().trim_start_matches("I ").trim_end_matches('.').to_owned())
}

/// Returns the reason of a rejection without its advice.
fn clause(summary: &str) -> &str {
    let reason = summary.split_once(": ").map_or(summary, |(_, reason)| reason);
    reason.split_once(';').map_or(reason, |(clause, _)| clause)
}

fn table(rows: &[Row]) -> String {
    let width = |text: fn(&Row) -> &str| rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
    let (attempt, outcome) = (width(|row| &row.attempt), width(|row| &row.outcome));
    let line = |row: &Row| {
        let mark = if row.as_expected { "ok  " } else { "FAIL" };
        format!("  {mark}  {:<attempt$}  {:<outcome$}  {}", row.attempt, row.outcome, row.by).trim_end().to_owned()
    };
    format!("\n{}", rows.iter().map(line).collect::<Vec<_>>().join("\n"))
}
