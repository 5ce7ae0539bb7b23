//! Extensions of a registry: who is asked about them, when, and what comes of the answer.

#![expect(clippy::disallowed_methods, reason = "a test boots its own registry")]

extern crate boxagnts_tools as tools;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use policy::{Grant, GrantSpec, Limits, NetworkScope, SecretScope, ToolScope};
use protocol::ApprovalAnswer;
use sandbox::{Sandbox, SandboxOptions, SystemResolver, Tls};
use tempfile::TempDir;
use tools::{Approver, Asked, ExtensionState, Extensions, Registry};

/// Answers as it is told, and remembers what it was asked.
struct Person {
    answer: Mutex<bool>,
    asked: Mutex<Vec<Vec<String>>>,
}

#[async_trait]
impl Approver for Person {
    async fn ask(&self, _: Asked<'_>) -> ApprovalAnswer {
        unreachable!("no call is made here")
    }

    async fn trust(&self, asked: Asked<'_>) -> Option<bool> {
        self.asked.lock().unwrap().push(asked.effects.to_vec());
        Some(*self.answer.lock().unwrap())
    }
}

struct Home {
    folder: TempDir,
    person: Arc<Person>,
    registry: Registry,
}

impl Home {
    fn new(answer: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let person = Arc::new(Person { answer: Mutex::new(answer), asked: Mutex::default() });
        let artifact_cache = folder.path().join("artifacts");
        let options = SandboxOptions {
            artifact_cache,
            max_concurrent: 2,
            ceiling: Limits::default(),
            resolver: Arc::new(SystemResolver),
            tls: Tls::new(Vec::new()).unwrap(),
        };
        let extensions = Extensions::new(&folder.path().join("extensions"));
        let registry = Registry::new(Sandbox::new(options).unwrap(), Vec::new()).unwrap();
        Self { registry: registry.extended(extensions, person.clone()), folder, person }
    }

    /// Drops the built-in `list` in as an extension, with a change of its manifest.
    fn drop_in(&self, change: impl Fn(&str) -> String) {
        self.drop_guest_in("list", "list", change);
    }

    /// Drops in what was built at `path` as the extension `name`.
    fn drop_guest_in(&self, name: &str, path: &str, change: impl Fn(&str) -> String) {
        let built = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests")).join(path);
        let to = self.folder.path().join("extensions/tools").join(name);
        fs::create_dir_all(&to).unwrap();
        fs::copy(built.with_extension("wasm"), to.join(name).with_extension("wasm")).unwrap();
        let manifest = fs::read_to_string(built.with_extension("toml")).unwrap();
        fs::write(to.join("tool.toml"), change(&manifest)).unwrap();
    }

    async fn offered(&self, tools: ToolScope) -> Vec<String> {
        let grant = Grant::root(GrantSpec {
            files: BTreeMap::new(),
            tools,
            network: NetworkScope::none(),
            secrets: SecretScope::All,
        });
        let definitions = self.registry.definitions(&grant).await.unwrap();
        definitions.into_iter().map(|definition| definition.name).collect()
    }

    fn asked(&self) -> Vec<Vec<String>> {
        self.person.asked.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_yes_lasts_until_more_is_asked_for() {
    let home = Home::new(true);
    home.drop_in(str::to_owned);
    for _ in 0..2 {
        assert_eq!(home.offered(ToolScope::All).await, ["list"]);
        assert_eq!(home.asked(), [["+ be judged as level read_only", "+ read files"]]);
    }
    home.drop_in(|manifest| manifest.replace("0.1.0", "0.2.0"));
    assert_eq!(home.offered(ToolScope::All).await, ["list"]);
    assert_eq!(home.asked().len(), 1);
    *home.person.answer.lock().unwrap() = false;
    home.drop_in(|manifest| manifest.replace("\"read_only\"", "\"write\"").replacen("\"read\"", "\"read_write\"", 1));
    assert_eq!(home.offered(ToolScope::All).await, [""; 0]);
    let more =
        ["- be judged as level read_only", "+ be judged as level write", "  read files", "+ write files, staged"];
    assert_eq!(home.asked()[1], more);
}

#[tokio::test]
async fn a_no_is_not_asked_again_before_something_changes() {
    let home = Home::new(false);
    home.drop_in(str::to_owned);
    for _ in 0..3 {
        assert_eq!(home.offered(ToolScope::All).await, [""; 0]);
        assert!(home.registry.tool("list").await.unwrap().is_none());
    }
    assert_eq!(home.asked().len(), 1);
    assert!(home.registry.names().is_empty() && home.registry.level("list").is_none());
    home.drop_in(|manifest| manifest.replace("0.1.0", "0.2.0"));
    home.offered(ToolScope::All).await;
    assert_eq!(home.asked().len(), 2);
}

#[tokio::test]
async fn a_session_whose_grant_does_not_reach_it_asks_nobody() {
    let home = Home::new(true);
    home.drop_in(str::to_owned);
    assert_eq!(home.offered(ToolScope::Only(["other".to_owned()].into())).await, [""; 0]);
    assert!(home.asked().is_empty());
}

#[tokio::test]
async fn listing_asks_nobody_and_runs_nothing_that_was_not_approved() {
    let home = Home::new(true);
    home.drop_in(str::to_owned);
    let listed = home.registry.extensions().await;
    assert!(matches!(&listed[0].state, ExtensionState::Waiting(difference) if difference.lines().len() == 2));
    let artifacts = fs::read_dir(home.folder.path().join("artifacts")).unwrap();
    let names: Vec<_> = artifacts.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((names, home.asked()), (vec!["key".into()], Vec::new()));
}

#[tokio::test]
async fn a_call_that_runs_keeps_its_tool_while_the_folder_goes() {
    let home = Home::new(true);
    home.drop_in(str::to_owned);
    let tool = home.registry.tool("list").await.unwrap().unwrap();
    assert_eq!(home.registry.level("list"), Some(tool.manifest.level));
    home.registry.remove("list").unwrap();
    assert!(home.registry.tool("list").await.unwrap().is_none());
    assert_eq!(tool.definition.name, "list");
    assert!(home.registry.names().is_empty());
}

#[tokio::test]
async fn only_a_tool_that_requests_the_network_has_sockets() {
    let home = Home::new(true);
    let with_files = |manifest: &str| manifest.replace("\"none\"", "\"empty\"");
    let without_network = |manifest: &str| with_files(manifest).replace("network = [\"*://*:*\"]\n", "");
    home.drop_guest_in("sockets", "probes/sockets", without_network);
    assert_eq!(home.offered(ToolScope::All).await, [""; 0]);
    let listed = home.registry.extensions().await;
    let ExtensionState::Broken(text) = &listed[0].state else { panic!("it has no sockets") };
    assert!(text.contains("imports `wasi:sockets/") && text.contains("write `network = [\"tcp://"), "{text}");
    home.drop_guest_in("sockets", "probes/sockets", with_files);
    assert_eq!(home.offered(ToolScope::All).await, ["sockets"]);
}
