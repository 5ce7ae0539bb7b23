//! From the libraries' errors to exits, messages and hints.

use protocol::{
    BudgetScope, CallOutcome, CommitOutcome, Measure, MicroUsd, ModelFailure, ModelFailureKind, TurnOutcome,
};
use providers::ProviderError;
use query::QueryError;
use sandbox::SandboxError;
use tools::{RegistryError, ToolsError};
use workspace::{Break, CommitError, DiffError, JournalError, LeaseError, LookupError, WorkspaceError};

use crate::commands::moment;
use crate::exit::{Exit, Failure};

macro_rules! internal {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::internal(error)
            }
        })*
    };
}

internal!(SandboxError, RegistryError);

impl From<DiffError> for Failure {
    fn from(error: DiffError) -> Self {
        match error {
            DiffError::Content(error) => error.into(),
            error => Self::internal(error),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match &error {
            JournalError::Broken { broken, .. } => Self::new(Exit::Journal, &error).hint(next(broken)),
            JournalError::Unknown { .. } => Self::new(Exit::Journal, error).hint(UNKNOWN),
            JournalError::Damaged { .. } => Self::new(Exit::Journal, error).hint(SET_ASIDE),
            JournalError::Custody { path, .. } => {
                let hint =
                    format!("look at what is there; moved away, it is as if it had never been: {}", path.display());
                Self::usage(&error).hint(hint)
            }
            _ => Self::internal(error),
        }
    }
}

/// What to do about a journal that this machine has no key for.
pub(crate) const UNKNOWN: &str = "if it is yours (moved here, or written by an earlier version): boxagnts audit accept; \
    if it came with somebody else's files, set it aside: mv .boxagnts ~/boxagnts.theirs";

/// What to do about a journal that does not fit together.
const SET_ASIDE: &str = "see what is wrong: boxagnts audit verify; to begin anew, set it aside: \
    mv .boxagnts ~/boxagnts.broken && boxagnts audit accept";

/// Returns what a person may do about a break.
pub(crate) fn next(broken: &Break) -> &'static str {
    if broken.is_acceptable() {
        "if you know why (a restored backup, a removed .boxagnts): boxagnts audit accept; \
         if you do not, keep what is there and look: boxagnts audit verify"
    } else {
        SET_ASIDE
    }
}

impl From<ToolsError> for Failure {
    fn from(error: ToolsError) -> Self {
        match error {
            ToolsError::Commit(error) => error.into(),
            ToolsError::Journal(error) => error.into(),
            error => Self::internal(error),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Journal(error) => error.into(),
            QueryError::Tools(error) => error.into(),
            QueryError::NothingToResume => Self::internal(error),
        }
    }
}

impl From<WorkspaceError> for Failure {
    fn from(error: WorkspaceError) -> Self {
        match &error {
            WorkspaceError::NotOurs { path, .. } => {
                let hint = format!("move {} away, and the runtime makes its own", path.display());
                Self::usage(&error).hint(hint)
            }
            WorkspaceError::NoKeys => {
                Self::usage(error).hint("set XDG_DATA_HOME or HOME: XDG_DATA_HOME=/path/to/data boxagnts …")
            }
            WorkspaceError::NotAcceptable(_) => Self::new(Exit::Journal, error).hint(SET_ASIDE),
            _ => match error {
                WorkspaceError::Journal(error) => error.into(),
                error => Self::internal(error),
            },
        }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        let hint = error.hint();
        let failure = Self::usage(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        match &error {
            LeaseError::Held(_) => Self::usage(error).hint("wait until the other process ends, or start a new session"),
            LeaseError::Io { .. } => Self::internal(error),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match &error {
            CommitError::Unknown(_) | CommitError::AlreadyUndone { .. } | CommitError::NotCommitted(_) => {
                Self::usage(error).hint("see what there is: boxagnts changes list")
            }
            CommitError::Freed { at_ms, .. } => Self::usage(format!(
                "what this needs was freed at {} to make room, so that it can no longer be shown or taken back",
                moment(*at_ms)
            ))
            .hint("keep more from now on: `max_size` and `keep_days` of [retention] in boxagnts.toml"),
            CommitError::Unsettled { .. } => {
                Self::new(Exit::Conflict, error).hint("look at the files it names, then run any boxagnts command again")
            }
            _ => match error {
                CommitError::Journal(error) => error.into(),
                error => Self::internal(error),
            },
        }
    }
}

/// Returns the failure of a lookup, with the command that lists what there is.
pub(crate) fn lookup(error: LookupError, list: &str) -> Failure {
    match error {
        LookupError::Journal(error) => error.into(),
        error => Failure::usage(error).hint(format!("see what there is: {list}")),
    }
}

/// Returns the exit of a turn.
pub(crate) fn turn_exit(outcome: &TurnOutcome) -> Exit {
    match outcome {
        TurnOutcome::Done => Exit::Done,
        TurnOutcome::MaxTurns { .. }
        | TurnOutcome::MaxTokens
        | TurnOutcome::BudgetExceeded { .. }
        | TurnOutcome::Stalled { .. }
        | TurnOutcome::ContextFull { .. } => Exit::Limit,
        TurnOutcome::Refused { .. } => Exit::Refused,
        TurnOutcome::Cancelled => Exit::Cancelled,
        TurnOutcome::Waiting { .. } => Exit::Waiting,
        TurnOutcome::Uncommitted { .. } => Exit::Conflict,
        TurnOutcome::ProviderFailed { .. } => Exit::Provider,
    }
}

/// Returns the exit of a call that a person made.
pub(crate) fn call_exit(outcome: &CallOutcome) -> Exit {
    match outcome {
        CallOutcome::Succeeded => Exit::Done,
        CallOutcome::Rejected | CallOutcome::Invalid => Exit::Usage,
        CallOutcome::Denied { .. } => Exit::Refused,
        CallOutcome::Conflicted => Exit::Conflict,
        CallOutcome::Stopped { .. } => Exit::Limit,
        CallOutcome::Failed | CallOutcome::Unknown => Exit::Internal,
        CallOutcome::Cancelled => Exit::Cancelled,
    }
}

/// Returns the failure that a turn ended with, `None` when it was done.
pub(crate) fn turn_failure(outcome: &TurnOutcome, session: &str) -> Option<Failure> {
    let again = format!("boxagnts resume {session}");
    let failure = |message: String, hint: String| Some(Failure::new(turn_exit(outcome), message).hint(hint));
    match outcome {
        TurnOutcome::Done => None,
        TurnOutcome::MaxTurns { limit } => failure(
            format!("stopped after {limit} model calls, the most that a turn may make"),
            format!("go on with a higher cap: {again} --max-turns {}", limit.saturating_mul(2)),
        ),
        TurnOutcome::MaxTokens => failure(
            "the model's output limit cut its reply off, again and again".into(),
            format!("let it try again: {again}"),
        ),
        TurnOutcome::BudgetExceeded { scope, measure: Measure::TimeMs, limit, .. } => failure(
            format!("stopped: the {scope}'s {} is over", amount(Measure::TimeMs, *limit)),
            budget_hint(*scope, Measure::TimeMs, &again),
        ),
        TurnOutcome::BudgetExceeded { scope, measure, limit, left, needed } => failure(
            format!(
                "stopped before its next model call: the {scope} has {} of {} left, and the call needs {}",
                amount(*measure, *left),
                amount(*measure, *limit),
                amount(*measure, *needed)
            ),
            budget_hint(*scope, *measure, &again),
        ),
        TurnOutcome::Stalled { repeats } => failure(
            format!(
                "stopped because nothing new came of {repeats} steps in a row: the same calls had the same results"
            ),
            format!(
                "see what it repeats: boxagnts session show {session}; then say what to do instead: boxagnts run --session {session} \"…\""
            ),
        ),
        TurnOutcome::ContextFull { window } => failure(
            format!("the conversation no longer fits into the model's {window} tokens, and could not be summed up"),
            format!("go on with a larger model: {again} --model …, or begin anew: boxagnts run \"…\""),
        ),
        TurnOutcome::Refused { rule, denials } => failure(
            format!("stopped after {denials} refused calls in a row, the last by rule `{rule}`"),
            format!("see what was refused: boxagnts session show {session}"),
        ),
        TurnOutcome::Cancelled => failure("cancelled".into(), format!("go on where it stopped: {again}")),
        TurnOutcome::Uncommitted { reason } => failure(
            format!("done, but not committed: {}", workspace::for_terminal(reason)),
            format!(
                "see what is staged: boxagnts changes diff {session}; then boxagnts changes commit {session}, or discard"
            ),
        ),
        TurnOutcome::Waiting { approvals } => {
            let ids: Vec<_> = approvals.iter().map(ToString::to_string).collect();
            let (all, first) = (ids.join(", "), ids.first().map_or("ID", String::as_str));
            failure(
                format!("waits for approval: {all}"),
                format!(
                    "see it: boxagnts approvals show {first}; answer: boxagnts approve {first} (or deny); then: {again}"
                ),
            )
        }
        TurnOutcome::ProviderFailed { failure: why } => {
            failure(provider_message(why), provider_hint(why, session, &again))
        }
    }
}

/// Returns an amount as people read it.
pub(crate) fn amount(measure: Measure, amount: u64) -> String {
    match measure {
        Measure::ModelCalls => format!("{amount} model calls"),
        Measure::Tokens => format!("{amount} tokens"),
        Measure::MicroUsd => MicroUsd::new(amount).to_string(),
        Measure::TimeMs => format!("{} of work", length(amount)),
    }
}

/// Returns a length of time as it is typed.
fn length(millis: u64) -> String {
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1_000 % 60);
    match (hours, minutes, seconds) {
        (0, 0, 0) => format!("{millis}ms"),
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

/// Returns how to go on beyond a budget.
fn budget_hint(scope: BudgetScope, measure: Measure, again: &str) -> String {
    let name = match measure {
        Measure::ModelCalls => "model_calls",
        Measure::Tokens => "tokens",
        Measure::MicroUsd => "usd",
        Measure::TimeMs => "time",
    };
    match (scope, measure) {
        (BudgetScope::Session, Measure::MicroUsd) => format!("go on with more: {again} --budget-usd …"),
        (BudgetScope::Turn, Measure::TimeMs) => format!("go on with more: {again} --max-time …"),
        _ => format!("raise `{name}` of [budget.{}] in boxagnts.toml, then: {again}", word(scope)),
    }
}

fn word(scope: BudgetScope) -> &'static str {
    match scope {
        BudgetScope::Call => "call",
        BudgetScope::Turn => "turn",
        BudgetScope::Session => "session",
        BudgetScope::Day => "day",
    }
}

fn provider_message(failure: &ModelFailure) -> String {
    format!("the model provider failed: {}", failure.message)
}

fn provider_hint(failure: &ModelFailure, session: &str, again: &str) -> String {
    match (failure.kind, failure.retry_after_ms) {
        (ModelFailureKind::Authentication, _) => format!("check the provider's key, then go on: {again}"),
        (_, Some(wait)) => format!("the provider asks to wait {} s; then go on: {again}", wait.div_ceil(1000)),
        (ModelFailureKind::Withheld, _) => {
            format!("say it in other words: boxagnts run --session {session} \"…\"")
        }
        _ => format!("nothing is lost; go on with: {again}"),
    }
}

/// Returns the failure that a commit ended with, `None` when it was made.
pub(crate) fn commit_failure(outcome: &CommitOutcome) -> Option<Failure> {
    match outcome {
        CommitOutcome::Committed => None,
        CommitOutcome::Conflicted { conflicts } => {
            let paths: Vec<_> =
                conflicts.iter().map(|conflict| format!("  {}", workspace::for_terminal(&conflict.path))).collect();
            let message = format!("changed since, so nothing was taken back:\n{}", paths.join("\n"));
            Some(
                Failure::new(Exit::Conflict, message)
                    .hint("compare with `boxagnts changes diff ID`, then change the files by hand"),
            )
        }
        CommitOutcome::RolledBack { reason } => {
            Some(Failure::internal(format!("it could not be carried out and was rolled back: {reason}")))
        }
    }
}
