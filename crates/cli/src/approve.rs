//! Asking the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _, stderr, stdin};
use std::sync::Arc;

use async_trait::async_trait;
use protocol::ApprovalAnswer;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tools::{Approver, Asked, Unattended, Waiting};
use workspace::for_terminal;

use crate::progress::Progress;

/// Lines of the detail that are shown with a question.
const DETAIL_LINES: usize = 40;

/// Returns who answers: the person when there is a terminal to ask on, nobody otherwise; whoever parks answers later.
pub(crate) fn approver(headless: bool, park: bool, progress: &Arc<Progress>) -> Arc<dyn Approver> {
    if park {
        return Arc::new(Waiting);
    }
    if headless || !stdin().is_terminal() || !stderr().is_terminal() {
        return Arc::new(Unattended);
    }
    Arc::new(Terminal::new(progress))
}

/// Asks a question of the runtime's own. `None` where there is nobody to ask.
pub(crate) fn confirm(headless: bool, question: &str) -> Option<bool> {
    let asked = !headless && stdin().is_terminal() && stderr().is_terminal();
    asked.then(|| read(&format!("{question} [y/N] ")) == Typed::Yes)
}

/// The person at the terminal. One question at a time.
struct Terminal {
    progress: Arc<Progress>,
    lines: Mutex<Lines>,
}

#[async_trait]
impl Approver for Terminal {
    async fn ask(&self, asked: Asked<'_>) -> ApprovalAnswer {
        let choices = if asked.may_remember { WITH_ALWAYS } else { ONCE };
        let answer = self.put(&question(asked, &format!("Allow it? {choices} ")), asked.may_remember).await;
        ApprovalAnswer { allowed: answer != Typed::No, remembered: answer == Typed::Always }
    }

    async fn trust(&self, asked: Asked<'_>) -> Option<bool> {
        Some(self.put(&question(asked, "Allow it until it asks for more? [y/N] "), false).await == Typed::Yes)
    }
}

const ONCE: &str = "[y/N]";
const WITH_ALWAYS: &str = "[y]es once, [a]lways in this session, [N]o:";

/// What a person typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typed {
    Yes,
    Always,
    No,
}

impl Terminal {
    fn new(progress: &Arc<Progress>) -> Self {
        Self { progress: progress.clone(), lines: Mutex::default() }
    }

    /// Asks until it understands the answer; the end of input means no. Dropped, it takes the question back.
    async fn put(&self, question: &str, may_remember: bool) -> Typed {
        let mut lines = self.lines.lock().await;
        let _quiet = self.progress.quiet();
        let mut open = Open(true);
        lines.forget();
        loop {
            eprint!("{question}");
            let line = lines.next().await;
            match understood(line.as_deref(), may_remember) {
                Some(typed) => {
                    open.0 = false;
                    return typed;
                }
                None => eprintln!("Please answer with one of the letters."),
            }
        }
    }
}

fn understood(line: Option<&str>, may_remember: bool) -> Option<Typed> {
    match line.map(|line| line.trim().to_lowercase()).as_deref() {
        Some("y" | "yes") => Some(Typed::Yes),
        Some("a" | "always") if may_remember => Some(Typed::Always),
        None | Some("" | "n" | "no") => Some(Typed::No),
        Some(_) => None,
    }
}

/// Says of a question that nobody answered here that it is over.
struct Open(bool);

impl Drop for Open {
    fn drop(&mut self) {
        if self.0 {
            eprintln!("(no longer asked here)");
        }
    }
}

/// The lines that a person types, read by a thread of their own: a question that was answered elsewhere must not wait for
/// a line, nor take the next question's.
#[derive(Default)]
struct Lines(Option<UnboundedReceiver<String>>);

impl Lines {
    /// Drops what was typed before it was asked for: it answered something else.
    fn forget(&mut self) {
        if let Some(lines) = &mut self.0 {
            while lines.try_recv().is_ok() {}
        }
    }

    /// Returns the next line, `None` at the end of input.
    async fn next(&mut self) -> Option<String> {
        self.0.get_or_insert_with(typed).recv().await
    }
}

fn typed() -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in stdin().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Returns the question as it is shown; everything in it that a planner wrote is neutralised.
fn question(asked: Asked<'_>, closing: &str) -> String {
    let effects: Vec<_> = asked.effects.iter().map(|effect| format!("    {}", for_terminal(effect))).collect();
    let detail: Vec<_> =
        asked.detail.lines().take(DETAIL_LINES).map(|line| format!("    {}", for_terminal(line))).collect();
    let left = asked.detail.lines().count().saturating_sub(DETAIL_LINES);
    let more = if left > 0 { format!("\n    … {left} more lines") } else { String::new() };
    let ceiling = if asked.ceiling.is_empty() { String::new() } else { format!("at most: {}\n", asked.ceiling) };
    let elsewhere = asked.approval.map_or_else(String::new, |id| format!("from elsewhere: boxagnts approve {id}\n"));
    format!(
        "\n{tool} wants to:\n{effects}\nwith:\n{detail}{more}\n{ceiling}why it is asked: {reason} (rule `{rule}`)\n{elsewhere}{closing}",
        tool = for_terminal(asked.tool),
        effects = effects.join("\n"),
        detail = detail.join("\n"),
        reason = for_terminal(asked.reason),
        rule = for_terminal(asked.rule),
    )
}

/// Asks a question of yes and no, and waits.
fn read(question: &str) -> Typed {
    loop {
        eprint!("{question}");
        let mut line = String::new();
        let read = stdin().lock().read_line(&mut line);
        let line = matches!(read, Ok(bytes) if bytes > 0).then_some(line);
        match understood(line.as_deref(), false) {
            Some(typed) => return typed,
            None => eprintln!("Please answer y or n."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_shows_everything_it_is_about_and_nothing_that_acts_on_the_terminal() {
        let effects = ["write /work/.git/\u{1b}[2Kconfig".to_owned()];
        let detail = "a\u{202e}b\n".repeat(DETAIL_LINES + 2);
        let (rule, reason, ceiling) = ("protected-paths", "Why.", "30 s");
        let (tool, detail, approval) = ("write", detail.as_str(), None);
        let asked = Asked { tool, effects: &effects, rule, reason, detail, ceiling, approval, may_remember: true };
        let question = question(asked, "Allow it?");
        assert!(question.contains("at most: 30 s"), "{question}");
        assert!(question.contains("write /work/.git/") && question.contains("… 2 more lines"));
        assert!(!question.contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn only_a_clear_yes_is_one_and_lasting_ones_only_where_they_are_offered() {
        let typed = |lines: [Option<&str>; 7], may_remember| lines.map(|line| understood(line, may_remember));
        let lines = [Some("y\n"), Some("YES"), Some("a"), Some(""), None, Some("n"), Some("yep")];
        let [yes, no] = [Some(Typed::Yes), Some(Typed::No)];
        assert_eq!(typed(lines, true), [yes, yes, Some(Typed::Always), no, no, no, None]);
        assert_eq!(typed(lines, false), [yes, yes, None, no, no, no, None]);
    }
}
