//! Asking the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _, stderr, stdin};
use std::sync::Arc;

use async_trait::async_trait;
use policy::Answer;
use tools::{Approver, Asked, Unattended};
use workspace::for_terminal;

use crate::progress::Progress;

/// Lines of the detail that are shown with a question.
const DETAIL_LINES: usize = 40;

/// Returns who answers: the person when there is a terminal to ask on, nobody otherwise.
pub(crate) fn approver(headless: bool, progress: &Arc<Progress>) -> Arc<dyn Approver> {
    if headless || !stdin().is_terminal() || !stderr().is_terminal() {
        return Arc::new(Unattended);
    }
    Arc::new(Terminal(progress.clone()))
}

/// Asks a question of the runtime's own. `None` where there is nobody to ask.
pub(crate) fn confirm(headless: bool, question: &str) -> Option<bool> {
    let asked = !headless && stdin().is_terminal() && stderr().is_terminal();
    asked.then(|| read(&format!("{question} [y/N] ")) == Answer::Yes)
}

struct Terminal(Arc<Progress>);

#[async_trait]
impl Approver for Terminal {
    async fn ask(&self, asked: Asked<'_>) -> Answer {
        self.put(question(asked, "Allow it once?")).await
    }

    async fn trust(&self, asked: Asked<'_>) -> Answer {
        self.put(question(asked, "Allow it until it asks for more?")).await
    }
}

impl Terminal {
    async fn put(&self, question: String) -> Answer {
        let progress = self.0.clone();
        let answer = tokio::task::spawn_blocking(move || progress.suspended(|| read(&question)));
        answer.await.unwrap_or(Answer::No)
    }
}

/// Returns the question as it is shown; everything in it that a planner wrote is neutralised.
fn question(asked: Asked<'_>, closing: &str) -> String {
    let effects: Vec<_> = asked.effects.iter().map(|effect| format!("    {}", for_terminal(effect))).collect();
    let detail: Vec<_> =
        asked.detail.lines().take(DETAIL_LINES).map(|line| format!("    {}", for_terminal(line))).collect();
    let left = asked.detail.lines().count().saturating_sub(DETAIL_LINES);
    let more = if left > 0 { format!("\n    … {left} more lines") } else { String::new() };
    format!(
        "\n{tool} wants to:\n{effects}\nwith:\n{detail}{more}\nwhy it is asked: {reason} (rule `{rule}`)\n{closing} [y/N] ",
        tool = for_terminal(asked.tool),
        effects = effects.join("\n"),
        detail = detail.join("\n"),
        reason = for_terminal(asked.reason),
        rule = for_terminal(asked.rule),
    )
}

/// Asks until it understands the answer; the end of input means no.
fn read(question: &str) -> Answer {
    loop {
        eprint!("{question}");
        let mut line = String::new();
        match stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => return Answer::No,
            Ok(_) => {}
        }
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Answer::Yes,
            "n" | "no" | "" => return Answer::No,
            _ => eprintln!("Please answer y or n."),
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
        let asked =
            Asked { tool: "write", effects: &effects, rule: "protected-paths", reason: "Why.", detail: &detail };
        let question = question(asked, "Allow it once?");
        assert!(question.contains("write /work/.git/") && question.contains("… 2 more lines"));
        assert!(!question.contains(['\u{1b}', '\u{202e}']));
    }
}
