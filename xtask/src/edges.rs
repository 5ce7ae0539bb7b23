//! `cargo xtask edges`: checks who depends on whom against one table.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::checkout::{self, capture, cargo};

pub(crate) const COMMAND: crate::Command =
    crate::Command { name: "edges", about: "checks the dependencies of every crate against one table", run };

/// One crate of ours: which others its code may name, and which more its tests may.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    pub(crate) may_use: &'static [&'static str],
    tests_may_use: &'static [&'static str],
}

/// Every crate and every edge that may be. What is not here may not be.
pub(crate) const ROOMS: &[Room] = &[
    Room { name: "protocol", may_use: &[], tests_may_use: &[] },
    Room { name: "policy", may_use: &["protocol"], tests_may_use: &[] },
    Room { name: "stage", may_use: &["protocol"], tests_may_use: &[] },
    Room { name: "providers", may_use: &["protocol"], tests_may_use: &[] },
    Room { name: "workspace", may_use: &["stage", "policy", "protocol"], tests_may_use: &[] },
    Room { name: "sandbox", may_use: &["stage", "policy", "protocol"], tests_may_use: &[] },
    Room {
        name: "tools",
        may_use: &["sandbox", "workspace", "stage", "policy", "protocol"],
        tests_may_use: &["testkit"],
    },
    // The loop cannot name the sandbox: tools is the one door. Its tests build that door.
    Room {
        name: "query",
        may_use: &["tools", "providers", "workspace", "policy", "protocol"],
        tests_may_use: &["stage", "testkit"],
    },
    Room { name: "testkit", may_use: &["tools", "sandbox", "workspace", "policy", "protocol"], tests_may_use: &[] },
    Room { name: "verify", may_use: &[], tests_may_use: &[] },
    Room { name: "cli", may_use: EVERY_LIBRARY, tests_may_use: &["verify"] },
    Room { name: "benches", may_use: EVERY_LIBRARY_AND_TESTKIT, tests_may_use: &[] },
    Room { name: "xtask", may_use: &[], tests_may_use: &[] },
];

const EVERY_LIBRARY: &[&str] = &["query", "tools", "providers", "sandbox", "workspace", "stage", "policy", "protocol"];

const EVERY_LIBRARY_AND_TESTKIT: &[&str] =
    &["testkit", "query", "tools", "providers", "sandbox", "workspace", "stage", "policy", "protocol"];

/// A crate from outside that only some rooms may name. `deny.toml` holds the same for what comes in through others.
struct Fence {
    /// A name, or its beginning and `*`.
    package: &'static str,
    rooms: &'static [&'static str],
    reason: &'static str,
}

const FENCES: &[Fence] = &[
    Fence {
        package: "wasmtime*",
        rooms: &["sandbox", "benches"],
        reason: "one engine, in the crate that holds permits",
    },
    Fence {
        package: "rusqlite",
        rooms: &["workspace", "benches"],
        reason: "one memory; the bench has a bare one beside it",
    },
    Fence { package: "ring", rooms: &["workspace", "verify"], reason: "one place signs, and one program checks" },
    Fence { package: "reqwest", rooms: &["providers"], reason: "one way out to a model" },
    Fence {
        package: "rustix",
        rooms: &["stage", "sandbox"],
        reason: "one crate opens files beneath a mount; the other sets its threads' priority",
    },
    Fence { package: "cap-std", rooms: &["stage"], reason: "one crate opens files beneath a mount" },
    Fence { package: "keyring*", rooms: &["workspace"], reason: "one store of secrets" },
    Fence { package: "zbus*", rooms: &["workspace"], reason: "one store of secrets" },
    Fence {
        package: "secrecy",
        rooms: &["providers", "sandbox", "workspace", "cli"],
        reason: "whoever sends or stores a value holds it, and nobody between",
    },
    Fence { package: "clap", rooms: &["cli"], reason: "one program meets a person" },
    Fence { package: "indicatif", rooms: &["cli"], reason: "libraries are silent" },
    Fence {
        package: "anyhow",
        rooms: &["cli", "benches", "xtask"],
        reason: "a library's errors are its caller's choices",
    },
    Fence {
        package: "tokio*",
        rooms: &["sandbox", "tools", "providers", "query", "cli", "testkit", "benches"],
        reason: "what judges, stages and remembers does not wait",
    },
];

fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`cargo xtask edges` takes no arguments");
    let mut cargo = cargo();
    cargo.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(checkout::root()?);
    let edges = read(&capture(&mut cargo)?)?;
    let found = violations(&edges);
    if !found.is_empty() {
        bail!("{} of {} edges may not be:\n  {}", found.len(), edges.len(), found.join("\n  "));
    }
    eprintln!("xtask: {} edges of {} crates are as the table allows", edges.len(), ROOMS.len());
    Ok(())
}

/// One line of a `[dependencies]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    /// Tests, examples and benches only.
    dev: bool,
}

/// Returns the direct dependencies of every workspace member, as `cargo metadata` names them.
fn read(metadata: &str) -> Result<Vec<Edge>> {
    let metadata: Value = serde_json::from_str(metadata).context("reading what `cargo metadata` printed")?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` names no packages")?;
    packages.iter().map(read_package).collect::<Result<Vec<_>>>().map(|edges| edges.concat())
}

fn read_package(package: &Value) -> Result<Vec<Edge>> {
    let name = |value: &Value| value["name"].as_str().map(str::to_owned).context("a package has no name");
    let from = name(package)?;
    let dependencies = package["dependencies"].as_array().context("a package has no list of dependencies")?;
    let edge = |to: &Value| Ok(Edge { from: room_of(&from), to: room_of(&name(to)?), dev: to["kind"] == "dev" });
    dependencies.iter().map(edge).collect()
}

/// Returns what a package is called in the table: `boxagnts-policy` is `policy`.
pub(crate) fn room_of(package: &str) -> String {
    match package.strip_prefix("boxagnts") {
        Some("") => "cli".to_owned(),
        Some(rest) => rest.trim_start_matches('-').to_owned(),
        None => package.to_owned(),
    }
}

fn violations(edges: &[Edge]) -> Vec<String> {
    edges.iter().filter_map(violation).collect()
}

fn violation(edge: &Edge) -> Option<String> {
    let ours = ROOMS.iter().any(|room| room.name == edge.to);
    let rule = if ours { broken_edge(edge) } else { broken_fence(edge) }?;
    let kind = if edge.dev { " (dev-dependency)" } else { "" };
    Some(format!("{} -> {}{kind}: {rule}", edge.from, edge.to))
}

fn broken_edge(edge: &Edge) -> Option<String> {
    let Some(room) = ROOMS.iter().find(|room| room.name == edge.from) else {
        return Some(format!("`{}` is not in the table of xtask/src/edges.rs", edge.from));
    };
    let may = |list: &[&str]| list.contains(&edge.to.as_str());
    if may(room.may_use) || edge.dev && may(room.tests_may_use) {
        return None;
    }
    let list = if room.may_use.is_empty() { "no other crate".to_owned() } else { room.may_use.join(", ") };
    Some(format!("{} may use {list}", room.name))
}

fn broken_fence(edge: &Edge) -> Option<String> {
    let fence = FENCES.iter().find(|fence| fence.holds(&edge.to))?;
    let inside = fence.rooms.contains(&edge.from.as_str());
    (!inside).then(|| format!("`{}` is only for {} ({})", fence.package, fence.rooms.join(", "), fence.reason))
}

impl Fence {
    fn holds(&self, package: &str) -> bool {
        match self.package.strip_suffix('*') {
            Some(beginning) => package.starts_with(beginning),
            None => package == self.package,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, dev: bool) -> Edge {
        Edge { from: from.to_owned(), to: to.to_owned(), dev }
    }

    #[test]
    fn metadata_is_read_by_room_and_kind() {
        let metadata = r#"{"packages": [{"name": "boxagnts-query", "dependencies": [
            {"name": "boxagnts-tools", "kind": null}, {"name": "wat", "kind": "dev"}]},
            {"name": "boxagnts", "dependencies": [{"name": "clap", "kind": "build"}]}]}"#;
        let expected = [edge("query", "tools", false), edge("query", "wat", true), edge("cli", "clap", false)];
        assert_eq!(read(metadata).expect("metadata"), expected);
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_named_with_its_rule() {
        let found = violations(&[edge("query", "tools", false), edge("query", "sandbox", false)]);
        assert_eq!(found, ["query -> sandbox: query may use tools, providers, workspace, policy, protocol"]);
    }

    #[test]
    fn tests_may_use_more_but_not_everything() {
        let found = violations(&[edge("query", "testkit", true), edge("policy", "stage", true)]);
        assert_eq!(found, ["policy -> stage (dev-dependency): policy may use protocol"]);
    }

    #[test]
    fn a_crate_that_nobody_entered_may_use_nothing_of_ours() {
        let found = violations(&[edge("gateway", "protocol", false)]);
        assert_eq!(found, ["gateway -> protocol: `gateway` is not in the table of xtask/src/edges.rs"]);
    }

    #[test]
    fn a_fence_holds_by_the_beginning_of_a_name_and_in_tests_too() {
        let found = violations(&[
            edge("sandbox", "wasmtime-wasi", false),
            edge("tools", "wasmtime-wasi", true),
            edge("tools", "serde", false),
        ]);
        let expected = "tools -> wasmtime-wasi (dev-dependency): `wasmtime*` is only for sandbox, benches \
                        (one engine, in the crate that holds permits)";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn the_documentation_shows_the_same_table() {
        let map = include_str!("../../ARCHITECTURE.md");
        for room in ROOMS.iter().filter(|room| !PROGRAMS.contains(&room.name)) {
            let uses = if room.may_use.is_empty() { "none".to_owned() } else { room.may_use.join(", ") };
            let row = format!("| `{}` | {uses} |", room.name);
            assert!(map.lines().any(|line| line == row), "ARCHITECTURE.md lacks the row {row}");
        }
    }

    /// Rooms that are no part of the runtime.
    const PROGRAMS: [&str; 3] = ["benches", "verify", "xtask"];

    #[test]
    fn the_table_has_no_cycle() {
        for (index, room) in ROOMS.iter().enumerate() {
            let below: Vec<&str> = ROOMS[..index].iter().map(|room| room.name).collect();
            assert!(room.may_use.iter().all(|used| below.contains(used)), "{} uses what comes after it", room.name);
        }
    }
}
