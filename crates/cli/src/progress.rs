//! What a person sees while the runtime works: one line per finished step on stderr, and what runs now.

use std::io::{IsTerminal as _, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use protocol::{CallOutcome, CallUsage, CommitOutcome, Event, EventBody, MicroUsd, Node, Spending, StopCause, Verdict};
use workspace::for_terminal;

/// Characters of one progress line; the rest is in `session show`.
const LINE: usize = 110;

/// Prints progress. It reads the journal's events and decides nothing.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    /// What the last commit intended, until it is finished.
    intended: Mutex<String>,
    /// What the events said that was spent.
    spent: Mutex<Spending>,
    /// Whether a person is asked something.
    quiet: AtomicBool,
}

/// Keeps the live line away.
pub(crate) struct Quiet<'a>(&'a Progress);

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        self.0.quiet.store(false, Ordering::Relaxed);
    }
}

impl Progress {
    /// Returns progress on stderr: live on a terminal, plain lines elsewhere.
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the template is constant");
            ProgressBar::new_spinner().with_style(style)
        });
        Self { bar, intended: Mutex::default(), spent: Mutex::default(), quiet: AtomicBool::new(false) }
    }

    /// Takes the next event of the journal.
    pub(crate) fn event(&self, event: &Event) {
        if let Some(more) = event.body.spent() {
            let mut spent = self.spent.lock().expect("no holder panics");
            *spent = spent.plus(more);
        }
        match &event.body {
            EventBody::ModelCalled { number, model, .. } => self.now(&format!("{model} thinks (call {number})")),
            EventBody::ModelFailed { failure, .. } => self.line(&format!("  model  failed: {}", failure.message)),
            EventBody::RetryPlanned { model, wait_ms, .. } => {
                self.line(&format!("  model  {model} is called in {}", duration(wait_ms.saturating_mul(1_000))));
            }
            EventBody::Compacted { .. } => self.line("  model  summed the conversation up"),
            EventBody::CallDecided { tool, decision, .. } if decision.verdict == Verdict::Allow => {
                self.now(&format!("{tool}: {}", decision.effects.join(", ")));
            }
            EventBody::CallFinished { tool, outcome, summary, usage, .. } => {
                self.line(&finished(tool, outcome, summary, usage));
            }
            EventBody::CommitIntended { changes, .. } => {
                let paths: Vec<_> = changes.changes.iter().map(|change| change.path.as_str()).collect();
                *self.intended.lock().expect("no holder panics") = paths.join(", ");
            }
            EventBody::CommitFinished { change_set, outcome } => {
                let paths = self.intended.lock().expect("no holder panics").clone();
                self.line(&committed(change_set.as_str(), outcome, &paths));
            }
            EventBody::ApprovalAsked { approval, request } => {
                self.line(&format!(
                    "  {:<6} waits for approval {approval}: {}",
                    request.tool,
                    request.effects.join(", ")
                ));
            }
            EventBody::TurnClosed { .. } => self.clear(),
            _ => {}
        }
    }

    /// Returns what was spent, as a person reads it.
    pub(crate) fn spent(&self) -> String {
        spent(&self.spent.lock().expect("no holder panics"))
    }

    /// Shows what runs now.
    pub(crate) fn now(&self, text: &str) {
        if let Some(bar) = self.bar.as_ref().filter(|_| !self.quiet.load(Ordering::Relaxed)) {
            bar.set_message(cut(text));
            bar.enable_steady_tick(Duration::from_millis(100));
        }
    }

    /// Prints a line that stays.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{}", cut(text))),
            None => eprintln!("{}", cut(text)),
        }
    }

    /// Takes the live line away until the guard is dropped: a person is asked something.
    pub(crate) fn quiet(&self) -> Quiet<'_> {
        self.quiet.store(true, Ordering::Relaxed);
        self.clear();
        Quiet(self)
    }

    /// Takes the live line away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Returns what was spent, as a person reads it.
pub(crate) fn spent(spent: &Spending) -> String {
    let calls = if spent.model_calls == 1 { "call" } else { "calls" };
    let money = if spent.micro_usd == 0 { String::new() } else { format!(", {}", MicroUsd::new(spent.micro_usd)) };
    format!("{} model {calls}, {} tokens{money}", spent.model_calls, spent.tokens)
}

fn cut(text: &str) -> String {
    let line = for_terminal(text.lines().next().unwrap_or_default());
    match line.char_indices().nth(LINE) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

/// Returns the line of a finished call.
pub(crate) fn finished(tool: &str, outcome: &CallOutcome, summary: &str, usage: &CallUsage) -> String {
    let lasted = duration(usage.wall_us);
    match outcome {
        CallOutcome::Succeeded => format!("  {tool:<6} {summary} ({lasted})"),
        CallOutcome::Denied { rule } => format!("  {tool:<6} refused by rule `{rule}`: {summary}"),
        CallOutcome::Stopped { cause } => format!("  {tool:<6} stopped: {} ({lasted})", stopped(*cause)),
        CallOutcome::Rejected => format!("  {tool:<6} could not: {summary}"),
        CallOutcome::Invalid => format!("  {tool:<6} invalid call: {summary}"),
        CallOutcome::Conflicted => format!("  {tool:<6} conflict: {summary}"),
        CallOutcome::Failed => format!("  {tool:<6} failed: {summary}"),
        CallOutcome::Cancelled => format!("  {tool:<6} cancelled ({lasted})"),
        CallOutcome::Unknown => format!("  {tool:<6} {summary}"),
    }
}

/// Returns what a person reads of a limit.
pub(crate) fn stopped(cause: StopCause) -> &'static str {
    match cause {
        StopCause::Fuel => "it used up its fuel (`wasm_fuel`)",
        StopCause::Deadline => "it reached its deadline (`wasm_timeout`)",
        StopCause::Memory => "it asked for more memory than it may have (`wasm_max_memory_size`)",
        StopCause::Stack => "it used up its stack (`wasm_max_wasm_stack`)",
        StopCause::Output => "it said more than it may (`max_output_bytes`)",
        StopCause::Resources => "it opened more than it may (`max_open_files`, `max_instances`)",
        StopCause::Stage => "it wrote more than it may (`max_staged_bytes`, `max_staged_entries`)",
    }
}

fn committed(change_set: &str, outcome: &CommitOutcome, paths: &str) -> String {
    match outcome {
        CommitOutcome::Committed => format!("  commit {change_set}: {paths}"),
        CommitOutcome::Conflicted { conflicts } => {
            let paths: Vec<_> = conflicts.iter().map(|conflict| conflict.path.as_str()).collect();
            format!("  commit {change_set} refused: changed underneath: {}", paths.join(", "))
        }
        CommitOutcome::RolledBack { reason } => format!("  commit {change_set} rolled back: {reason}"),
    }
}

/// Returns a duration as people read it.
pub(crate) fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", as_float(micros) / 1e3),
        _ => format!("{:.1} s", as_float(micros) / 1e6),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people; exact up to 285 years")]
fn as_float(micros: u64) -> f64 {
    micros as f64
}

/// Returns one line about what happened to a path.
pub(crate) fn change_word(before: &Node, after: &Node) -> &'static str {
    match (before, after) {
        (Node::Absent, _) => "created",
        (_, Node::Absent) => "deleted",
        _ => "changed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_harmless() {
        assert_eq!(cut("a\nb"), "a");
        assert!(!cut("\u{1b}]52;c;evil\u{7}\u{202e}").contains(['\u{1b}', '\u{7}', '\u{202e}']));
        assert_eq!(cut(&"é".repeat(LINE + 1)).chars().count(), LINE + 1);
    }

    #[test]
    fn durations_are_short() {
        assert_eq!([12, 1_500, 2_340_000].map(duration), ["12 µs", "1.5 ms", "2.3 s"]);
    }
}
