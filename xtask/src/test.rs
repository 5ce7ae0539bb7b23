//! `cargo xtask test`: everything that CI checks, one step after the other, and one summary.
//!
//! A step is a child process, so that each can also be run alone. A step that fails does not end the run: whoever reads
//! the summary learns everything at once.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::checkout::{self, capture, cargo, tool};

pub(crate) const COMMAND: crate::Command =
    crate::Command { name: "test", about: "checks everything that CI checks", run };

/// Size at which CI's build folder is emptied: several times what one version of the sources needs.
const MAX_FOLDER_BYTES: u64 = 20 << 30;

/// What the checks need and cannot install, and what gives it.
const NEEDS: [(&[&str], &str); 5] = [
    (&["cargo", "clippy", "--version"], "rustup component add clippy"),
    (&["cargo", "fmt", "--version"], "rustup component add rustfmt"),
    (&["cc", "--version"], "apt-get install gcc"),
    (&["python3", "-m", "pip", "--version"], "apt-get install python3-pip"),
    (&["npm", "--version"], "apt-get install nodejs npm"),
];

fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`cargo xtask test` takes no arguments");
    check_needs()?;
    let plan = Plan::new()?;
    let reports = plan.run()?;
    let mut output = io::stdout().lock();
    write!(output, "{}", summary(&reports))?;
    output.flush()?;
    let passed = reports.iter().all(|report| report.ending == Ending::Passed);
    if passed { Ok(()) } else { Err(crate::Reported.into()) }
}

fn check_needs() -> Result<()> {
    for (line, hint) in NEEDS {
        let (program, arguments) = line.split_first().expect("a line names its program");
        let there = capture(tool(program).args(arguments)).is_ok();
        ensure!(there, "this machine has no `{}`\n\nhint: {hint}", line[..line.len() - 1].join(" "));
    }
    Ok(())
}

/// The steps, and where they build.
struct Plan {
    root: PathBuf,
    /// Cargo's build folder, where it is not the usual one.
    target: Option<PathBuf>,
    myself: PathBuf,
}

/// One check.
struct Step {
    name: &'static str,
    /// Builds a crate that embeds the guests.
    needs_guests: bool,
    command: Command,
}

/// What came of a step.
struct Report {
    name: &'static str,
    took: Duration,
    ending: Ending,
    tally: Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Passed,
    Failed,
    /// The guests that it needs were not built.
    NotRun,
}

impl Plan {
    fn new() -> Result<Self> {
        let myself = env::current_exe().context("finding this program")?;
        Ok(Self { root: checkout::root()?, target: target_folder()?, myself })
    }

    fn steps(&self) -> Vec<Step> {
        let step = |name, needs_guests, command| Step { name, needs_guests, command };
        vec![
            step("fmt", false, self.cargo(&["fmt", "--all", "--", "--check"])),
            step("fmt of guests", false, self.guests(&["fmt", "--all", "--", "--check"])),
            step("tidy", false, self.xtask(&["tidy"])),
            step("edges", false, self.xtask(&["edges"])),
            step("deny", false, self.xtask(&["deny"])),
            step("guests", false, self.xtask(&["guests"])),
            step("foreign", false, self.xtask(&["foreign"])),
            step("clippy", true, self.cargo(&CLIPPY)),
            step("docs", true, self.docs()),
            step("clippy of guests", false, self.guests(&CLIPPY)),
            step("tests of guests", false, self.xtask(&["guests", "--test"])),
            step("tests", true, self.cargo(&["test", "--locked", "--workspace", "--no-fail-fast"])),
        ]
    }

    fn run(&self) -> Result<Vec<Report>> {
        let mut reports: Vec<Report> = Vec::new();
        for step in self.steps() {
            let no_guests = reports.iter().any(|report| report.name == "guests" && report.ending != Ending::Passed);
            reports.push(if step.needs_guests && no_guests { step.leave_out() } else { step.run()? });
        }
        Ok(reports)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = cargo();
        if let Some(target) = &self.target {
            cargo.env("CARGO_TARGET_DIR", target);
        }
        cargo.args(arguments).current_dir(&self.root);
        cargo
    }

    /// Returns the build of the documentation, which fails where a link of it leads nowhere.
    fn docs(&self) -> Command {
        let mut cargo = self.cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
        cargo.env("RUSTDOCFLAGS", "-D warnings");
        cargo
    }

    /// Returns cargo on the guests' workspace, for this machine instead of the sandbox.
    fn guests(&self, arguments: &[&str]) -> Command {
        let mut cargo = self.cargo(arguments);
        let target = self.target.clone().unwrap_or_else(|| self.root.join("target"));
        cargo.current_dir(self.root.join("guests")).env("CARGO_TARGET_DIR", target.join("guests-native"));
        cargo
    }

    fn xtask(&self, arguments: &[&str]) -> Command {
        let mut xtask = tool(&self.myself);
        xtask.args(arguments).current_dir(&self.root);
        xtask
    }
}

const CLIPPY: [&str; 7] = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];

impl Step {
    fn run(mut self) -> Result<Report> {
        println!("\n=== {} ===", self.name);
        let started = Instant::now();
        let (success, tally) =
            stream(&mut self.command, &mut io::stdout()).with_context(|| format!("running {}", self.name))?;
        let ending = if success { Ending::Passed } else { Ending::Failed };
        Ok(Report { name: self.name, took: started.elapsed(), ending, tally })
    }

    fn leave_out(self) -> Report {
        Report { name: self.name, took: Duration::ZERO, ending: Ending::NotRun, tally: Tally::default() }
    }
}

/// Runs `command`, shows what it prints as it comes, and counts the tests that it reports.
fn stream(command: &mut Command, output: &mut impl io::Write) -> Result<(bool, Tally)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut tally = Tally::default();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        output.write_all(&line)?;
        tally.add(Tally::read(&String::from_utf8_lossy(&line)));
        line.clear();
    }
    Ok((child.wait()?.success(), tally))
}

/// How many tests ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Reads libtest's closing line: `test result: ok. 12 passed; 0 failed; 0 ignored; …`. Any other line counts nothing.
    fn read(line: &str) -> Self {
        let Some((_, counts)) = line.trim_end().split_once("test result: ").and_then(|(_, rest)| rest.split_once(". "))
        else {
            return Self::default();
        };
        let count = |what| counts.split("; ").find_map(|part| part.strip_suffix(what)?.parse().ok()).unwrap_or(0);
        Self { passed: count(" passed"), failed: count(" failed") }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Returns a line for each step, and the closing line that CI reads.
fn summary(reports: &[Report]) -> String {
    let mut text = String::from("\n=== summary ===\n");
    let mut tally = Tally::default();
    for report in reports {
        let ending = match report.ending {
            Ending::Passed => "passed",
            Ending::Failed => "FAILED",
            Ending::NotRun => "not run: the guests failed",
        };
        writeln!(text, "{:18}{:7.1} s  {ending}", report.name, report.took.as_secs_f64()).expect("a string takes text");
        tally.add(report.tally);
    }
    writeln!(text, "\n{} passed, {} failed", tally.passed, tally.failed).expect("a string takes text");
    text
}

/// Returns where cargo is to build: what the caller set, a folder in the cache for CI, or cargo's own choice.
fn target_folder() -> Result<Option<PathBuf>> {
    if let Some(folder) = env::var_os("CARGO_TARGET_DIR") {
        return Ok(Some(env::current_dir()?.join(folder)));
    }
    if env::var_os("CI").is_none_or(|value| value != "true") {
        return Ok(None);
    }
    let version = capture(tool("rustc").arg("--version"))?;
    let version = version.split(' ').nth(1).context("`rustc --version` names no version")?;
    let folder = checkout::cache()?.join(format!("target-{version}"));
    make_room(&folder)?;
    Ok(Some(folder))
}

/// Empties a build folder that has grown too large: cargo itself never removes what it built for earlier sources.
fn make_room(folder: &Path) -> Result<()> {
    if folder.is_dir() && bytes_in(folder)? > MAX_FOLDER_BYTES {
        println!("xtask: emptying {}, which has grown too large", folder.display());
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &'static str, ending: Ending, passed: u64, failed: u64) -> Report {
        Report { name, took: Duration::from_millis(1_250), ending, tally: Tally { passed, failed } }
    }

    #[test]
    fn closing_lines_of_test_programs_are_counted() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.0s\n";
        assert_eq!(Tally::read(line), Tally { passed: 12, failed: 3 });
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in
            ["test a_test ... ok\n", "12 passed, 3 failed\n", "test result: ok\n", "test result: ok. many passed\n"]
        {
            assert_eq!(Tally::read(line), Tally::default(), "{line}");
        }
    }

    #[test]
    fn the_summary_ends_with_the_sum() {
        let reports = [
            report("fmt", Ending::Failed, 0, 0),
            report("clippy", Ending::NotRun, 0, 0),
            report("tests", Ending::Failed, 5, 2),
        ];
        let expected = "\n=== summary ===\n\
                        fmt                   1.2 s  FAILED\n\
                        clippy                1.2 s  not run: the guests failed\n\
                        tests                 1.2 s  FAILED\n\
                        \n5 passed, 2 failed\n";
        assert_eq!(summary(&reports), expected);
    }

    #[test]
    fn output_is_counted_and_the_status_is_told() {
        let script =
            "echo 'test result: ok. 2 passed; 0 failed'; echo 'test result: FAILED. 1 passed; 1 failed'; exit 3";
        let mut shown = Vec::new();
        let (success, tally) = stream(tool("sh").args(["-c", script]), &mut shown).expect("sh runs");
        assert_eq!((success, tally), (false, Tally { passed: 3, failed: 1 }));
        assert_eq!(String::from_utf8_lossy(&shown).lines().count(), 2);
    }
}
