//! A workspace to test with, and what stands in its tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use policy::{
    Access, CommitPermit, CommitRequest, Decision, Grant, GrantSpec, Judge, NetworkScope, Principal, SecretScope,
    ToolScope,
};
use protocol::{CallId, ChangeSet, ChangeSetId, Level, SessionId};
use stage::{Clock, Dir, File, OpenHow, Opened, Quota, Scratch, Stage, StageOptions, Veil};

use crate::{Commit, CommitError, Committed, Mount, UndoPlan, Workspace};

/// What stands at each path of a tree: its mode, and its content or target.
pub(crate) type Tree = BTreeMap<String, (u32, Vec<u8>)>;

pub(crate) fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

pub(crate) fn session() -> SessionId {
    SessionId::from_random(1)
}

pub(crate) fn call() -> CallId {
    CallId::from_random(2)
}

pub(crate) fn set(number: u64) -> ChangeSetId {
    ChangeSetId::from_random(number)
}

/// A folder with a tree in it, removed in the end.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    /// Makes a tree of files, given as path and content.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        for (path, content) in files {
            place.write(path, content);
        }
        place
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn open(&self) -> Workspace {
        open(self.folder.path())
    }

    /// Returns the tree, without the runtime's own state.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        walk(self.folder.path(), "", &mut tree);
        tree
    }

    /// Returns the temporary files that lie around, in the state and in the tree.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut state = Tree::new();
        walk(&self.path(".boxagnts/tmp"), "", &mut state);
        let files = state.into_iter().filter(|(_, (mode, _))| mode & 0o170_000 == 0o100_000).map(|(path, _)| path);
        files.chain(self.tree().into_keys().filter(|path| path.contains(".boxagnts"))).collect()
    }
}

pub(crate) fn open(root: &Path) -> Workspace {
    open_at(root, clock)
}

pub(crate) fn open_at(root: &Path, clock: Clock) -> Workspace {
    Workspace::open(root, &[Mount { name: "/work".into(), host: root.to_owned() }], Some(&keys(root)), clock).unwrap()
}

/// Returns the folder of journal keys beside a workspace.
pub(crate) fn keys(root: &Path) -> PathBuf {
    root.with_extension("keys")
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(keys(self.folder.path()));
    }
}

fn walk(root: &Path, below: &str, tree: &mut Tree) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == ".boxagnts" {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let found = fs::symlink_metadata(root.join(&path)).unwrap();
        let content = match found.file_type() {
            kind if kind.is_dir() => Vec::new(),
            kind if kind.is_symlink() => fs::read_link(root.join(&path)).unwrap().into_os_string().into_encoded_bytes(),
            _ => fs::read(root.join(&path)).unwrap(),
        };
        tree.insert(path.clone(), (found.mode(), content));
        if found.is_dir() {
            walk(root, &path, tree);
        }
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns a fresh stage over a mount of `workspace`.
pub(crate) fn stage(workspace: &Workspace, mount: &str) -> Stage {
    let options = StageOptions {
        mount: mount.into(),
        writable: true,
        quota: Quota { bytes: 64 << 20, entries: 10_000 },
        scratch: Scratch::new(workspace.scratch()),
        clock,
        veil: Veil::none(),
    };
    Stage::new(workspace.base(mount).unwrap().clone(), options)
}

fn opened(root: &Dir, path: &str, how: OpenHow) -> File {
    match root.open(path, how).unwrap() {
        Opened::File(file) => file,
        Opened::Dir(_) => panic!("{path} is a directory"),
    }
}

pub(crate) fn stage_write(stage: &Stage, path: &str, content: &str) {
    let how = OpenHow { create: true, truncate: true, write: true, ..OpenHow::default() };
    opened(&stage.root(), path, how).write_at(0, content.as_bytes()).unwrap();
}

pub(crate) fn stage_read(stage: &Stage, path: &str) -> Vec<u8> {
    opened(&stage.root(), path, OpenHow { read: true, ..OpenHow::default() }).read_at(0, 1 << 20).unwrap()
}

/// Has the person allow `changes`.
pub(crate) fn permit(workspace: &Workspace, change_set: &ChangeSetId, changes: &ChangeSet) -> CommitPermit {
    #[expect(clippy::disallowed_methods, reason = "a test is its own boot")]
    let grant = Grant::root(GrantSpec {
        network: NetworkScope::none(),
        files: BTreeMap::from([(changes.mount.clone(), Access::ReadWrite)]),
        tools: ToolScope::All,
        secrets: SecretScope::All,
    });
    let request = CommitRequest {
        change_set: change_set.clone(),
        call: Some(call()),
        principal: Principal::Planner,
        tool: "edit".into(),
        level: Level::Write,
        changes: changes.clone(),
        grant,
        approved: BTreeSet::new(),
        basis: None,
    };
    let judged = Judge::new(Vec::new()).unwrap().judge_commit(request);
    match judged.record(&workspace.journal().session(&session())).unwrap() {
        Decision::Allow(permit) => permit,
        decision => panic!("{decision:?}"),
    }
}

pub(crate) fn commit(workspace: &Workspace, id: &ChangeSetId, stage: &Stage) -> Result<Committed, CommitError> {
    commit_changes(workspace, id, stage, &stage.changes().unwrap())
}

/// Commits `changes`, whose contents `stage` has.
pub(crate) fn commit_changes(
    workspace: &Workspace,
    id: &ChangeSetId,
    stage: &Stage,
    changes: &ChangeSet,
) -> Result<Committed, CommitError> {
    let (session, call) = (&session(), &call());
    let permit = permit(workspace, id, changes);
    workspace.commit(Commit { session, call, permit, stage, changes })
}

/// Writes one file through a stage.
pub(crate) fn commit_write(workspace: &Workspace, id: u64, path: &str, content: &str) -> Committed {
    let stage = stage(workspace, "/work");
    stage_write(&stage, path, content);
    commit(workspace, &set(id), &stage).unwrap()
}

/// Takes change sets of one mount back at once.
pub(crate) fn undo_all(workspace: &Workspace, id: u64, of: &[u64]) -> Result<Committed, CommitError> {
    let of: Vec<ChangeSetId> = of.iter().map(|of| set(*of)).collect();
    let plan = workspace.undo_plans(&of)?.pop().unwrap();
    carry_out(workspace, id, &plan)
}

pub(crate) fn carry_out(workspace: &Workspace, id: u64, plan: &UndoPlan) -> Result<Committed, CommitError> {
    workspace.undo(permit(workspace, &set(id), &plan.changes), plan)
}

pub(crate) fn undo(workspace: &Workspace, id: u64, of: u64) -> Result<Committed, CommitError> {
    undo_all(workspace, id, &[of])
}
