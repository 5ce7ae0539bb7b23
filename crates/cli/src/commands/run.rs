//! `boxagnts run` and `boxagnts resume`: a model works on a task.

use std::io::{Write as _, stdout};
use std::path::Path;
use std::sync::Arc;

use policy::Principal;
use protocol::{CallId, EventBody, SessionId, TurnId, TurnOutcome};
use providers::{Delta, Model, ScriptedModel};
use query::{Driver, Turned};
use tools::{ToolSession, Tools, builtin};
use workspace::{Durability, SessionLease, SessionView, Workspace, block_for_terminal};

use super::session::json_line;
use super::{argument_or_stdin, extension, print};
use crate::approve::approver;
use crate::args::{Driving, Output, Place, Resume, Run};
use crate::boot::{Site, random};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::progress::Progress;
use crate::translate::{lookup, turn_exit, turn_failure};

/// The provider name of models that are read from a file.
const SCRIPT: &str = "script/";

/// Sessions that `resume` looks through for an unfinished one.
const LOOKED_THROUGH: usize = 1_000;

pub(crate) async fn run(place: &Place, run: Run) -> Result<Exit, Failure> {
    let task = argument_or_stdin(&run.task)?;
    if task.trim().is_empty() {
        return Err(
            Failure::usage("the task is empty").hint("say what to do: boxagnts run \"fix the typo in README.md\"")
        );
    }
    let site = Site::find(place)?;
    let planner = planner(&site, run.driving.model.as_deref())?;
    let workspace = site.workspace()?;
    let id = match &run.session {
        Some(prefix) => find(&workspace, prefix)?,
        None => SessionId::from_random(random()),
    };
    let desk = Desk::open(&site, workspace, id, planner, &run.driving, run.session.is_none())?;
    desk.work(Work::New(task)).await
}

pub(crate) async fn resume(place: &Place, resume: Resume) -> Result<Exit, Failure> {
    let site = Site::find(place)?;
    let workspace = site.workspace()?;
    let id = match &resume.id {
        Some(prefix) => find(&workspace, prefix)?,
        None => latest_unfinished(&workspace)?,
    };
    let view = workspace.view(&id)?;
    if view.turns.is_empty() || view.last_outcome() == Some(&TurnOutcome::Done) && view.open_turn().is_none() {
        return Err(Failure::usage(format!("session {id} has nothing left to do"))
            .hint(format!("give it a new task: boxagnts run --session {id} \"…\"")));
    }
    let named = resume.driving.model.clone().or_else(|| Some(view.model.clone()).filter(|model| !model.is_empty()));
    let planner = planner(&site, named.as_deref())?;
    let desk = Desk::open(&site, workspace, id, planner, &resume.driving, false)?;
    desk.work(Work::Resume).await
}

fn find(workspace: &Workspace, prefix: &str) -> Result<SessionId, Failure> {
    workspace.journal().find_session_or_name(prefix).map_err(|error| lookup(error, "boxagnts session list"))
}

fn latest_unfinished(workspace: &Workspace) -> Result<SessionId, Failure> {
    let sessions = workspace.journal().sessions(LOOKED_THROUGH)?;
    let mut unfinished = sessions
        .into_iter()
        .filter(|session| session.first_text.is_some() && session.last_outcome != Some(TurnOutcome::Done));
    let found = unfinished.next().map(|session| session.session);
    found.ok_or_else(|| Failure::usage("no session is unfinished").hint("start one: boxagnts run \"…\""))
}

/// A model, and how a person names it: what `resume` takes up again.
struct Planner {
    spec: String,
    model: Arc<dyn Model>,
}

/// Returns the model that is named, configured, or the first whose key is set.
fn planner(site: &Site, named: Option<&str>) -> Result<Planner, Failure> {
    let call_ids = Arc::new(|| CallId::from_random(random()));
    let named = named.or(site.config.model.as_deref());
    if let Some(file) = named.and_then(|named| named.strip_prefix(SCRIPT)) {
        return script(Path::new(file), call_ids);
    }
    let env = |name: &str| std::env::var(name).ok();
    let (settings, model) = providers::resolve(named, &site.config.providers, &env)?;
    let spec = format!("{}/{model}", settings.name);
    Ok(Planner { spec, model: providers::connect(settings, &model, call_ids)? })
}

fn script(file: &Path, call_ids: providers::CallIds) -> Result<Planner, Failure> {
    let unreadable = |error| Failure::usage(format!("the script {} cannot be read: {error}", file.display()));
    let file = file.canonicalize().map_err(unreadable)?;
    let text = std::fs::read_to_string(&file).map_err(unreadable)?;
    let model = ScriptedModel::parse(&text, call_ids)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    Ok(Planner { spec: format!("{SCRIPT}{}", file.display()), model: Arc::new(model) })
}

/// What is to be done in a session.
enum Work {
    New(String),
    Resume,
}

/// Everything that one session is driven with.
struct Desk {
    workspace: Arc<Workspace>,
    tools: Tools,
    session: ToolSession,
    model: Arc<dyn Model>,
    progress: Arc<Progress>,
    view: SessionView,
    max_turns: u32,
    output: Output,
    /// Held until the end: nobody else drives this session.
    _lease: SessionLease,
}

impl Desk {
    fn open(
        site: &Site,
        workspace: Arc<Workspace>,
        id: SessionId,
        planner: Planner,
        driving: &Driving,
        is_new: bool,
    ) -> Result<Self, Failure> {
        let lease = workspace.lease(&id)?;
        let progress = Arc::new(Progress::new());
        watch(&workspace, &progress, driving.output);
        if is_new {
            let opened = EventBody::SessionOpened { principal: Principal::Planner.to_string(), model: planner.spec };
            workspace.journal().append(&id, &[opened], Durability::Process)?;
        }
        let view = workspace.view(&id)?;
        let tools = site.tools(workspace.clone(), builtin(), approver(driving.headless, &progress))?;
        let session = ToolSession::open(&workspace, id, Principal::Planner, site.grant(), &view.observed)?;
        let max_turns = driving.max_turns.unwrap_or(site.config.max_turns);
        Ok(Self {
            workspace,
            tools,
            session,
            model: planner.model,
            progress,
            view,
            max_turns,
            output: driving.output,
            _lease: lease,
        })
    }

    async fn work(self, work: Work) -> Result<Exit, Failure> {
        extension::tell_problems(self.tools.registry()).await;
        let driver = Driver {
            model: self.model.clone(),
            tools: &self.tools,
            workspace: &self.workspace,
            session: &self.session,
            max_turns: self.max_turns,
            cancel: interrupt::token(),
        };
        let (progress, mut characters) = (self.progress.clone(), 0);
        let mut deltas = move |delta: Delta| progress.now(&writing(&delta, &mut characters));
        let turned = match work {
            Work::New(task) => driver.run(TurnId::from_random(random()), &task, self.view, &mut deltas).await?,
            Work::Resume => driver.resume(self.view, &mut deltas).await?,
        };
        self.progress.clear();
        report(&turned, self.session.id(), self.output)
    }
}

/// Returns what a person sees while a reply comes.
fn writing(delta: &Delta, characters: &mut usize) -> String {
    match delta {
        Delta::Text(text) | Delta::Reasoning(text) => {
            *characters += text.chars().count();
            format!("the model writes ({characters} characters)")
        }
        Delta::ToolCall { name } => format!("the model writes a call of {name}"),
    }
}

/// Shows each event as it is recorded: the journal is the one source of what is printed.
fn watch(workspace: &Workspace, progress: &Arc<Progress>, output: Output) {
    let progress = progress.clone();
    workspace.journal().observe(Box::new(move |event| match output {
        Output::Json => {
            let mut out = stdout().lock();
            // A reader that went away must not stop the session; the journal has everything.
            let _ = writeln!(out, "{}", json_line(event)).and_then(|()| out.flush());
        }
        Output::Text => progress.event(event),
    }));
}

fn report(turned: &Turned, session: &SessionId, output: Output) -> Result<Exit, Failure> {
    if output == Output::Text {
        if !turned.answer.trim().is_empty() {
            print(block_for_terminal(&turned.answer).trim_end())?;
        }
        eprintln!("session {session}; see what changed: boxagnts changes list");
    }
    match turn_failure(&turned.outcome, session.as_str()) {
        None => Ok(turn_exit(&turned.outcome)),
        Some(failure) => Err(failure),
    }
}
