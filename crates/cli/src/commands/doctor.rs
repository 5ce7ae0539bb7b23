//! `boxagnts doctor`: what works here, what does not, and what to do about it.

use std::fmt::Write as _;
use std::sync::Arc;

use protocol::{Arguments, CallId, CallOutcome, ToolCall};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tools::{Unattended, builtin};
use workspace::{PendingCall, Standing};

use super::{extension, print, tool};
use crate::args::Place;
use crate::boot::{Settings, Site, random};
use crate::exit::{Exit, Failure};
use crate::place;
use crate::translate::{UNKNOWN, next};

/// One line of the report.
struct Check {
    what: &'static str,
    found: Result<String, Failure>,
}

pub(crate) async fn doctor(place: &Place) -> Result<Exit, Failure> {
    let site = match Site::find(place) {
        Ok(site) => site,
        Err(failure) => return conclude(&[Check { what: "configuration", found: Err(failure) }]),
    };
    let checks = [
        Check { what: "workspace", found: Ok(site.root.display().to_string()) },
        Check { what: "configuration", found: Ok(configuration(&site)) },
        Check { what: "state", found: state(&site) },
        Check { what: "journal", found: journal(&site) },
        Check { what: "tool cache", found: place::artifact_cache().map(|path| path.display().to_string()) },
        Check { what: "sandbox", found: sandbox(&site).await },
        Check { what: "extensions", found: extensions(&site).await },
        Check { what: "secrets", found: secrets(&site) },
        Check { what: "model", found: model(&site.config) },
    ];
    conclude(&checks)
}

fn configuration(site: &Site) -> String {
    let file = if site.root.join("boxagnts.toml").exists() { "boxagnts.toml" } else { "defaults" };
    let (limits, rules) = (site.config.limits, site.config.rules.len());
    format!(
        "{file}; {rules} rules of your own; a call has {} s and {} MiB at most",
        limits.timeout_ms.div_ceil(1000),
        limits.memory_bytes >> 20
    )
}

fn state(site: &Site) -> Result<String, Failure> {
    let workspace = site.workspace()?;
    let opening = workspace.opening();
    if let Some((change_set, reason)) = opening.unsettled.first() {
        return Err(Failure::internal(format!(
            "the commit {change_set} was interrupted and cannot be settled: {reason}"
        )));
    }
    let mut found = format!("{} sessions", workspace.journal().sessions(10_000)?.len());
    if !opening.settled.is_empty() {
        write!(found, "; {} interrupted commits were settled just now", opening.settled.len())
            .expect("a string takes text");
    }
    if let Some(reason) = &opening.not_excluded {
        write!(found, "; .boxagnts/ could not be added to git's info/exclude: {reason}").expect("a string takes text");
    }
    Ok(found)
}

/// Says whether the journal is signed, and where its key lies. Only `audit verify` reads all of it.
fn journal(site: &Site) -> Result<String, Failure> {
    let workspace = site.workspace_in_silence()?;
    let journal = workspace.journal();
    let Some(keys) = journal.keys() else {
        return Ok("chained, not signed: neither XDG_DATA_HOME nor HOME is set".into());
    };
    match journal.standing() {
        Standing::Unknown => Err(Failure::new(Exit::Journal, "this machine has no key for it").hint(UNKNOWN)),
        Standing::Broken { broken } => Err(Failure::new(Exit::Journal, &broken).hint(next(&broken))),
        _ => Ok(format!("signed and anchored in {}; boxagnts audit verify reads all of it", keys.display())),
    }
}

/// Runs one real call through every layer.
async fn sandbox(site: &Site) -> Result<String, Failure> {
    let workspace = site.workspace()?;
    let tools = site.tools(workspace.clone(), builtin(), Arc::new(Unattended))?;
    let session = tool::open(&workspace, site.grant())?;
    let call = CallId::from_random(random());
    let arguments = Arguments::Json(json!({"path": "."}));
    let proposal = ToolCall { wire_id: call.to_string(), call, tool: "list".into(), arguments };
    let called = tools.call(&session, &PendingCall::new(proposal), &CancellationToken::new()).await?;
    let finished = called.finished().ok_or_else(|| Failure::internal("a call of `list` waits for approval"))?;
    match finished.outcome {
        CallOutcome::Succeeded => Ok(format!("a call took {}", crate::progress::duration(finished.usage.wall_us))),
        outcome => Err(Failure::internal(format!("a call of `list` ended with {outcome:?}: {}", finished.result.text))),
    }
}

async fn extensions(site: &Site) -> Result<String, Failure> {
    let tools = site.tools(site.workspace()?, builtin(), Arc::new(Unattended))?;
    extension::check(tools.registry()).await
}

/// Counts the secrets that this workspace allows, and reads their values.
fn secrets(site: &Site) -> Result<String, Failure> {
    let allowed = site.config.allowed_secrets.len();
    let stored = site.secrets()?.specs().count();
    Ok(format!("{allowed} allowed here, {stored} of them stored"))
}

fn model(config: &Settings) -> Result<String, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let (settings, model) = providers::resolve(config.model.as_deref(), &config.providers, &env)?;
    Ok(format!("{}/{model} (not contacted)", settings.name))
}

fn conclude(checks: &[Check]) -> Result<Exit, Failure> {
    let mut worst = Exit::Done;
    for Check { what, found } in checks {
        match found {
            Ok(found) => print(&format!("ok    {what:<14} {}", workspace::for_terminal(found)))?,
            Err(failure) => {
                worst = failure.exit;
                let hint = failure
                    .hint
                    .as_deref()
                    .map(|hint| format!("\n                     hint: {hint}"))
                    .unwrap_or_default();
                print(&format!("FAIL  {what:<14} {}{hint}", workspace::for_terminal(&failure.message)))?;
            }
        }
    }
    Ok(worst)
}
