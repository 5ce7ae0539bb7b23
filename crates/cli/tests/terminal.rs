//! A person at a terminal: asked, answering, interrupted by an answer from elsewhere.

mod product;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::pty::openpty;
use product::Product;

const RULES: &str = "[[rules]]\nname = \"ask-before-docs\"\nverdict = \"ask\"\npaths = [\"docs/**\"]\n";

const SCRIPT: &str = r#"
[[reply]]
[[reply.call]]
tool = "write"
arguments = { path = "docs/a", content = "one\n" }
[[reply]]
[[reply.call]]
tool = "write"
arguments = { path = "docs/a", content = "two\n" }
[[reply]]
text = "Enough."
"#;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// The binary with a terminal as its stdin and stderr.
struct Terminal {
    product: Product,
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn new() -> Self {
        let product = Product::new();
        product.write("boxagnts.toml", RULES);
        let script = product.write("plan/script.toml", SCRIPT);
        let pty = openpty(None, None).unwrap();
        let model = format!("script/{}", script.display());
        let mut command = product.command(&["run", "--model", &model, "write docs"]);
        command.env("TERM", "xterm");
        let stderr = Stdio::from(pty.slave.try_clone().unwrap());
        let child = command.stdin(Stdio::from(pty.slave)).stderr(stderr).spawn().unwrap();
        // The terminal ends with the last process that has it.
        drop(command);
        let (sender, screen) = channel();
        let mut master = File::from(pty.master);
        let keyboard = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = master.read(&mut chunk) {
                if sender.send(chunk[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { product, child, keyboard, screen, shown: String::new() }
    }

    /// Waits until the terminal shows `text` after what was waited for before.
    fn sees(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            let more = self.screen.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
    }

    fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits for the end, and returns the exit code and what was written.
    fn ends(mut self) -> (Option<i32>, Option<String>) {
        let code = self.child.wait().unwrap().code();
        (code, std::fs::read_to_string(self.product.root().join("docs/a")).ok())
    }
}

const ASKED: &str = "[N]o:";

#[test]
fn a_yes_counts_once_and_a_no_is_a_no() {
    let mut terminal = Terminal::new();
    terminal.sees("write /work/docs/a");
    terminal.sees(ASKED);
    terminal.types("perhaps");
    terminal.sees("Please answer");
    terminal.sees(ASKED);
    terminal.types("y");
    terminal.sees(ASKED);
    terminal.types("");
    assert_eq!(terminal.ends(), (Some(0), Some("one\n".into())));
}

#[test]
fn an_answer_for_the_session_is_not_asked_for_again() {
    let mut terminal = Terminal::new();
    terminal.sees(ASKED);
    terminal.types("always");
    assert_eq!(terminal.ends(), (Some(0), Some("two\n".into())));
}

#[test]
fn what_was_typed_before_a_question_answers_nothing() {
    let mut terminal = Terminal::new();
    terminal.sees(ASKED);
    // Two lines at once: the second is there before the next question is.
    terminal.types("y\ny");
    terminal.sees(ASKED);
    std::thread::sleep(Duration::from_millis(300));
    terminal.types("n");
    assert_eq!(terminal.ends(), (Some(0), Some("one\n".into())));
}

#[test]
fn an_answer_from_elsewhere_ends_the_question() {
    let mut terminal = Terminal::new();
    terminal.sees("boxagnts approve ");
    terminal.sees(ASKED);
    let listed = terminal.product.run(&["approvals", "list"]).stdout;
    let id = listed.split(' ').next().unwrap();
    assert_eq!(terminal.product.run(&["approve", id]).code, Some(0));
    terminal.sees("(no longer asked here)");
    terminal.sees(ASKED);
    terminal.types("n");
    assert_eq!(terminal.ends(), (Some(0), Some("one\n".into())));
}
