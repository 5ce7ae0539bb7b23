//! `boxagnts explain`: the whole path of one call, from what the journal has of it.

mod decisions;
mod usage;

pub(crate) use decisions::{ruled, spec as granted_lines};
use protocol::{Arguments, CallId, CallOutcome, CommitOutcome, SessionId};
use serde_json::{Value, json};
use workspace::{
    Again, CallAccount, CommitAccount, LineCount, LookupError, SessionAccount, Subject, Workspace, block_for_terminal,
    for_terminal,
};

use super::{moment, print};
use crate::args::{Form, Place};
use crate::boot::Site;
use crate::exit::{Exit, Failure};
use crate::progress::{change_word, duration, stopped};
use crate::translate::lookup;

/// Lines of arguments, or of a result, that are shown.
const SHOWN_LINES: usize = 40;

pub(crate) fn explain(place: &Place, id: Option<&str>, output: Form) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let (session, call) = find(&workspace, id)?;
    print(&tell(&workspace, &session, &call, output)?)?;
    Ok(Exit::Done)
}

/// Returns what the journal of the session has of `call`.
pub(crate) fn tell(workspace: &Workspace, session: &SessionId, call: &CallId, output: Form) -> Result<String, Failure> {
    let mut account = SessionAccount::of(call.clone());
    workspace.journal().for_each(session, |event| account.apply(&event))?;
    let known = account.calls().next();
    let call = known.ok_or_else(|| Failure::internal(format!("the journal has nothing of call {call}")))?;
    let told = Told { workspace, session, account: &account, call, again: account.explain(call) };
    Ok(match output {
        Form::Text => told.text(),
        Form::Json => told.json().to_string(),
    })
}

/// Returns the call that `id` names itself, or by a change set of it.
fn find(workspace: &Workspace, id: Option<&str>) -> Result<(SessionId, CallId), Failure> {
    let journal = workspace.journal();
    let Some(prefix) = id else {
        let none = || Failure::usage("no call was made yet").hint("make one: boxagnts tool call list");
        return journal.last_call()?.ok_or_else(none);
    };
    let missing = match journal.find_call(prefix) {
        Err(missing @ LookupError::NoMatch(_)) if !prefix.is_empty() => missing,
        found => return found.map_err(|error| lookup(error, LISTS)),
    };
    match journal.find_change_set(prefix).map(|id| journal.change_set(&id)) {
        Err(LookupError::NoMatch(_)) => Err(lookup(missing, LISTS)),
        Err(error) => Err(lookup(error, "boxagnts changes list")),
        Ok(set) => match set?.and_then(|set| Some((set.session, set.call?))) {
            Some(found) => Ok(found),
            None => Err(Failure::usage("no call made that change set: a person took another one back")
                .hint("see which: boxagnts changes list")),
        },
    }
}

const LISTS: &str = "boxagnts session show ID --output json, boxagnts changes list";

/// One call with everything that is told of it.
struct Told<'a> {
    workspace: &'a Workspace,
    session: &'a SessionId,
    account: &'a SessionAccount,
    call: &'a CallAccount,
    /// Its decisions, made again.
    again: Vec<Again>,
}

impl Told<'_> {
    fn text(&self) -> String {
        let sections = [
            self.head(),
            self.proposal(),
            self.schema(),
            self.decided(),
            self.network(),
            self.written(),
            self.grant(),
            usage::section(self.account, self.call),
            usage::cost(self.call),
            self.end(),
        ];
        let sections: Vec<String> = sections.into_iter().filter(|section| !section.is_empty()).collect();
        sections.join("\n\n")
    }

    fn head(&self) -> String {
        let CallAccount { call, tool, level, turn, proposed_at_ms, .. } = self.call;
        let level = level.map_or_else(String::new, |level| format!(", level {level}"));
        let turn = turn.as_ref().map_or_else(|| "called by hand".to_owned(), |turn| format!("turn {turn}"));
        let at = proposed_at_ms.map_or_else(String::new, |at| format!(", proposed {}", moment(at)));
        format!("call {call}: {}{level}\nsession {}, {turn}{at}", for_terminal(tool), self.session)
    }

    fn proposal(&self) -> String {
        let text = match self.call.proposal.as_ref().map(|proposal| &proposal.arguments) {
            None => "(not recorded then)".to_owned(),
            Some(Arguments::Json(value)) => serde_json::to_string_pretty(value).expect("a value is plain data"),
            Some(Arguments::Malformed(text)) => format!("(not one complete JSON object)\n{text}"),
        };
        section("arguments", &block(&text))
    }

    /// What validation came to: nothing is judged that does not fit.
    fn schema(&self) -> String {
        let tool = self.call.decisions.last().map(|judged| self.account.tool_of(&judged.decision));
        let text = match (tool, &self.call.finished) {
            (Some(Ok(tool)), _) => {
                format!("they fit {} {}, component {}", tool.name, for_terminal(&tool.version), tool.component)
            }
            (Some(Err(reason)), _) => format!("they fit; the tool's version: {}", for_terminal(&reason.to_string())),
            (None, Some(finished)) if finished.outcome == CallOutcome::Invalid => block(&finished.result.text),
            (None, _) => "it did not come to it".to_owned(),
        };
        section("schema", &text)
    }

    fn decided(&self) -> String {
        let of_call = self.again.iter().filter(|again| again.subject == Subject::Call);
        let told: Vec<String> = self
            .call
            .decisions
            .iter()
            .zip(of_call)
            .map(|(judged, again)| {
                section("decision on what the arguments name", &decisions::judged(judged, &again.now))
            })
            .collect();
        told.join("\n\n")
    }

    fn network(&self) -> String {
        let again = |number: u32| self.again.iter().find(|again| again.subject == Subject::Request(number));
        let told = self.call.requests.iter().map(|request| decisions::request(request, again(request.request)));
        let told: Vec<String> = told.collect();
        if told.is_empty() { String::new() } else { section("network", &told.join("\n")) }
    }

    fn written(&self) -> String {
        let told: Vec<String> = self.call.commits.iter().map(|commit| self.commit(commit)).collect();
        told.join("\n\n")
    }

    fn commit(&self, commit: &CommitAccount) -> String {
        let subject = Subject::Commit(commit.change_set.clone());
        let again = self.again.iter().filter(|again| again.subject == subject);
        let decided = commit.decisions.iter().zip(again);
        let mut told: Vec<String> = decided
            .map(|(judged, again)| {
                section("decision on what was really written", &decisions::judged(judged, &again.now))
            })
            .collect();
        told.extend(self.changes(commit));
        told.join("\n\n")
    }

    /// Returns what a change set did; what goes to the session's own folder has none.
    fn changes(&self, commit: &CommitAccount) -> Option<String> {
        let changes = commit.changes.as_ref()?;
        let counts = self.workspace.line_counts(changes).unwrap_or_default();
        let counts = counts.into_iter().chain(std::iter::repeat(None));
        let line = |(change, count): (&protocol::Change, Option<LineCount>)| {
            let count = count.map_or_else(String::new, |count| format!(" +{} -{}", count.added, count.removed));
            let path = for_terminal(&format!("{}/{}", changes.mount, change.path));
            format!("{} {path}{count}", change_word(&change.before, &change.after))
        };
        let mut lines: Vec<String> = changes.changes.iter().zip(counts).map(line).collect();
        lines.push(match &commit.outcome {
            Some(CommitOutcome::Committed) => {
                let id = &commit.change_set;
                format!("committed; see it: boxagnts changes diff {id}; take it back: boxagnts changes undo {id}")
            }
            Some(CommitOutcome::Conflicted { .. }) => "not made: a file had changed".to_owned(),
            Some(CommitOutcome::RolledBack { reason }) => format!("taken back: {}", for_terminal(reason)),
            None => "not finished yet".to_owned(),
        });
        Some(section(&format!("change set {}", commit.change_set), &lines.join("\n")))
    }

    fn grant(&self) -> String {
        let Some(judged) = self.call.decisions.last() else { return String::new() };
        let held = self.account.policy_of(&judged.decision).map(|policy| policy.grant.clone());
        let tool = self.account.tool_of(&judged.decision);
        section("grant in force", &decisions::grant(held, tool))
    }

    fn end(&self) -> String {
        let Some(finished) = &self.call.finished else { return section("end", "it has not finished") };
        let outcome = match &finished.outcome {
            CallOutcome::Succeeded => "succeeded".to_owned(),
            CallOutcome::Rejected => "the tool could not do it".to_owned(),
            CallOutcome::Invalid => "an invalid call: nothing ran".to_owned(),
            CallOutcome::Denied { rule } => format!("refused by rule `{}`", for_terminal(rule)),
            CallOutcome::Conflicted => "a conflict: nothing was written".to_owned(),
            CallOutcome::Stopped { cause } => format!("stopped: {}", stopped(*cause)),
            CallOutcome::Failed => "the tool failed".to_owned(),
            CallOutcome::Cancelled => "cancelled".to_owned(),
            CallOutcome::Unknown => "interrupted, outcome unknown: it was not run again".to_owned(),
        };
        let at = self.call.finished_at_ms.map_or_else(String::new, |at| format!(", {}", moment(at)));
        let lasted = duration(finished.usage.wall_us);
        let result = block(&finished.result.text);
        section(
            "end",
            &format!("{outcome} after {lasted}{at}: {}\nresult:\n{}", for_terminal(&finished.summary), indent(&result)),
        )
    }

    fn json(&self) -> Value {
        let decision = self.call.decisions.last().map(|judged| &judged.decision);
        let policy = decision.and_then(|decision| self.account.policy_of(decision).ok());
        let tool = decision.and_then(|decision| self.account.tool_of(decision).ok());
        let judged: Vec<Value> = self.again.iter().map(decisions::json).collect();
        json!({
            "session": self.session,
            "call": self.call,
            "judged": judged,
            "policy": policy,
            "tool": tool,
            "limits": policy.zip(tool).map(|(policy, tool)| policy.limits.meet(&tool.limits)),
        })
    }
}

/// Returns a titled part, indented.
fn section(title: &str, text: &str) -> String {
    format!("{title}\n{}", indent(text))
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Returns text from outside, harmless and not too long.
fn block(text: &str) -> String {
    let safe = block_for_terminal(text.trim_end());
    let mut lines: Vec<&str> = safe.lines().take(SHOWN_LINES).collect();
    let left = safe.lines().count() - lines.len();
    let more = format!("[{left} more lines]");
    if left > 0 {
        lines.push(&more);
    }
    lines.join("\n")
}
