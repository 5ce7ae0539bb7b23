//! The journal's events. Every view of a session is a projection of these.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::{ApprovalAnswer, ApprovalRequest, HeldCall, HeldChanges};
use crate::change::{ChangeSet, CommitMode, Conflict};
use crate::hash::ContentHash;
use crate::id::{ApprovalId, CallId, ChangeSetId, SessionId, TurnId};
use crate::message::{ModelReply, ToolCall, ToolResult};
use crate::spending::{BudgetScope, Measure, Spending};
use crate::tool::{CallUsage, Level};

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the workspace's journal, from 1 without gaps.
    pub sequence: u64,
    pub session: SessionId,
    /// Milliseconds since the Unix epoch, by the host's clock.
    pub recorded_at_ms: u64,
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened, or is about to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    SessionOpened {
        principal: String,
        model: String,
    },
    /// The opening of a session that goes on from a turn of another: it begins with the events of `parent` up to the one
    /// numbered `through`, which are not copied.
    SessionForked {
        principal: String,
        model: String,
        parent: SessionId,
        turn: TurnId,
        through: u64,
    },
    /// A person gave the session a name; the last one counts.
    SessionNamed {
        name: String,
    },
    /// A person said to call a model whose price nobody knows: its dollars are not counted, its calls, tokens and time are.
    UnknownPriceAccepted {
        model: String,
    },
    /// A person said what the session's turns may use, in place of what is configured; it holds until something else is said.
    BoundsSet {
        /// Millionths of a dollar, of the session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_micro_usd: Option<u64>,
        /// Milliseconds, of a turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turn_time_ms: Option<u64>,
    },
    /// When the session's changes are committed, from here on.
    CommitModeSet {
        mode: CommitMode,
    },
    TurnOpened {
        turn: TurnId,
        text: String,
    },
    /// A turn that was cut short or stopped goes on; its count of model calls goes on too.
    TurnResumed {
        turn: TurnId,
    },
    /// A model is about to be called, for the `number`th time in this turn.
    ModelCalled {
        turn: TurnId,
        number: u32,
        model: String,
        #[serde(default, skip_serializing_if = "Purpose::is_reply")]
        purpose: Purpose,
        /// The most that the call can cost; taken from every budget before it is made.
        #[serde(default, skip_serializing_if = "is_nothing")]
        reserved: Spending,
    },
    ModelReplied {
        turn: TurnId,
        number: u32,
        reply: ModelReply,
        /// What it cost, in place of what was reserved.
        #[serde(default, skip_serializing_if = "is_nothing")]
        spent: Spending,
    },
    ModelFailed {
        turn: TurnId,
        number: u32,
        failure: ModelFailure,
        /// What it cost, in place of what was reserved: all of that where nobody can know.
        #[serde(default, skip_serializing_if = "is_nothing")]
        spent: Spending,
    },
    /// After a failure, a model is called again, `wait_ms` milliseconds later.
    RetryPlanned {
        turn: TurnId,
        /// The number that the next call will have.
        number: u32,
        model: String,
        wait_ms: u64,
    },
    /// A model call of which nobody heard again, because it was cancelled or the process ended, counts as if it had cost
    /// all that was reserved.
    ModelAbandoned {
        turn: TurnId,
        number: u32,
        spent: Spending,
    },
    /// The beginning of the conversation goes to the model as a summary from here on. What it stands for stays in the
    /// journal.
    Compacted {
        turn: TurnId,
        /// The model call that wrote the summary.
        number: u32,
        summary: String,
        /// Messages at the end of the conversation that stay as they are.
        kept: usize,
    },
    /// A view of the session as it was after the event numbered `through` was kept, so that going on need not read what is
    /// before. It follows from the events: where it is missing, or not what its hash says, they are read instead.
    ViewKept {
        through: u64,
        view: ContentHash,
    },
    /// What the decisions that name `digest` were made by: rules, network, grant, limits. Once for each session and process.
    PolicyStated {
        digest: ContentHash,
        /// `policy::PolicyRecord`, as data.
        policy: Value,
    },
    /// What a tool was when the decisions that name `digest` were made: its component, level and requests.
    ToolStated {
        digest: ContentHash,
        /// `policy::ToolRecord`, as data.
        tool: Value,
    },
    /// A person proposed a call by hand. What a model proposes is in its reply.
    CallProposed {
        proposal: ToolCall,
    },
    /// A proposed call was judged. No tool runs without this row before it.
    CallDecided {
        call: CallId,
        tool: String,
        level: Level,
        decision: DecisionRecord,
    },
    /// A change set was judged. No commit starts without this row before it.
    CommitDecided {
        change_set: ChangeSetId,
        call: Option<CallId>,
        decision: DecisionRecord,
    },
    /// What a call staged waits for a person. It is kept, with what the call will return: nobody runs it again.
    CallHeld {
        call: CallId,
        held: HeldCall,
    },
    /// What a call changed is staged, and not committed yet: it comes on top of what its session had staged in that mount
    /// before, and all of it has the name that is given here from now on. Its contents are kept.
    ChangesStaged {
        call: CallId,
        staged: HeldChanges,
        /// Effects among them that a person was asked about, and allowed.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        approved: BTreeSet<String>,
    },
    /// A person threw what was staged away.
    ChangesDiscarded {
        change_set: ChangeSetId,
    },
    /// A person is asked. Nothing that it is about happens before an answer.
    ApprovalAsked {
        approval: ApprovalId,
        request: ApprovalRequest,
    },
    /// A person answered, in the process that asked or in another one. The first answer counts.
    ApprovalAnswered {
        approval: ApprovalId,
        answer: ApprovalAnswer,
    },
    /// What was allowed for more than once is asked about again.
    ApprovalRevoked {
        approval: ApprovalId,
    },
    /// The host is about to make these changes. Their contents, before and after, are in the blob store.
    CommitIntended {
        change_set: ChangeSetId,
        call: Option<CallId>,
        changes: ChangeSet,
        /// The change set that this one takes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undoes: Option<ChangeSetId>,
    },
    /// The intended `change_set` takes one more change set back, beside the one that its intent names.
    UndoExtended {
        change_set: ChangeSetId,
        undoes: ChangeSetId,
    },
    /// The intended `change_set` leaves these paths as they are, because they had changed since.
    UndoSpared {
        change_set: ChangeSetId,
        paths: Vec<String>,
    },
    CommitFinished {
        change_set: ChangeSetId,
        outcome: CommitOutcome,
    },
    /// These contents and sessions' own folders are about to be freed; nothing was left that needed them. What was
    /// changed by then can no longer be shown or taken back where it needs one of them.
    ContentsFreed {
        contents: Vec<ContentHash>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        folders: Vec<SessionId>,
        /// What all of it took.
        bytes: u64,
    },
    /// A request to a host that is allowed asks for the addresses of its name. No such question leaves without this row
    /// before it; a tool's own lookup is a request of its own.
    LookupStarted {
        call: CallId,
        /// The number of the request.
        request: u32,
        name: String,
    },
    /// A tool wants to talk to the network, and was judged. No packet leaves without this row before it, except the
    /// question of [`Self::LookupStarted`].
    RequestDecided {
        call: CallId,
        /// Counted from 1 in each call.
        request: u32,
        /// `GET`, and so on; of sockets `connect` (TCP), `send` (UDP, once for each destination) and `lookup`.
        method: String,
        /// `https://example.com:443`, the name of a lookup; as it was written where it could not be parsed.
        target: String,
        /// The only addresses that are connected to, in this order.
        addresses: Vec<IpAddr>,
        verdict: Verdict,
        /// The name of the rule that decided.
        rule: String,
        /// Why, for people.
        reason: String,
        /// The names of the secrets that are sent along, or were not allowed to be; no value is ever here.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<String>,
        /// Path and query of the URL as it was judged, with placeholders; absent of sockets, and where it is long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        /// The addresses that were judged, where it was refused after they were known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<IpAddr>,
        /// What it is sent with so that it has its effect once, however often it is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
    },
    RequestFinished {
        call: CallId,
        request: u32,
        outcome: RequestOutcome,
        /// Bytes of the request's body, or all that was sent.
        sent_bytes: u64,
        /// Bytes of the response's body as it came, before decompression, or all that was received.
        received_bytes: u64,
    },
    /// Whether what the call was given by its host is kept, so that it can be replayed. Comes with the end of each call that
    /// ran.
    CallTaped {
        call: CallId,
        #[serde(flatten)]
        taped: Taped,
    },
    CallFinished {
        call: CallId,
        tool: String,
        outcome: CallOutcome,
        /// What the model reads.
        result: ToolResult,
        /// One line for people.
        summary: String,
        /// The whole output, in the blob store, when `result` is cut.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        full_output: Option<ContentHash>,
        usage: CallUsage,
        /// Files that the call read, so that a later write over a changed file is seen as a conflict.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        observed: Vec<Observation>,
    },
    TurnClosed {
        turn: TurnId,
        outcome: TurnOutcome,
        /// What the turn spent since its last model call: time.
        #[serde(default, skip_serializing_if = "is_nothing")]
        spent: Spending,
    },
}

impl EventBody {
    /// Returns what the event takes from budgets.
    pub fn spent(&self) -> Option<&Spending> {
        match self {
            Self::ModelReplied { spent, .. }
            | Self::ModelFailed { spent, .. }
            | Self::ModelAbandoned { spent, .. }
            | Self::TurnClosed { spent, .. } => Some(spent),
            _ => None,
        }
    }
}

/// What a model is called for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The next reply of the conversation.
    #[default]
    Reply,
    /// A summary of its beginning.
    Compaction,
}

impl Purpose {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_reply(&self) -> bool {
        *self == Self::Reply
    }
}

fn is_nothing(spending: &Spending) -> bool {
    *spending == Spending::default()
}

/// What was decided, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Allow,
    Ask,
    Deny,
}

/// One decision as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    pub verdict: Verdict,
    /// The name of the rule that decided.
    pub rule: String,
    pub principal: String,
    /// What the decision is bound to: the canonical arguments, or the change set.
    pub digest: ContentHash,
    /// The effects that were judged, for people: `read /work/README.md`.
    pub effects: Vec<String>,
    /// Why, for people.
    pub reason: String,
    /// What it was made by. Absent from answers, which rest on their question, and from journals before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// The question that a person answered, of an answer. One that allows a thing once is used up by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
}

/// Where the journal has what a decision was made by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Of [`EventBody::PolicyStated`].
    pub policy: ContentHash,
    /// Of [`EventBody::ToolStated`]; absent where a person takes something back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ContentHash>,
}

/// What is kept of what a call was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "taped", rename_all = "snake_case")]
pub enum Taped {
    /// All of it: the hash of the tape, and those of the contents that it names.
    Kept {
        tape: ContentHash,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        contents: Vec<ContentHash>,
    },
    /// Nothing, so that the call cannot be replayed.
    NotKept { reason: String },
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RequestOutcome {
    /// The response came, or as much of it as the tool wanted.
    Answered {
        status: u16,
        /// The address that was connected to.
        address: IpAddr,
    },
    /// A name was looked up. Only these of its addresses may be connected to; the tool was told of no other.
    Resolved {
        addresses: Vec<IpAddr>,
    },
    /// A connection was closed by either end, or an exchange of datagrams is over.
    Closed {
        /// The address that was talked to.
        address: IpAddr,
    },
    Failed {
        reason: String,
    },
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CommitOutcome {
    Committed,
    /// Nothing was changed.
    Conflicted {
        conflicts: Vec<Conflict>,
    },
    /// A crash or an error interrupted it; what was done was taken back.
    RolledBack {
        reason: String,
    },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CallOutcome {
    Succeeded,
    /// The tool could not do what the arguments say.
    Rejected,
    /// No such tool, or arguments that do not fit its schema; nothing ran.
    Invalid,
    /// Policy said no; nothing ran, or nothing was committed.
    Denied {
        rule: String,
    },
    /// The changes met a file that had changed; nothing was committed.
    Conflicted,
    /// A limit ended it.
    Stopped {
        cause: StopCause,
    },
    /// The tool crashed or misbehaved.
    Failed,
    Cancelled,
    /// It was interrupted after it had sent what may have had an effect. Nobody knows, and it was not done again.
    Unknown,
}

/// The limit that ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    Fuel,
    Deadline,
    Memory,
    Stack,
    Output,
    /// Tables, instances or open files.
    Resources,
    /// Bytes or entries of the stage.
    Stage,
}

/// A file as a call saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub mount: String,
    pub path: String,
    pub stamp: Stamp,
}

/// What tells a file from its changed self without reading it (POSIX `stat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since the Unix epoch.
    pub modified_ns: i64,
    /// Nanoseconds since the Unix epoch.
    pub changed_ns: i64,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TurnOutcome {
    Done,
    /// The cap on model calls.
    MaxTurns {
        limit: u32,
    },
    /// The model's output limit cut its reply off, also each time that it was asked to go on.
    MaxTokens,
    /// The next step might have cost more than a budget has left; it was not taken. Of time: it was over, and what ran was
    /// cancelled.
    BudgetExceeded {
        scope: BudgetScope,
        measure: Measure,
        /// What the budget allows in all.
        limit: u64,
        /// What of it was left; other sessions may hold some.
        left: u64,
        /// What the step needed at least.
        needed: u64,
    },
    /// The same calls brought the same results, one time after another.
    Stalled {
        repeats: u32,
    },
    /// The conversation no longer fits into the model's context window, and could not be summarised.
    ContextFull {
        window: u64,
    },
    /// Policy refused one call after another.
    Refused {
        rule: String,
        denials: u32,
    },
    Cancelled,
    /// The turn is done, and what it staged could not be committed; it stays staged.
    Uncommitted {
        /// For people: the paths in conflict, or the rule that refused.
        reason: String,
    },
    /// Calls wait for a person; the turn goes on with the answers.
    Waiting {
        approvals: Vec<ApprovalId>,
    },
    ProviderFailed {
        failure: ModelFailure,
    },
}

/// Why a model call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFailure {
    pub kind: ModelFailureKind,
    /// For people; holds no secret.
    pub message: String,
    /// How long the provider asked to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The reply had begun, so that it may be charged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
}

/// The kinds of failure that a caller may treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelFailureKind {
    /// The key is missing or refused (401, 403).
    Authentication,
    /// 429.
    RateLimited,
    /// 500 and above.
    Unavailable,
    /// The provider refused the request (other 4xx).
    InvalidRequest,
    /// There was no connection, so nothing was sent.
    Unreachable,
    /// The connection broke.
    Network,
    /// Nothing came for too long.
    Timeout,
    /// The stream ended without its terminator.
    Truncated,
    /// The provider withheld its reply (a content filter).
    Withheld,
    /// The provider sent something that is not the protocol, or more than the caps allow.
    Protocol,
    /// The scripted model has no reply left.
    ScriptEnded,
}
