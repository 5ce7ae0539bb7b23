//! The program on a file that a release exported: the format does not change without a new number.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The key that signed it, and the hash of its last record.
const KEY: &str = "8519a67160cc707af17006fc7ef851600be6fb0248c2c5642e41f1998aee5ee7";
const HEAD: &str = "e8d418585f03bd636473b2a432450e4d305360617099417e2a4b6a9bb86d3575";

fn sample() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export.jsonl")).unwrap()
}

/// Returns the exit code and what was printed, for a file of this content.
fn run(content: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{:?}.jsonl", std::thread::current().id()));
    fs::write(&file, content).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_boxagnts-verify"));
    let output = command.arg(&file).args(arguments).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn a_file_of_an_earlier_day_is_verified() {
    let (code, said) = run(&sample(), &["--key", KEY, "--head", HEAD]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(HEAD) && !said.contains("BROKEN"), "{said}");
    let (code, said) = run(&sample(), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("{KEY}: is that the key you know?")), "{said}");
}

#[test]
fn what_is_not_expected_is_told() {
    let other = "0".repeat(64);
    for (option, told) in [("--key", "another one was expected"), ("--head", "another one was expected")] {
        let (code, said) = run(&sample(), &[option, &other]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(told), "{said}");
    }
    let cut = sample().split_inclusive('\n').take(3).collect::<String>();
    let (code, said) = run(&cut, &[]);
    assert!(code == Some(1) && said.contains("BROKEN  the file ends before its end"), "{said}");
    let altered = sample().replacen("session_opened", "session_upened", 1);
    let (code, said) = run(&altered, &[]);
    assert!(code == Some(1) && said.contains("BROKEN  record 1 was altered"), "{said}");
}

#[test]
fn what_cannot_be_read_says_why() {
    for (content, told) in [
        ("", "does not begin"),
        ("no export\n", "line 1 is no line"),
        (sample().replacen(",\"", ", \"", 1).as_str(), "the same could be said in other bytes"),
        (sample().replacen("boxagnts journal 1", "boxagnts journal 2", 1).as_str(), "line 1 is no line"),
    ] {
        let (code, said) = run(content, &[]);
        assert!(code == Some(2) && said.contains(told), "{said}");
    }
    let (code, said) = run("", &["--unknown"]);
    assert!(code == Some(2) && said.contains("usage: "), "{said}");
}
