//! A sandbox, permits for it, and a workspace to run over.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;

use policy::{
    Access, CallRequest, Decision, Grant, GrantSpec, Judge, Limits, NetworkScope, Permit, Principal, Recorder,
    SecretScope, ToolScope,
};
use protocol::{CallId, EventBody, Level};
use sandbox::{Call, Ending, LoadedTool, Mount, Outcome, Sandbox, SandboxOptions, SystemResolver, Tls};
use serde_json::{Value, json};
use stage::{Base, Quota, Scratch, Stage, StageOptions};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// The ceiling of the tests' sandbox: larger than any limit that a test sets.
pub(crate) fn ceiling() -> Limits {
    Limits::default()
}

/// Returns a sandbox of its own, with its cache in the returned folder.
pub(crate) fn fresh(max_concurrent: u32) -> (TempDir, Sandbox) {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = open(&folder.path().join("cache"), max_concurrent);
    (folder, sandbox)
}

pub(crate) fn open(artifact_cache: &Path, max_concurrent: u32) -> Sandbox {
    let options = SandboxOptions {
        artifact_cache: artifact_cache.to_owned(),
        max_concurrent,
        ceiling: ceiling(),
        resolver: Arc::new(SystemResolver),
        tls: Tls::new(Vec::new()).unwrap(),
    };
    Sandbox::new(options).unwrap()
}

/// Returns the bytes of a guest that `cargo xtask guests` built.
pub(crate) fn wasm(name: &str) -> Vec<u8> {
    let built = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests"));
    let paths = [built.join(format!("probes/{name}.wasm")), built.join(format!("{name}.wasm"))];
    paths
        .iter()
        .find_map(|path| std::fs::read(path).ok())
        .unwrap_or_else(|| panic!("the guest `{name}` is not built: run `cargo xtask guests`"))
}

/// The sandbox that most tests share, and its tools by name.
static SHARED: LazyLock<(TempDir, Sandbox)> = LazyLock::new(|| fresh(8));
static TOOLS: LazyLock<Mutex<HashMap<String, LoadedTool>>> = LazyLock::new(Mutex::default);

pub(crate) fn shared() -> &'static Sandbox {
    &SHARED.1
}

/// Returns a guest, loaded into the shared sandbox once.
pub(crate) fn tool(name: &str) -> LoadedTool {
    let mut tools = TOOLS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    tools.entry(name.to_owned()).or_insert_with(|| shared().load(wasm(name)).unwrap()).clone()
}

pub(crate) struct Unrecorded;

impl Recorder for Unrecorded {
    type Error = Infallible;
    fn record(&self, _: EventBody) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What one call is given.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) limits: Limits,
    pub(crate) files: BTreeMap<String, Access>,
    pub(crate) cancel: CancellationToken,
}

impl Given {
    /// Everything that a test without files needs.
    pub(crate) fn nothing() -> Self {
        Self { limits: ceiling(), files: BTreeMap::new(), cancel: CancellationToken::new() }
    }

    pub(crate) fn limits(limits: Limits) -> Self {
        Self { limits, ..Self::nothing() }
    }

    pub(crate) fn files(access: Access) -> Self {
        Self { files: BTreeMap::from([("/work".to_owned(), access)]), ..Self::nothing() }
    }

    #[expect(clippy::disallowed_methods, reason = "a test boots its own sandbox")]
    pub(crate) fn permit(&self, tool: &str, arguments: &Value) -> Permit {
        let spec = GrantSpec {
            files: self.files.clone(),
            tools: ToolScope::All,
            network: NetworkScope::none(),
            secrets: SecretScope::All,
        };
        let request = CallRequest {
            call: CallId::from_random(1),
            principal: Principal::User,
            tool: tool.to_owned(),
            level: Level::Write,
            arguments: arguments.clone(),
            effects: [].into(),
            grant: Grant::root(spec),
            limits: self.limits,
            basis: None,
        };
        let judged = Judge::new(Vec::new()).unwrap().judge_call(request);
        let Ok(Decision::Allow(permit)) = judged.record(&Unrecorded) else { panic!("the default rules allow it") };
        permit
    }

    /// Runs `tool`, which names itself `name`, in `sandbox`.
    pub(crate) async fn run_in(
        &self,
        sandbox: &Sandbox,
        tool: &LoadedTool,
        name: &str,
        arguments: &Value,
        mounts: Vec<Mount>,
    ) -> Outcome {
        let call = Call { tool: name, arguments, mounts, network: None, recording: None, cancel: self.cancel.clone() };
        sandbox.run(self.permit(name, arguments), tool, call).await
    }

    /// Runs a guest of the shared sandbox without mounts.
    pub(crate) async fn run(&self, name: &str, arguments: Value) -> Outcome {
        self.run_in(shared(), &tool(name), name, &arguments, Vec::new()).await
    }
}

/// Returns the text that a call returned; anything else fails the test.
pub(crate) fn text(outcome: &Outcome) -> &str {
    match &outcome.ending {
        Ending::Returned { text, .. } => text,
        other => panic!("{other:?}, printed {:?}", outcome.printed),
    }
}

/// A directory tree to stage.
pub(crate) struct Workspace {
    pub(crate) folder: TempDir,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Returns a workspace with these files; a name that ends in `/` is a directory.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let workspace = Self::new();
        for (path, content) in files {
            workspace.put(path, content);
        }
        workspace
    }

    pub(crate) fn root(&self) -> PathBuf {
        let root = self.folder.path().join("root");
        std::fs::create_dir_all(&root).unwrap();
        root
    }

    pub(crate) fn put(&self, path: &str, content: &str) {
        let path_on_disk = self.root().join(path);
        if path.ends_with('/') {
            return std::fs::create_dir_all(path_on_disk).unwrap();
        }
        std::fs::create_dir_all(path_on_disk.parent().unwrap()).unwrap();
        std::fs::write(path_on_disk, content).unwrap();
    }

    /// Returns an empty stage over the tree, mounted as `name`.
    pub(crate) fn mount(&self, name: &str, writable: bool, quota: Quota) -> Mount {
        let scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&scratch).unwrap();
        let options = StageOptions {
            mount: name.to_owned(),
            writable,
            quota,
            scratch: Scratch::new(&scratch),
            clock: SystemTime::now,
            veil: stage::Veil::none(),
        };
        Mount { name: name.to_owned(), stage: Stage::new(Base::open(&self.root()).unwrap(), options) }
    }

    /// Returns the workspace as `/work`, writable, with room.
    pub(crate) fn work(&self) -> Mount {
        self.mount("/work", true, Quota { bytes: 64 << 20, entries: 1_000 })
    }

    /// Runs a script of file operations over a fresh writable stage and returns the results.
    pub(crate) async fn script(&self, ops: Value) -> Vec<Value> {
        self.script_as(&Given::files(Access::ReadWrite), self.work(), ops).await.0
    }

    pub(crate) async fn script_as(&self, given: &Given, mount: Mount, ops: Value) -> (Vec<Value>, Outcome) {
        let arguments = json!({ "ops": ops });
        let outcome = given.run_in(shared(), &tool("fsops"), "fsops", &arguments, vec![mount]).await;
        let results = serde_json::from_str(text(&outcome)).unwrap();
        (results, outcome)
    }

    /// Returns every path beneath the root with its content, to see that the disk is as it was.
    pub(crate) fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        walk(&self.root(), &self.root(), &mut tree);
        tree
    }
}

fn walk(root: &Path, folder: &Path, tree: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            tree.insert(format!("{name}/"), String::new());
            walk(root, &path, tree);
        } else if kind.is_symlink() {
            tree.insert(name, format!("-> {}", std::fs::read_link(&path).unwrap().display()));
        } else {
            tree.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Returns how many files with `extension` lie in the cache.
pub(crate) fn files(cache: &Path, extension: &str) -> usize {
    let is = |path: PathBuf| path.extension().is_some_and(|found| found == extension);
    std::fs::read_dir(cache).unwrap().filter(|entry| is(entry.as_ref().unwrap().path())).count()
}
