//! What no text may hold, in whatever language.

use super::source;
use super::{Finding, Tree};

/// Endings of what people write here, as against what programs write and samples hold.
const WRITTEN: [&str; 8] = ["rs", "md", "toml", "wit", "sh", "yml", "json", "css"];

/// Checks that no line ends in blanks, and that the last one ends.
pub(super) fn whitespace(tree: &Tree) -> Vec<Finding> {
    let written = tree.files().filter(|(path, _)| is_written(path));
    written.flat_map(|(path, text)| trailing(path, text)).collect()
}

fn is_written(path: &str) -> bool {
    WRITTEN.iter().any(|extension| super::has_extension(path, extension))
}

fn trailing(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().enumerate().filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
    let mut found: Vec<_> = lines.map(|(index, _)| Finding::line(path, index + 1, "ends in blanks".into())).collect();
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(Finding::file(path, "the last line does not end".into()));
    }
    found
}

/// Folders, seen from the root, of one person's machine. What is written here is true on every machine.
pub(super) const MACHINE_FOLDERS: [&str; 5] = ["tmp", "home", "root", "Users", "var/folders"];

/// Checks that no text, tests aside, names a place of some machine; `places` are more of them.
pub(super) fn machine_paths(tree: &Tree, places: &[String]) -> Vec<Finding> {
    let files = tree.files().filter(|(path, _)| is_written(path));
    files.flat_map(|(path, text)| machine_paths_in(path, text, places)).collect()
}

fn machine_paths_in(path: &str, text: &str, places: &[String]) -> Vec<Finding> {
    let all_tests = source::is_test_file(path);
    let marks: Vec<bool> = if super::has_extension(path, "rs") {
        source::read(text, all_tests).into_iter().map(|line| line.test).collect()
    } else {
        Vec::new()
    };
    let is_test = |index: usize| marks.get(index).copied().unwrap_or(all_tests);
    let lines = text.lines().enumerate().filter(|(index, _)| !is_test(*index));
    let named = lines.filter_map(|(index, line)| Some((index, places.iter().find(|place| line.contains(*place))?)));
    named.map(|(index, place)| Finding::line(path, index + 1, format!("`{place}` is a place of one machine"))).collect()
}

/// Checks that the links of every Markdown file lead to a file or a folder.
pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    tree.with_extension("md").flat_map(|(path, text)| broken_links(tree, path, text)).collect()
}

fn broken_links(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        let targets = targets(line).filter(|target| !fenced && !leads_somewhere(tree, path, target));
        found
            .extend(targets.map(|target| Finding::line(path, index + 1, format!("the link `{target}` leads nowhere"))));
    }
    found
}

/// Returns what follows each `](` of a line, up to the `)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

fn leads_somewhere(tree: &Tree, from: &str, target: &str) -> bool {
    let target = target.split('#').next().unwrap_or_default();
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    resolve(folder, target).is_some_and(|path| tree.has(&path))
}

/// Returns a path from the root, unless it leaves the root.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(found: Vec<Finding>) -> Vec<String> {
        found.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn blanks_at_the_end_are_found_in_what_is_written() {
        let tree = Tree::of(&[("a.rs", "a \nb\nc"), ("b.snap", "a \n"), ("c.md", ""), ("d.toml", "a\t\n")]);
        let expected = ["a.rs:1: ends in blanks", "a.rs: the last line does not end", "d.toml:1: ends in blanks"];
        assert_eq!(messages(whitespace(&tree)), expected);
    }

    #[test]
    fn places_of_a_machine_are_found_outside_tests() {
        let text = "let a = \"/tmp/a\"; // /builds/one\nlet b = \"/work/src\";\n#[cfg(test)]\nmod tests {\n    \"/tmp/b\"\n}\n";
        let tree =
            Tree::of(&[("crates/a/src/a.rs", text), ("crates/a/tests/b.rs", "/tmp/"), ("c.md", "see /builds/one\n")]);
        let places = ["/tmp/", "/builds/one"].map(str::to_owned);
        let expected = [
            "c.md:1: `/builds/one` is a place of one machine",
            "crates/a/src/a.rs:1: `/tmp/` is a place of one machine",
        ];
        assert_eq!(messages(machine_paths(&tree, &places)), expected);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let text = "[a](b.md) [b](../README.md#top) [c](#here) [d](https://example.com) ![e](img/)\n\
                    [x](missing.md) [y](../../out.md)\n```\n[code](nothing)\n```\n";
        let tree = Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("README.md", ""), ("docs/img/c.png", "")]);
        let expected =
            ["docs/a.md:2: the link `missing.md` leads nowhere", "docs/a.md:2: the link `../../out.md` leads nowhere"];
        assert_eq!(messages(links(&tree)), expected);
    }
}
