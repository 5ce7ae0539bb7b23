//! What a Rust file may not say.

use super::source::{self, Line};
use super::{Finding, Tree};

/// Lines of a file, tests aside, at which it splits or explains itself.
const MAX_LINES: usize = 1_000;

/// Something that no line of code may say, somewhere.
struct Ban {
    /// Any of these, where a name would begin.
    words: &'static [&'static str],
    applies: fn(path: &str, test: bool) -> bool,
    reason: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        words: &["todo!", "unimplemented!"],
        applies: everywhere,
        reason: "what is not built is absent, not stubbed",
    },
    Ban { words: &["dbg!"], applies: everywhere, reason: "left over from debugging" },
    Ban { words: &["#[allow(", "#![allow("], applies: everywhere, reason: "say `#[expect(lint, reason = \"…\")]`" },
    Ban { words: &["#[ignore"], applies: everywhere, reason: "a test that does not run is a defect" },
    Ban {
        words: &["Box::leak", "mem::forget", "static mut"],
        applies: everywhere,
        reason: "everything has an owner and an end",
    },
    Ban {
        words: &["ambient_authority"],
        applies: outside_stage,
        reason: "files are opened beneath a handle that `stage` holds",
    },
    Ban { words: &["Grant::root"], applies: outside_cli, reason: "the root grant is minted once, at boot, by the cli" },
    Ban { words: &["print!", "println!", "eprint!", "eprintln!"], applies: in_library, reason: "libraries are silent" },
    Ban {
        words: &["env::var", "env::vars", "env::home_dir"],
        applies: in_library,
        reason: "libraries read no environment",
    },
    Ban { words: &["SystemTime::now", "Instant::now"], applies: in_pure, reason: "time is a parameter" },
];

fn everywhere(_: &str, _: bool) -> bool {
    true
}

fn outside_stage(path: &str, test: bool) -> bool {
    !test && !path.starts_with("crates/stage/")
}

/// Testkit stands in for boot, and no crate of the product depends on it.
fn outside_cli(path: &str, test: bool) -> bool {
    !test && !path.starts_with("crates/cli/") && !path.starts_with("crates/testkit/")
}

fn in_library(path: &str, test: bool) -> bool {
    !test && path.starts_with("crates/") && path.contains("/src/") && !path.starts_with("crates/cli/")
}

fn in_pure(path: &str, test: bool) -> bool {
    in_library(path, test)
        && ["protocol", "policy", "stage"].iter().any(|room| path.starts_with(&format!("crates/{room}/")))
}

/// Words that mark what somebody meant to finish.
const UNFINISHED: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Returns what one Rust file says that it may not.
pub(super) fn check(path: &str, lines: &[Line]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let at = |message: String| Finding::line(path, index + 1, message);
        found.extend(banned(path, line).map(|ban| at(format!("`{}`: {}", ban.0, ban.1))));
        found.extend(unfinished(line).map(|word| at(format!("`{word}`: finish it, or file an issue"))));
        found.extend(
            (!line.test && stringly(&line.code))
                .then(|| at("`Result<_, String>`: an error is a type of its module".into())),
        );
    }
    let length = lines.iter().filter(|line| !line.test).count();
    if length > MAX_LINES {
        found.push(Finding::file(path, format!("{length} lines without its tests: split it (at most {MAX_LINES})")));
    }
    found
}

fn banned<'a>(path: &'a str, line: &'a Line) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    let applying = BANS.iter().filter(|ban| (ban.applies)(path, line.test));
    applying.flat_map(|ban| ban.words.iter().map(|word| (*word, ban.reason))).filter(|(word, _)| says(&line.code, word))
}

/// Returns whether `code` has `word` where a name would begin.
fn says(code: &str, word: &str) -> bool {
    let begins = |at: usize| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
    let ends = |at: usize| !code[at..].starts_with(|after: char| after.is_alphanumeric() || after == '_');
    code.match_indices(word).any(|(at, _)| begins(at) && ends(at + word.len()))
}

fn unfinished(line: &Line) -> Option<&'static str> {
    UNFINISHED.into_iter().find(|word| says(&line.code, word) || says(&line.comment, word))
}

/// Returns whether a `Result` on this line has text for its error.
fn stringly(code: &str) -> bool {
    code.match_indices("Result<").any(|(at, name)| {
        let error = second_argument(&code[at + name.len()..]);
        error == Some("String")
    })
}

/// Returns the second of the generic arguments that `code` starts with, up to the bracket that closes them.
fn second_argument(code: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let mut comma = None;
    for (at, character) in code.char_indices() {
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' if depth == 0 => return Some(code[comma? + 1..at].trim()),
            '>' if code[..at].ends_with('-') => (),
            '>' | ')' | ']' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => comma = comma.or(Some(at)),
            _ => (),
        }
    }
    None
}

/// Checks that the root grant is minted in one place, tests aside.
pub(super) fn root_grant(tree: &Tree) -> Vec<Finding> {
    let mints = |line: &Line| !line.test && says(&line.code, "Grant::root");
    let rust = tree.with_extension("rs").filter(|(path, _)| path.starts_with("crates/cli/"));
    let places = rust.flat_map(|(path, text)| {
        let lines = source::read(text, source::is_test_file(path)).into_iter().enumerate();
        lines.filter(|(_, line)| mints(line)).map(|(index, _)| (path, index + 1)).collect::<Vec<_>>()
    });
    let more =
        places.skip(1).map(|(path, line)| Finding::line(path, line, "a second root grant: attenuate the first".into()));
    more.collect()
}

/// What a library's documentation says before anything else.
const HEADINGS: [&str; 3] = ["Layer: ", "Verb: ", "Deliberately absent: "];
const UNWRAP_LINT: &str = "#![warn(clippy::unwrap_used)]";

/// Checks how every library opens.
pub(super) fn libraries(tree: &Tree) -> Vec<Finding> {
    let library = |path: &str| path.starts_with("crates/") && path.ends_with("/src/lib.rs");
    let libraries = tree.with_extension("rs").filter(|(path, _)| library(path));
    libraries
        .flat_map(|(path, text)| missing(text).map(move |what| Finding::line(path, 1, format!("no {what}"))))
        .collect()
}

fn missing(text: &str) -> impl Iterator<Item = String> {
    let opening: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let opening = opening.join("\n");
    let headings = HEADINGS.into_iter().filter(move |heading| !opening.contains(heading));
    let lint = (!text.lines().any(|line| line == UNWRAP_LINT)).then(|| format!("`{UNWRAP_LINT}`"));
    headings.map(|heading| format!("`{}` in what the crate says of itself", heading.trim())).chain(lint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let lines = source::read(text, source::is_test_file(path));
        check(path, &lines).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn every_ban_bites() {
        for ban in BANS {
            for word in ban.words {
                assert!(!messages("crates/policy/src/a.rs", word).is_empty(), "{word}");
            }
        }
    }

    #[test]
    fn what_is_named_in_text_and_in_longer_names_is_not_said() {
        let text = "let a = \"todo!\"; // dbg!\nfn my_println!()\nfn eprintln() {}\nfn env::variable()\n";
        assert_eq!(messages("crates/policy/src/a.rs", text), Vec::<String>::new());
    }

    #[test]
    fn the_cli_may_print_and_tests_may_take_authority() {
        assert_eq!(messages("crates/cli/src/a.rs", "println!(); Grant::root();"), Vec::<String>::new());
        assert_eq!(messages("crates/tools/tests/a.rs", "Grant::root(); env::var(\"A\");"), Vec::<String>::new());
    }

    #[test]
    fn what_is_unfinished_is_found_in_comments_too() {
        let expected = ["xtask/a.rs:2: `FIXME`: finish it, or file an issue"];
        assert_eq!(messages("xtask/a.rs", "f();\ng(); // FIXME: later\n"), expected);
    }

    #[test]
    fn text_is_no_error() {
        for bad in ["Result<u8, String>", "Result<(Vec<u8>, fn(u8) -> u8), String>", "Option<Result<A, String>>"] {
            assert!(stringly(bad), "{bad}");
        }
        for good in
            ["Result<String, Error>", "Result<Vec<String>>", "Result<(u8, String), Error>", "HashMap<u8, String>"]
        {
            assert!(!stringly(good), "{good}");
        }
    }

    #[test]
    fn a_file_may_be_long_only_through_its_tests() {
        let long = "a\n".repeat(MAX_LINES + 1);
        assert_eq!(
            messages("xtask/src/a.rs", &long),
            ["xtask/src/a.rs: 1001 lines without its tests: split it (at most 1000)"]
        );
        assert_eq!(messages("xtask/tests/a.rs", &long), Vec::<String>::new());
    }

    #[test]
    fn a_second_root_grant_is_found() {
        let tree = Tree::of(&[(
            "crates/cli/src/boot.rs",
            "Grant::root();\n#[cfg(test)]\nmod tests {\n    Grant::root();\n}\n",
        )]);
        assert_eq!(root_grant(&tree), []);
        let tree = Tree::of(&[
            ("crates/cli/src/boot.rs", "Grant::root();\n"),
            ("crates/cli/src/run.rs", "\nGrant::root();\n"),
        ]);
        assert_eq!(
            root_grant(&tree),
            [Finding::line("crates/cli/src/run.rs", 2, "a second root grant: attenuate the first".into())]
        );
    }

    #[test]
    fn a_library_says_what_it_is() {
        let good = "//! Layer: the ground. Verb: NAMES.\n//!\n//! Deliberately absent: I/O.\n\n#![warn(clippy::unwrap_used)]\n";
        assert_eq!(libraries(&Tree::of(&[("crates/a/src/lib.rs", good), ("guests/b/src/lib.rs", "")])), []);
        let poor = libraries(&Tree::of(&[("crates/a/src/lib.rs", "//! A crate.\n")]));
        assert_eq!(poor.len(), HEADINGS.len() + 1);
    }
}
