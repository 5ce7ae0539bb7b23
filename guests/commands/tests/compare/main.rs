//! Every command against the real program of this machine: same words, same files, same input.
//!
//! Compared are standard output, the exit code, whether anything was said on standard error, and the files that are
//! left. A case is one line: words in the shell's quoting, then perhaps `< FILE`. `~` before it compares lines without
//! their order.

#![expect(clippy::unwrap_used, reason = "what goes wrong here is a failed test")]

mod cases;
mod fixture;
mod run;

use std::fmt::Write as _;

use run::{Case, Outcome};

/// Compares all cases, and tells about all that differ at once.
fn check(group: &str, cases: &str) {
    let mut failures = String::new();
    let (mut passed, mut skipped) = (0, Vec::new());
    for line in cases.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let case = Case::parse(line);
        let Some(real) = run::real(&case) else {
            skipped.push(case.words[0].clone());
            continue;
        };
        let ours = run::ours(&case);
        if ours.is_like(&real) {
            passed += 1;
        } else {
            writeln!(failures, "---- {line}\n{}", Outcome::difference(&real, &ours)).unwrap();
        }
    }
    println!("{group}: {passed} compared, {} skipped: {skipped:?}", skipped.len());
    assert!(failures.is_empty(), "{group}: {} differ\n{failures}", failures.matches("---- ").count());
    let must_all_run = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!must_all_run || skipped.is_empty(), "{group}: programs are missing: {skipped:?}");
}

macro_rules! groups {
    ($($group:ident)*) => {$(
        #[test]
        fn $group() {
            check(stringify!($group), include_str!(concat!("cases/", stringify!($group), ".txt")));
        }
    )*
        const GROUPS: &[(&str, &str)] = &[$((stringify!($group), include_str!(concat!("cases/", stringify!($group), ".txt")))),*];
    };
}

groups! { words text fields sort grep sed awk files find run encode compare archive jq date layout }

#[test]
fn there_are_enough_cases() {
    let count = |cases: &str| cases.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("# ")).count();
    let total: usize = GROUPS.iter().map(|(_, cases)| count(cases)).sum();
    println!("{total} cases");
    assert!(total >= cases::LEAST, "{total} cases are fewer than {}", cases::LEAST);
}
