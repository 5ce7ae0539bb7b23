//! `boxagnts run` and `boxagnts resume`: a model works on a task.

use std::collections::BTreeSet;
use std::io::{Write as _, stdout};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use policy::{Budget, Principal};
use protocol::{CallId, CommitMode, EventBody, MicroUsd, SessionId, TurnId, TurnOutcome};
use providers::{Delta, ModelFacts, Price, ScriptedModel};
use query::{Driver, TurnLimits, Turned};
use tools::{ToolSession, Tools, builtin};
use workspace::{
    BudgetSpec, Durability, SessionLease, SessionView, SpendingSpec, Time, Usd, Workspace, block_for_terminal,
};

use super::session::json_line;
use super::{argument_or_stdin, extension, gc, print};
use crate::approve::{approver, confirm};
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
    let workspace = site.workspace()?;
    let seat = match &run.session {
        Some(prefix) => {
            let id = find(&workspace, prefix)?;
            Seat::take(workspace, &id)?
        }
        None => Seat::new(workspace)?,
    };
    let planner = planner(&site, &run.driving, run.driving.model.as_deref(), &seat.view.unpriced)?;
    drive(&site, seat, planner, &run.driving, Work::New(task)).await
}

pub(crate) async fn resume(place: &Place, resume: Resume) -> Result<Exit, Failure> {
    let site = Site::find(place)?;
    let workspace = site.workspace()?;
    let id = match &resume.id {
        Some(prefix) => find(&workspace, prefix)?,
        None => latest_unfinished(&workspace)?,
    };
    let seat = Seat::take(workspace, &id)?;
    if !seat.view.is_unfinished() {
        return Err(Failure::usage(format!("session {id} has nothing left to do"))
            .hint(format!("give it a new task: boxagnts run --session {id} \"…\"")));
    }
    let model = Some(&seat.view.model).filter(|model| !model.is_empty());
    let named = resume.driving.model.clone().or_else(|| model.cloned());
    let planner = planner(&site, &resume.driving, named.as_deref(), &seat.view.unpriced)?;
    drive(&site, seat, planner, &resume.driving, Work::Resume).await
}

/// Works in a session, and frees what is too much when that is done.
async fn drive(site: &Site, seat: Seat, planner: Planner, driving: &Driving, work: Work) -> Result<Exit, Failure> {
    let (workspace, id) = (seat.workspace.clone(), seat.lease.session().clone());
    let ended = Desk::open(site, seat, planner, driving)?.work(work).await;
    gc::after_session(site, &workspace, &id);
    ended
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

/// The wait before a model is called again for the first time.
const BACKOFF: Duration = Duration::from_secs(1);

/// A model, and how a person names it: what `resume` takes up again.
struct Planner {
    spec: String,
    model: query::Planner,
    /// Whether its dollars are not counted, because a person said so.
    unpriced: bool,
}

/// Returns the model that is named, configured, or the first whose key is set. Of those that are `unpriced` it was said
/// before that their dollars need not be counted.
fn planner(
    site: &Site,
    driving: &Driving,
    named: Option<&str>,
    unpriced: &BTreeSet<String>,
) -> Result<Planner, Failure> {
    let call_ids = Arc::new(|| CallId::from_random(random()));
    let named = named.or(site.config.model.as_deref());
    if let Some(file) = named.and_then(|named| named.strip_prefix(SCRIPT)) {
        return script(Path::new(file), call_ids);
    }
    let env = |name: &str| std::env::var(name).ok();
    let (settings, model) = providers::resolve(named, &site.config.providers, &env)?;
    let spec = format!("{}/{model}", settings.name);
    let facts = providers::facts(&settings, &model);
    if facts.price.is_none() && !unpriced.contains(&spec) {
        accept_unknown_price(&settings.name, &model, driving.headless || driving.park)?;
    }
    let ModelFacts { context_window, max_output_tokens, price } = facts;
    let (unpriced, price) = (price.is_none(), price.unwrap_or_else(Price::free));
    let model = providers::connect(settings, &model, call_ids)?;
    let model = query::Planner { model, price, context_window, max_output_tokens };
    Ok(Planner { spec, model, unpriced })
}

/// Asks whether a model may be called whose price nobody knows: no budget in dollars can hold for it.
fn accept_unknown_price(provider: &str, model: &str, headless: bool) -> Result<(), Failure> {
    let unknown = format!("the price of {provider}/{model} is not known, so its dollars cannot be counted");
    match confirm(headless, &format!("\n{unknown}; only calls, tokens and time can be.\nGo on?")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new(Exit::Refused, unknown).hint(price_hint(provider, model))),
        None => Err(Failure::usage(unknown).hint(price_hint(provider, model))),
    }
}

fn price_hint(provider: &str, model: &str) -> String {
    format!(
        "say it in boxagnts.toml, in dollars for a million tokens:\n\n  [providers.{provider}.models.\"{model}\"]\n  \
         input_usd_per_mtok = 1.25\n  output_usd_per_mtok = 10\n\nor, for a model of your own: price = \"free\""
    )
}

fn script(file: &Path, call_ids: providers::CallIds) -> Result<Planner, Failure> {
    let unreadable = |error| Failure::usage(format!("the script {} cannot be read: {error}", file.display()));
    let file = file.canonicalize().map_err(unreadable)?;
    let text = std::fs::read_to_string(&file).map_err(unreadable)?;
    let model = ScriptedModel::parse(&text, call_ids)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let ModelFacts { context_window, max_output_tokens, price } = model.facts().clone();
    let price = price.unwrap_or_else(Price::free);
    let model = query::Planner { model: Arc::new(model), price, context_window, max_output_tokens };
    Ok(Planner { spec: format!("{SCRIPT}{}", file.display()), model, unpriced: false })
}

/// Returns the model that takes over when the other goes on failing, if one is configured.
fn fallback(site: &Site, driving: &Driving, unpriced: &BTreeSet<String>) -> Result<Option<Planner>, Failure> {
    let named = site.config.fallback_model.as_deref();
    named.map(|named| planner(site, driving, Some(named), unpriced)).transpose()
}

/// Returns when the session's changes are committed: as typed, as the session has it, or as configured when it begins.
fn commit_mode(site: &Site, driving: &Driving, view: &SessionView, is_new: bool) -> Result<CommitMode, Failure> {
    let known = if is_new { site.config.commit } else { view.commit_mode };
    let wanted = driving.commit.map_or(known, CommitMode::from);
    if wanted != known && !view.staged.is_empty() {
        return Err(Failure::usage("the session has changes staged, so when they are committed cannot change now")
            .hint("see them: boxagnts changes diff; then boxagnts changes commit, or discard"));
    }
    Ok(wanted)
}

/// Returns the configured budget with what was typed in its place, now or when the session was driven before.
fn budget(site: &Site, driving: &Driving, view: &SessionView) -> Result<Budget, Failure> {
    let typed = typed(driving);
    let usd = typed.0.or(view.session_micro_usd).map(|micro_usd| Usd(MicroUsd::new(micro_usd)));
    let time = typed.1.or(view.turn_time_ms).map(|time_ms| Time(Duration::from_millis(time_ms)));
    let (session, turn) =
        (SpendingSpec { usd, ..SpendingSpec::default() }, SpendingSpec { time, ..SpendingSpec::default() });
    let budget = BudgetSpec { session, turn, ..BudgetSpec::default() }.resolve(&site.config.budget);
    budget.map_err(|error| Failure::usage(error).hint("give --budget-usd or --max-time an amount within these bounds"))
}

/// Returns the dollars of the session and the time of a turn as typed, in millionths and milliseconds.
fn typed(driving: &Driving) -> (Option<u64>, Option<u64>) {
    let millis = |Time(time): Time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    (driving.budget_usd.map(|Usd(usd)| usd.get()), driving.max_time.map(millis))
}

/// Returns what a turn may do at most, beside its budget.
pub(crate) fn limits(site: &Site, max_turns: Option<u32>) -> TurnLimits {
    let config = &site.config;
    TurnLimits {
        model_calls: max_turns.unwrap_or(config.max_turns),
        recoveries: config.max_tokens_recovery_limit,
        retries: config.max_retries,
        repeats: config.max_repeats,
    }
}

/// What is to be done in a session.
enum Work {
    New(String),
    Resume,
}

/// A session that nobody else drives, as it is.
struct Seat {
    workspace: Arc<Workspace>,
    view: SessionView,
    /// Whether its opening has to be recorded before anything else.
    is_new: bool,
    lease: SessionLease,
}

impl Seat {
    /// Returns a session that does not exist yet.
    fn new(workspace: Arc<Workspace>) -> Result<Self, Failure> {
        let lease = workspace.lease(&SessionId::from_random(random()))?;
        Ok(Self { workspace, view: SessionView::default(), is_new: true, lease })
    }

    fn take(workspace: Arc<Workspace>, id: &SessionId) -> Result<Self, Failure> {
        let lease = workspace.lease(id)?;
        let view = workspace.view(id)?;
        Ok(Self { workspace, view, is_new: false, lease })
    }

    fn record(&mut self, body: EventBody) -> Result<(), Failure> {
        let events = self.workspace.journal().append(self.lease.session(), &[body], Durability::Process)?;
        for event in &events {
            self.view.apply(event);
        }
        Ok(())
    }
}

/// Everything that one session is driven with.
struct Desk {
    workspace: Arc<Workspace>,
    tools: Tools,
    session: ToolSession,
    planner: query::Planner,
    fallback: Option<query::Planner>,
    progress: Arc<Progress>,
    view: SessionView,
    limits: TurnLimits,
    budget: Budget,
    output: Output,
    /// Held until the end: nobody else drives this session.
    _lease: SessionLease,
}

impl Desk {
    fn open(site: &Site, mut seat: Seat, planner: Planner, driving: &Driving) -> Result<Self, Failure> {
        let fallback = fallback(site, driving, &seat.view.unpriced)?;
        let progress = Arc::new(Progress::new());
        watch(&seat.workspace, &progress, driving.output);
        if seat.is_new {
            let (principal, model) = (Principal::Planner.to_string(), planner.spec.clone());
            seat.record(EventBody::SessionOpened { principal, model })?;
        }
        for unpriced in std::iter::once(&planner).chain(&fallback).filter(|planner| planner.unpriced) {
            if !seat.view.unpriced.contains(&unpriced.spec) {
                seat.record(EventBody::UnknownPriceAccepted { model: unpriced.spec.clone() })?;
            }
        }
        let commit_mode = commit_mode(site, driving, &seat.view, seat.is_new)?;
        if commit_mode != seat.view.commit_mode {
            seat.record(EventBody::CommitModeSet { mode: commit_mode })?;
        }
        let budget = budget(site, driving, &seat.view)?;
        if let (session_micro_usd, turn_time_ms) = typed(driving)
            && session_micro_usd.or(turn_time_ms).is_some()
        {
            seat.record(EventBody::BoundsSet { session_micro_usd, turn_time_ms })?;
        }
        let Seat { workspace, view, lease, .. } = seat;
        let id = lease.session().clone();
        let tools = site.tools(workspace.clone(), builtin(), approver(driving.headless, driving.park, &progress))?;
        let session = ToolSession::open(&workspace, id, Principal::Planner, site.grant(), &view.observed)?
            .committing(commit_mode, view.staged.clone());
        Ok(Self {
            workspace,
            tools,
            session,
            planner: planner.model,
            fallback: fallback.map(|fallback| fallback.model),
            progress,
            view,
            limits: limits(site, driving.max_turns),
            budget,
            output: driving.output,
            _lease: lease,
        })
    }

    async fn work(self, work: Work) -> Result<Exit, Failure> {
        extension::tell_problems(self.tools.registry()).await;
        let driver = Driver {
            planner: self.planner.clone(),
            fallback: self.fallback.clone(),
            tools: &self.tools,
            workspace: &self.workspace,
            session: &self.session,
            limits: self.limits,
            budget: self.budget,
            backoff: BACKOFF,
            random,
            cancel: interrupt::token(),
        };
        let (progress, mut characters) = (self.progress.clone(), 0);
        let mut deltas = move |delta: Delta| progress.now(&writing(&delta, &mut characters));
        let turned = match work {
            Work::New(task) => driver.run(TurnId::from_random(random()), &task, self.view, &mut deltas).await?,
            Work::Resume => driver.resume(self.view, &mut deltas).await?,
        };
        self.progress.clear();
        report(&turned, &self.session, &self.progress, self.output)
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

fn report(turned: &Turned, session: &ToolSession, progress: &Progress, output: Output) -> Result<Exit, Failure> {
    let (staged, session) = (session.has_staged(), session.id());
    if output == Output::Text {
        if !turned.answer.trim().is_empty() {
            print(block_for_terminal(&turned.answer).trim_end())?;
        }
        let see = if staged {
            "see what is staged: boxagnts changes diff"
        } else {
            "see what changed: boxagnts changes list"
        };
        eprintln!("session {session}: {}; {see}", progress.spent());
    }
    match turn_failure(&turned.outcome, session.as_str()) {
        None => Ok(turn_exit(&turned.outcome)),
        Some(failure) => Err(failure),
    }
}
