//! What must lie where, and what must not lie around.

use std::collections::BTreeSet;

use super::source;
use super::{Finding, Tree};

/// Folders of a package whose Rust files cargo builds.
const SOURCE_FOLDERS: [&str; 4] = ["src", "tests", "benches", "examples"];

/// Checks that every Rust file of a package is built: a file that no `mod` names looks tested and is not.
pub(super) fn modules(tree: &Tree) -> Vec<Finding> {
    let packages: Vec<&str> = tree.paths().filter_map(|path| path.strip_suffix("/Cargo.toml")).collect();
    packages.into_iter().flat_map(|package| forgotten(tree, package)).collect()
}

fn forgotten(tree: &Tree, package: &str) -> Vec<Finding> {
    let folders = SOURCE_FOLDERS.map(|folder| format!("{package}/{folder}/"));
    let is_source =
        |path: &&str| super::has_extension(path, "rs") && folders.iter().any(|folder| path.starts_with(folder));
    let sources: Vec<&str> = tree.paths().filter(is_source).collect();
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<String> =
        sources.iter().filter(|path| is_root(package, path)).map(|path| (*path).to_owned()).collect();
    while let Some(path) = waiting.pop() {
        waiting.extend(named_modules(tree, package, &path));
        reached.insert(path);
    }
    let missed = sources.into_iter().filter(|path| !reached.contains(*path));
    missed.map(|path| Finding::file(path, "no `mod` names this file: it is not built".into())).collect()
}

/// Returns whether cargo finds this file by itself.
fn is_root(package: &str, path: &str) -> bool {
    let Some(inner) = path.strip_prefix(package).and_then(|path| path.strip_prefix('/')) else { return false };
    let parts: Vec<&str> = inner.split('/').collect();
    match parts.as_slice() {
        ["src", "bin", ..] | ["tests" | "benches" | "examples", ..] if parts.last() == Some(&"main.rs") => true,
        ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] | ["tests" | "benches" | "examples", _] => true,
        _ => false,
    }
}

/// Returns the files that the `mod name;` lines of one file mean.
fn named_modules(tree: &Tree, package: &str, path: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let inner = if stem == "mod" || is_root(package, path) { folder.to_owned() } else { format!("{folder}/{stem}") };
    let lines = source::read(tree.text(path).unwrap_or_default(), false);
    let names = lines.iter().filter_map(|line| module_name(&line.code));
    let candidates = names.flat_map(|name| [format!("{inner}/{name}.rs"), format!("{inner}/{name}/mod.rs")]);
    candidates.filter(|candidate| tree.text(candidate).is_some()).collect()
}

fn module_name(code: &str) -> Option<&str> {
    let (before, name) = code.trim().strip_suffix(';')?.rsplit_once(' ')?;
    (before == "mod" || before.ends_with(" mod")).then_some(name)
}

/// Checks that whatever compiles to a component says what it asks for.
pub(super) fn manifests(tree: &Tree) -> Vec<Finding> {
    let packages = tree.paths().filter(|path| path.starts_with("guests/") && path.ends_with("/Cargo.toml"));
    let components =
        packages.filter(|path| tree.text(path).is_some_and(|text| text.contains("cdylib")) || is_probe(path));
    let manifest = |path: &str| path.replace("/Cargo.toml", "/tool.toml");
    let without = components.filter(|path| tree.text(&manifest(path)).is_none());
    without.map(|path| Finding::file(path, "a guest needs a tool.toml beside it".into())).collect()
}

fn is_probe(path: &str) -> bool {
    path.starts_with("guests/probes/")
}

/// Checks that every hostile guest meets a test of the host.
pub(super) fn probes(tree: &Tree) -> Vec<Finding> {
    let tests: Vec<&str> =
        tree.with_extension("rs").filter(|(path, _)| is_host_test(path)).map(|(_, text)| text).collect();
    let manifests = tree.paths().filter_map(|path| path.strip_prefix("guests/probes/")?.strip_suffix("/tool.toml"));
    let named = |probe: &&str| tests.iter().any(|text| text.contains(&format!("\"{probe}\"")));
    let unnamed = manifests.filter(|probe| !named(probe));
    let finding = |probe| {
        Finding::file(&format!("guests/probes/{probe}"), "no test under crates/*/tests names this probe".into())
    };
    unnamed.map(finding).collect()
}

fn is_host_test(path: &str) -> bool {
    path.starts_with("crates/") && source::is_test_file(path)
}

/// Checks that the map of the crates has every crate, with the verb that the crate gives itself.
pub(super) fn crate_map(tree: &Tree) -> Vec<Finding> {
    let map = tree.text("ARCHITECTURE.md").unwrap_or_default();
    let crates = tree.paths().filter_map(|path| path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"));
    let missing = crates.filter_map(|name| missing_row(tree, map, name));
    missing.map(|row| Finding::file("ARCHITECTURE.md", format!("the table of crates has no row `{row}`"))).collect()
}

fn missing_row(tree: &Tree, map: &str, name: &str) -> Option<String> {
    let verb = tree.text(&format!("crates/{name}/src/lib.rs")).and_then(verb).unwrap_or("ASSEMBLES");
    let row = format!("| `{name}` | {verb} |");
    (!map.contains(&row)).then_some(row)
}

fn verb(library: &str) -> Option<&str> {
    library.split_once("Verb: ")?.1.split_once('.').map(|(verb, _)| verb)
}

/// Checks that versions stand in one place for the runtime and in one for the guests.
pub(super) fn versions(tree: &Tree) -> Vec<Finding> {
    let packages =
        tree.with_extension("toml").filter(|(path, _)| path.ends_with("/Cargo.toml") && *path != "guests/Cargo.toml");
    packages.flat_map(|(path, text)| own_versions(path, text)).collect()
}

fn own_versions(path: &str, text: &str) -> Vec<Finding> {
    let mut section = "";
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]") && line.contains('=') && !line.contains("workspace") {
            found.push(Finding::line(path, index + 1, "inherit the version: `name.workspace = true`".into()));
        }
    }
    found
}

/// Endings of files that are made, never kept.
const LEFTOVERS: [(&str, &str); 4] = [
    (".wasm", "components are built from source"),
    (".snap.new", "a snapshot that nobody reviewed"),
    (".orig", "left over from a merge"),
    (".profraw", "left over from a measurement"),
];

/// Checks that nothing lies around that is made from something else.
pub(super) fn leftovers(tree: &Tree) -> Vec<Finding> {
    let ending = |path: &str| LEFTOVERS.into_iter().find(|(ending, _)| path.ends_with(ending));
    tree.paths().filter_map(|path| ending(path).map(|(_, why)| Finding::file(path, why.into()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(check: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.to_string()).collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn files_that_no_module_names_are_found() {
        let files = [
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", "mod one;\npub(crate) mod two;\n#[cfg(test)]\nmod tests;\n// mod four;\n"),
            ("crates/a/src/one.rs", "mod inner;"),
            ("crates/a/src/one/inner.rs", ""),
            ("crates/a/src/two/mod.rs", "mod deep;"),
            ("crates/a/src/two/deep.rs", ""),
            ("crates/a/src/tests.rs", ""),
            ("crates/a/src/four.rs", ""),
            ("crates/a/tests/run.rs", "mod support;"),
            ("crates/a/tests/support/mod.rs", ""),
            ("crates/a/tests/support/unused.rs", ""),
            ("crates/a/tests/all/main.rs", "mod case;"),
            ("crates/a/tests/all/case.rs", ""),
            ("crates/a/sample/src/not_ours.rs", ""),
        ];
        let reason = "no `mod` names this file: it is not built";
        let expected =
            ["crates/a/src/four.rs", "crates/a/tests/support/unused.rs"].map(|path| format!("{path}: {reason}"));
        assert_eq!(found(modules, &files), expected);
    }

    #[test]
    fn guests_without_a_manifest_are_found() {
        let files = [
            ("guests/kit/Cargo.toml", "[package]"),
            ("guests/read/Cargo.toml", "crate-type = [\"cdylib\"]"),
            ("guests/read/tool.toml", ""),
            ("guests/list/Cargo.toml", "crate-type = [\"cdylib\"]"),
            ("guests/probes/spin/Cargo.toml", ""),
        ];
        let expected = ["guests/list/Cargo.toml", "guests/probes/spin/Cargo.toml"]
            .map(|path| format!("{path}: a guest needs a tool.toml beside it"));
        assert_eq!(found(manifests, &files), expected);
    }

    #[test]
    fn probes_without_a_test_are_found() {
        let files = [
            ("guests/probes/spin/tool.toml", ""),
            ("guests/probes/hoard/tool.toml", ""),
            ("crates/sandbox/tests/limits.rs", "run(\"spin\")"),
            ("crates/sandbox/src/run.rs", "\"hoard\""),
        ];
        assert_eq!(found(probes, &files), ["guests/probes/hoard: no test under crates/*/tests names this probe"]);
    }

    #[test]
    fn crates_that_the_map_lacks_are_found() {
        let files = [
            ("ARCHITECTURE.md", "| `policy` | JUDGES | says yes or no |\n| `cli` | ASSEMBLES | …\n| `stage` | HIDES |"),
            ("crates/cli/Cargo.toml", ""),
            ("crates/policy/Cargo.toml", ""),
            ("crates/policy/src/lib.rs", "//! Layer: between. Verb: JUDGES.\n"),
            ("crates/stage/Cargo.toml", ""),
            ("crates/stage/src/lib.rs", "//! Verb: STAGES.\n"),
        ];
        assert_eq!(
            found(crate_map, &files),
            ["ARCHITECTURE.md: the table of crates has no row `| `stage` | STAGES |`"]
        );
    }

    #[test]
    fn versions_of_a_package_of_its_own_are_found() {
        let text = "[package]\nversion = \"1\"\n[dependencies]\nserde.workspace = true\ntoml = \"1\"\n";
        let expected = ["crates/a/Cargo.toml:5: inherit the version: `name.workspace = true`"];
        assert_eq!(found(versions, &[("crates/a/Cargo.toml", text), ("Cargo.toml", text)]), expected);
    }

    #[test]
    fn what_is_made_is_not_kept() {
        let files = [("a/read.wasm", ""), ("a/b.snap.new", ""), ("a/b.snap", ""), ("wasm.rs", "")];
        assert_eq!(found(leftovers, &files).len(), 2);
        assert_eq!(found(leftovers, &files[2..]), NOTHING);
    }
}
