//! `boxagnts tool`: the same way to an effect as a model's call, taken by hand.

use std::sync::Arc;

use policy::{Grant, Principal, SecretScope};
use protocol::{Arguments, CallId, CallOutcome, EventBody, SessionId, ToolCall};
use tools::{FileAccess, Tool, ToolSession, Tools, Unattended, builtin};
use workspace::{Durability, PendingCall, Workspace, block_for_terminal, for_terminal};

use super::{argument_or_stdin, extension, print};
use crate::approve::approver;
use crate::args::Place;
use crate::boot::{Site, random};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::progress::{Progress, finished};
use crate::translate::call_exit;

pub(crate) async fn list(place: &Place) -> Result<Exit, Failure> {
    let (tools, grant) = assemble(place)?;
    let extensions = tools.registry().extensions().await;
    for definition in tools.registry().definitions(&grant).await? {
        if !extensions.iter().any(|extension| extension.name == definition.name) {
            let level = tools.registry().level(&definition.name).map(|level| level.to_string());
            print(&line(&definition.name, &level.unwrap_or_default(), "built-in", &definition.description))?;
        }
    }
    for listed in &extensions {
        print(&extension::line(listed))?;
    }
    Ok(Exit::Done)
}

/// Returns a line of the list.
pub(crate) fn line(name: &str, state: &str, origin: &str, purpose: &str) -> String {
    let first = purpose.split_once(". ").map_or(purpose, |(first, _)| first);
    format!("{:<10} {state:<10} {origin:<10} {}", for_terminal(name), for_terminal(first))
}

pub(crate) async fn show(place: &Place, name: &str) -> Result<Exit, Failure> {
    let (tools, _) = assemble(place)?;
    let Some(tool) = tools.registry().tool(name).await? else { return Err(unusable(&tools, name).await) };
    let extensions = tools.registry().extensions().await;
    let origin = if extensions.iter().any(|extension| extension.name == name) { "extension" } else { "built-in" };
    print(&described(&tool, origin))?;
    Ok(Exit::Done)
}

/// Returns everything that a person may want to know of a tool.
pub(crate) fn described(tool: &Tool, origin: &str) -> String {
    let files = match tool.manifest.capabilities.files {
        FileAccess::None | FileAccess::Empty => "none",
        FileAccess::Read => "read",
        FileAccess::ReadWrite => "read and write, staged",
    };
    let hosts: Vec<_> = tool.manifest.capabilities.network.iter().map(ToString::to_string).collect();
    let network =
        if hosts.is_empty() { "none".into() } else { format!("{}, as far as it is allowed", hosts.join(", ")) };
    let secrets = match &tool.manifest.capabilities.secrets {
        SecretScope::All => "every one that is allowed".to_owned(),
        SecretScope::Only(names) if names.is_empty() => "none".to_owned(),
        SecretScope::Only(names) => {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            format!("{}, as far as they are allowed", names.join(", "))
        }
    };
    let schema = serde_json::to_string_pretty(&tool.definition.input_schema).expect("a schema is plain data");
    format!(
        "{} {} ({origin})\nlevel: {}\nfiles: {files}\nnetwork: {network}\nsecrets: {secrets}\n\n{}\n\narguments:\n{}",
        tool.manifest.name,
        for_terminal(&tool.manifest.version),
        tool.manifest.level,
        block_for_terminal(&tool.definition.description),
        block_for_terminal(&schema)
    )
}

pub(crate) fn assemble(place: &Place) -> Result<(Tools, Grant), Failure> {
    let site = Site::find(place)?;
    let tools = site.tools(site.workspace()?, builtin(), Arc::new(Unattended))?;
    Ok((tools, site.grant()))
}

pub(crate) async fn call(place: &Place, name: &str, input: &str, headless: bool) -> Result<Exit, Failure> {
    let arguments = protocol::parse(&argument_or_stdin(input)?).map_err(|error| {
        Failure::usage(format!("--input: {error}")).hint(format!(
            "give a JSON object, for example: boxagnts tool call {name} --input '{{\"path\":\"README.md\"}}'"
        ))
    })?;
    let site = Site::find(place)?;
    let workspace = site.workspace()?;
    let progress = Arc::new(Progress::new());
    let tools = site.tools(workspace.clone(), builtin(), approver(headless, false, &progress))?;
    if tools.registry().tool(name).await?.is_none() {
        return Err(unusable(&tools, name).await);
    }
    let session = open(&workspace, site.grant())?;
    let call = CallId::from_random(random());
    let proposal =
        ToolCall { wire_id: call.to_string(), call, tool: name.into(), arguments: Arguments::Json(arguments) };
    let proposed = EventBody::CallProposed { proposal: proposal.clone() };
    workspace.journal().append(session.id(), &[proposed], Durability::Process)?;
    progress.now(name);
    let called = tools.call(&session, &PendingCall::new(proposal), &interrupt::token()).await?;
    progress.clear();
    let done = called.finished().ok_or_else(|| Failure::internal("the question about this call was not answered"))?;
    let text = block_for_terminal(&done.result.text);
    match done.outcome {
        CallOutcome::Succeeded => print(text.trim_end())?,
        _ => {
            eprintln!(
                "{}\n{}",
                finished(name, &done.outcome, &done.summary, &done.usage).trim_start(),
                text.trim_end()
            );
        }
    }
    Ok(call_exit(&done.outcome))
}

/// Opens a session of its own for calls that a person makes.
pub(crate) fn open(workspace: &Workspace, grant: Grant) -> Result<ToolSession, Failure> {
    let id = SessionId::from_random(random());
    let opened = EventBody::SessionOpened { principal: Principal::User.to_string(), model: String::new() };
    workspace.journal().append(&id, &[opened], Durability::Process)?;
    Ok(ToolSession::open(workspace, id, Principal::User, grant, &[])?)
}

/// Returns why the tool called `name` cannot be used.
async fn unusable(tools: &Tools, name: &str) -> Failure {
    let extensions = tools.registry().extensions().await;
    match extensions.iter().find(|extension| extension.name == name).and_then(extension::problem) {
        Some(failure) => failure,
        None => Failure::usage(format!("there is no tool `{}`", for_terminal(name)))
            .hint(format!("the tools are: {}", tools.registry().names().join(", "))),
    }
}
