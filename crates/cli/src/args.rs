//! What can be typed.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use protocol::CommitMode;
use workspace::{Size, Time, Usd};

/// An agent runtime whose execution can be trusted.
///
/// The model proposes; the runtime decides, contains, records and can undo.
#[derive(Debug, Parser)]
#[command(name = "boxagnts", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Exit codes are part of the interface: scripts may rely on them.
const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    internal error
  2    bad usage or configuration
  3    stopped by a limit
  4    refused by policy; a policy test failed
  5    the model provider failed
  6    conflict: a file had changed, nothing was overwritten
  7    the journal is broken, or not known on this machine
  8    a call waits for approval
  9    a replay came out differently, or something of it could not be replayed
  130  cancelled";

/// Where the command works.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The workspace [default: the nearest folder above with .boxagnts, boxagnts.toml or .git, else this one]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let a model work on a task
    Run(Run),
    /// Go on with a session that was cut short [default: the latest unfinished one]
    Resume(Resume),
    /// The tools: list them, show one, call one; add and remove extensions
    #[command(subcommand)]
    Tool(Tool),
    /// Your secrets: what tools may send out and never see
    #[command(subcommand)]
    Secret(Secret),
    /// The sessions of this workspace
    #[command(subcommand)]
    Session(Session),
    /// What was changed, and how to take it back
    #[command(subcommand)]
    Changes(Changes),
    /// Allow what a session asks: exactly this, once
    Approve {
        /// The question, or the beginning of its identifier
        id: String,
        /// Allow the same effects of the same tool for the rest of the session
        #[arg(long)]
        remember: bool,
    },
    /// Refuse what a session asks
    Deny {
        /// The question, or the beginning of its identifier
        id: String,
    },
    /// What sessions ask, and what was allowed for more than once
    #[command(subcommand)]
    Approvals(Approvals),
    /// Free what is kept of old changes and sessions, the oldest first, until the rest fits; events stay
    Gc(Gc),
    /// The whole path of one call: arguments, rules, limits, effects
    Explain {
        /// The call, a change set of it, or the beginning of either's identifier [default: the last call]
        id: Option<String>,
        #[arg(long, value_enum, default_value_t = Form::Text)]
        output: Form,
    },
    /// Run a session again from its record, offline, and say what comes out differently
    Replay {
        /// The session: its name, its identifier, or the beginning of that
        id: String,
        /// Use another version of a tool: TOOL@VERSION of an extension, or the path of one, as for `tool add`
        #[arg(long, value_name = "TOOL")]
        with: Option<String>,
        #[arg(long, value_enum, default_value_t = Form::Text)]
        output: Form,
    },
    /// The policy: show it, test it, try another
    #[command(subcommand)]
    Policy(Policy),
    /// Whether the journal is what was written: verify it, export it
    #[command(subcommand)]
    Audit(Audit),
    /// Check this machine and this workspace
    Doctor,
    /// Show the runtime at work on a sample repository; needs no model
    Demo,
}

/// How a session is driven.
#[derive(Debug, Clone, Args)]
pub(crate) struct Driving {
    /// PROVIDER/NAME, for example openai/gpt-5.2, anthropic/claude-sonnet-5, or script/FILE for a scripted model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Model calls that a turn may make at most
    #[arg(long, value_name = "N")]
    pub(crate) max_turns: Option<u32>,
    /// What the session may spend on models at most, in dollars: 2 or 0.50
    #[arg(long, value_name = "USD")]
    pub(crate) budget_usd: Option<Usd>,
    /// How long the turn may work at most: 90s, 30m, "1h 30m"
    #[arg(long, value_name = "TIME")]
    pub(crate) max_time: Option<Time>,
    /// Never ask: what would ask is denied
    #[arg(long)]
    pub(crate) headless: bool,
    /// Never ask here: what would ask waits for `boxagnts approve`, and the turn for `boxagnts resume`
    #[arg(long, conflicts_with = "headless")]
    pub(crate) park: bool,
    /// When changes are committed; holds for the session [default: `commit` of boxagnts.toml, else `per_call`]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) commit: Option<When>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// When changes are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum When {
    /// With each call
    PerCall,
    /// At the end of each turn that is done
    PerTurn,
    /// With `boxagnts changes commit`
    Manual,
}

impl From<When> for CommitMode {
    fn from(when: When) -> Self {
        match when {
            When::PerCall => Self::PerCall,
            When::PerTurn => Self::PerTurn,
            When::Manual => Self::Manual,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// The answer; progress goes to stderr
    Text,
    /// One journal event per line, and nothing else
    Json,
}

/// In which form something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Text,
    /// One JSON object
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// The rules in force, in their order, with what is granted
    Show,
    /// Judge the cases of a file, and say which come out otherwise than they should
    Test {
        /// `[[case]]`s, with a policy of their own or the workspace's
        file: PathBuf,
    },
    /// Judge a session's recorded decisions by another policy, and list those that differ
    WhatIf {
        /// A changed boxagnts.toml
        file: PathBuf,
        /// The session, or the beginning of its identifier [default: the latest]
        #[arg(long, value_name = "ID")]
        session: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) driving: Driving,
    /// Go on in this session instead of a new one
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// What to do; `-` reads it from stdin
    pub(crate) task: String,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) driving: Driving,
    pub(crate) id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Name, level, origin and purpose of every tool
    List,
    /// One tool whole: what it asks for and what it takes
    Show { name: String },
    /// Call a tool, through the same decision, sandbox and journal as a model's call
    Call {
        name: String,
        /// The arguments, a JSON object; `-` reads it from stdin
        #[arg(long, value_name = "JSON", default_value = "{}")]
        input: String,
        /// Never ask: what would ask is denied
        #[arg(long)]
        headless: bool,
    },
    /// Add an extension: a folder with tool.toml and a component, or a component with tool.toml beside it
    Add {
        path: PathBuf,
        /// Approve what it asks for without a question
        #[arg(long)]
        yes: bool,
    },
    /// Let an extension that is already there have what it asks for
    Approve {
        name: String,
        /// Approve what it asks for without a question
        #[arg(long)]
        yes: bool,
    },
    /// Remove an extension
    Rm { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Store a secret; its value is asked for, or read from stdin
    Set {
        /// Capital letters, digits and `_`, such as `GITHUB_TOKEN`
        name: String,
        /// A host that it may be sent to, such as `https://api.example.com` or `https://*.example.org:8443`
        #[arg(long, required = true, value_name = "PATTERN")]
        host: Vec<String>,
        #[command(flatten)]
        placed: Placed,
    },
    /// Name, place, hosts, and whether this workspace allows it; no values
    List,
    /// Remove a secret and its value
    Rm { name: String },
}

/// The one place of a request that a secret goes into.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("placement").required(true).args(["header", "query", "basic"]))]
pub(crate) struct Placed {
    /// Send it in this header
    #[arg(long, value_name = "NAME")]
    pub(crate) header: Option<String>,
    /// How the header holds it: 'Bearer {}'
    #[arg(long, value_name = "FORMAT", default_value = "{}", requires = "header", conflicts_with_all = ["query", "basic"])]
    pub(crate) format: String,
    /// Send it as this parameter of the URL
    #[arg(long, value_name = "NAME")]
    pub(crate) query: Option<String>,
    /// Send it as the password of this user (HTTP basic authentication)
    #[arg(long, value_name = "USER")]
    pub(crate) basic: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// The latest first
    List,
    /// What happened, replayed from the journal
    Show {
        /// The session: its name, its identifier, or the beginning of that
        id: String,
        /// Only the last turns
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        turns: Option<u32>,
        /// Print the journal's events, one JSON object a line
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Give a session a name, by which it is found too
    Name { id: String, name: String },
    /// Tasks and replies that hold a text, the latest first
    Search { text: String },
    /// Begin a new session that goes on from a turn of another
    Fork {
        id: String,
        /// The turn after which it goes on: its number, counted from 1, or the beginning of its identifier [default: the last]
        #[arg(long, value_name = "TURN")]
        at: Option<String>,
        /// What the new session is called
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Print a session whole
    Export {
        id: String,
        #[arg(long, value_enum, default_value_t = Format::Markdown)]
        format: Format,
    },
}

/// In which form a session is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Markdown,
    /// One object with every event
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Changes {
    /// Every change set, the latest first
    List,
    /// What a change set changed
    Diff {
        /// A change set, or the session with what it staged [default: what is staged]
        id: Option<String>,
    },
    /// Make what a session staged true
    Commit {
        /// The session [default: the only one with something staged]
        session: Option<String>,
    },
    /// Throw what a session staged away
    Discard {
        /// The session [default: the only one with something staged]
        session: Option<String>,
    },
    /// Take changes back; a file that has changed since is reported, never overwritten
    Undo {
        /// A change set, call, turn or session, or the beginning of its identifier [default: the last change set]
        id: Option<String>,
        #[command(flatten)]
        how: TakeBack,
    },
    /// Take an undo back
    Redo {
        /// The undo, or what it undid, or the beginning of its identifier [default: the last undo]
        id: Option<String>,
        #[command(flatten)]
        how: TakeBack,
    },
}

/// How something is taken back.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct TakeBack {
    /// Leave files that have changed since as they are, and do the others
    #[arg(long)]
    pub(crate) keep_changed: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What of the past is freed.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// What may be kept at most: 1000000, 512MiB, 2GiB [default: `max_size` of `[retention]`, 2GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<Size>,
    /// For how many days everything is kept, whatever it takes [default: `keep_days` of `[retention]`, 30]
    #[arg(long, value_name = "N")]
    pub(crate) keep_days: Option<u64>,
    /// Say what would be freed, and free nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Approvals {
    /// What waits for an answer, the latest first, and what is allowed for the rest of a session
    List {
        /// What was answered, used or is too late, too
        #[arg(long)]
        all: bool,
    },
    /// One question whole: effects, arguments or diff, limits
    Show { id: String },
    /// Ask again from now on about what was allowed for the rest of a session
    Revoke { id: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Read the whole journal: every record, signature and kept content
    Verify {
        /// Print what was found as one JSON object
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Write the journal to a file that boxagnts-verify checks without the runtime; `-` writes to stdout
    Export {
        file: PathBuf,
        /// Only what these sessions recorded; of the others there are hashes, so that it can be verified all the same
        #[arg(long, value_name = "ID")]
        session: Vec<String>,
    },
    /// Take the journal as it is for this workspace's own, and sign it: after a move, a restored backup, a removed .boxagnts
    Accept,
}
