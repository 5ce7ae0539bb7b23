//! The file system as a guest sees it, written as scripts for the `fsops` probe.
//!
//! The reference is wasmtime's own WASI test programs; what each test covers of them by idea is named with it. Not
//! covered, because a component has no such thing: renumbering and flag-setting of descriptors, preview-1 rights,
//! terminals, `O_NONBLOCK`.

use std::os::unix::fs::symlink;

use policy::{Access, Limits};
use serde_json::{Value, json};
use stage::Quota;

use crate::setting::{Given, Workspace, ceiling};

pub(crate) const PROBES: &[&str] = &["fsops"];

/// wasi:filesystem's errors as guests' `errno` (preview 1 numbers).
mod errno {
    pub(super) const BADF: i64 = 8;
    pub(super) const EXIST: i64 = 20;
    pub(super) const INVAL: i64 = 28;
    pub(super) const ISDIR: i64 = 31;
    pub(super) const LOOP: i64 = 32;
    pub(super) const NAMETOOLONG: i64 = 37;
    pub(super) const NOENT: i64 = 44;
    pub(super) const NOTDIR: i64 = 54;
    pub(super) const NOTEMPTY: i64 = 55;
    pub(super) const PERM: i64 = 63;
}
use errno::{BADF, EXIST, INVAL, ISDIR, LOOP, NAMETOOLONG, NOENT, NOTDIR, NOTEMPTY, PERM};

fn done() -> Value {
    json!({ "ok": null })
}

fn ok(value: impl Into<Value>) -> Value {
    json!({ "ok": value.into() })
}

fn err(code: i64) -> Value {
    json!({ "err": code })
}

/// Runs the operations in one call and compares every result; the disk must be as it was.
async fn check(workspace: &Workspace, steps: Vec<(Value, Value)>) {
    let before = workspace.tree();
    let (ops, expected): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
    let results = workspace.script(json!(ops)).await;
    for (at, (found, expected)) in results.iter().map(code_only).zip(expected).enumerate() {
        assert_eq!(found, expected, "step {at}: {}", ops[at]);
    }
    assert_eq!(workspace.tree(), before, "the disk changed");
}

fn code_only(result: &Value) -> Value {
    if result.get("err").is_some() { json!({ "err": result["code"] }) } else { result.clone() }
}

fn write(path: &str, data: &str) -> Value {
    json!({ "op": "write", "path": path, "data": data })
}

fn on(op: &str, path: &str) -> Value {
    json!({ "op": op, "path": path })
}

fn to(op: &str, path: &str, to: &str) -> Value {
    json!({ "op": op, "path": path, "to": to })
}

fn link_to(path: &str, target: &str) -> Value {
    json!({ "op": "symlink", "path": path, "target": target })
}

/// `file_read_write`, `path_open_read_write`, `path_open_create_existing`, `path_open_missing`, `path_exists`.
#[tokio::test]
async fn reading_and_writing() {
    let workspace = Workspace::with(&[("base", "from the disk"), ("d/", "")]);
    let steps = vec![
        (on("read", "base"), ok("from the disk")),
        (on("read", "/work/base"), ok("from the disk")),
        (on("read", "missing"), err(NOENT)),
        (on("exists", "missing"), ok(false)),
        (write("new", "fresh"), done()),
        (on("read", "new"), ok("fresh")),
        (on("exists", "new"), ok(true)),
        (json!({"op": "create_new", "path": "new", "data": "x"}), err(EXIST)),
        (json!({"op": "create_new", "path": "base", "data": "x"}), err(EXIST)),
        (json!({"op": "create_new", "path": "newer", "data": "x"}), done()),
        (write("base", "staged"), done()),
        (on("read", "base"), ok("staged")),
        (write("d", "x"), err(ISDIR)),
        (write("base/x", "x"), err(NOTDIR)),
        (write("nowhere/x", "x"), err(NOENT)),
        (on("list", "."), ok(json!(["base", "d/", "new", "newer"]))),
    ];
    check(&workspace, steps).await;
}

/// `file_pread_pwrite`, `file_seek_tell`, `file_truncation`, `file_unbuffered_write`, appending.
#[tokio::test]
async fn offsets_sizes_and_appending() {
    let workspace = Workspace::with(&[("f", "0123456789")]);
    let steps = vec![
        (json!({"op": "read_at", "path": "f", "offset": 3, "length": 4}), ok("3456")),
        (json!({"op": "read_at", "path": "f", "offset": 8, "length": 10}), ok("89")),
        (json!({"op": "read_at", "path": "f", "offset": 10, "length": 1}), ok("")),
        (json!({"op": "read_at", "path": "f", "offset": 1_u64 << 40, "length": 1}), ok("")),
        (json!({"op": "write_at", "path": "f", "offset": 2, "data": "ab"}), done()),
        (on("read", "f"), ok("01ab456789")),
        (json!({"op": "append", "path": "f", "data": "!"}), done()),
        (on("read", "f"), ok("01ab456789!")),
        (json!({"op": "append", "path": "g", "data": "!"}), err(NOENT)),
        (json!({"op": "append", "path": "g", "data": "!", "create": true}), done()),
        (json!({"op": "set_len", "path": "f", "length": 3}), done()),
        (on("read", "f"), ok("01a")),
        (json!({"op": "set_len", "path": "f", "length": 5}), done()),
        (on("read", "f"), ok("01a\0\0")),
        (json!({"op": "write_at", "path": "f", "offset": 7, "data": "z"}), done()),
        (on("read", "f"), ok("01a\0\0\0\0z")),
        (on("truncate", "f"), done()),
        (on("read", "f"), ok("")),
    ];
    check(&workspace, steps).await;
}

/// A handle keeps its file through renames and removal; all handles of a file see one content (`dangling_fd`).
#[tokio::test]
async fn handles_outlive_names() {
    let workspace = Workspace::with(&[("f", "base content")]);
    let open =
        |handle, path, write: bool| json!({"op": "open", "handle": handle, "path": path, "read": true, "write": write});
    let rest = |handle| json!({"op": "handle_read", "handle": handle, "length": 100});
    let seek = |handle, offset: u64| json!({"op": "handle_seek", "handle": handle, "offset": offset});
    let steps = vec![
        (open("early", "f", false), done()),
        (open("writer", "f", true), done()),
        (json!({"op": "handle_write", "handle": "writer", "data": "BASE"}), done()),
        (rest("early"), ok("BASE content")),
        (rest("writer"), ok(" content")),
        (json!({"op": "handle_set_len", "handle": "early", "length": 0}), err(BADF)),
        (to("rename", "f", "g"), done()),
        (seek("early", 5), ok(5)),
        (rest("early"), ok("content")),
        (on("unlink", "g"), done()),
        (seek("early", 0), ok(0)),
        (rest("early"), ok("BASE content")),
        (write("g", "another file"), done()),
        (seek("early", 0), ok(0)),
        (rest("early"), ok("BASE content")),
        (json!({"op": "handle_sync", "handle": "writer"}), done()),
        (json!({"op": "close", "handle": "early"}), done()),
        (on("read", "g"), ok("another file")),
    ];
    check(&workspace, steps).await;
}

/// `fd_filestat_get`, `fd_filestat_set`, `path_filestat`, `symlink_filestat`.
#[tokio::test]
async fn metadata_and_times() {
    let workspace = Workspace::with(&[("f", "12345"), ("d/", "")]);
    symlink("f", workspace.root().join("l")).unwrap();
    let time = 1_000_000_000_123_456_789_u64;
    let steps = vec![
        (json!({"op": "set_times", "path": "f", "accessed_ns": 5, "modified_ns": time}), done()),
        (on("stat", "f"), ok(json!({"kind": "file", "length": 5, "mtime_ns": time}))),
        (on("stat", "l"), ok(json!({"kind": "file", "length": 5, "mtime_ns": time}))),
        (on("stat", "missing"), err(NOENT)),
        (on("stat", "f/x"), err(NOTDIR)),
        (on("stat", "f/"), err(NOTDIR)),
        (json!({"op": "set_times", "path": "missing", "accessed_ns": 5, "modified_ns": 5}), err(NOENT)),
    ];
    check(&workspace, steps).await;
    let (results, _) = workspace
        .script_as(&Given::files(Access::ReadWrite), workspace.work(), json!([on("lstat", "l"), on("stat", "d/")]))
        .await;
    let kind = |at: usize| results[at]["ok"]["kind"].as_str().unwrap().to_owned();
    assert_eq!([kind(0), kind(1)], ["symlink", "dir"]);
}

/// `fd_readdir`, `readdir` with deletions, `remove_nonempty_directory`, `remove_directory`, `directory_seek`'s spirit.
#[tokio::test]
async fn directories() {
    let workspace = Workspace::with(&[("d/a", "1"), ("d/sub/b", "2"), ("empty/", "")]);
    let steps = vec![
        (on("list", "d"), ok(json!(["a", "sub/"]))),
        (write("d/c", "3"), done()),
        (on("unlink", "d/a"), done()),
        (link_to("d/l", "c"), done()),
        (on("list", "d"), ok(json!(["c", "l@", "sub/"]))),
        (on("list_unsorted", "empty"), ok(json!([]))),
        (on("list", "d/c"), err(NOTDIR)),
        (on("list", "missing"), err(NOENT)),
        (on("mkdir", "d"), err(EXIST)),
        (on("mkdir", "d/c"), err(EXIST)),
        (on("mkdir", "new"), done()),
        (on("mkdir", "new/deep/er"), err(NOENT)),
        (on("mkdir_all", "new/deep/er"), done()),
        (on("rmdir", "d"), err(NOTEMPTY)),
        (on("rmdir", "d/c"), err(NOTDIR)),
        (on("rmdir", "missing"), err(NOENT)),
        (on("unlink", "empty"), err(ISDIR)),
        (on("rmdir", "empty"), done()),
        (on("list", "empty"), err(NOENT)),
        (on("rmdir_all", "d"), done()),
        (on("exists", "d/sub/b"), ok(false)),
        (on("mkdir", "d"), done()),
        (on("list", "d"), ok(json!([]))),
        (on("list", "."), ok(json!(["d/", "new/"]))),
    ];
    check(&workspace, steps).await;
}

#[tokio::test]
async fn a_large_directory_is_listed_whole() {
    let workspace = Workspace::with(&[("d/", "")]);
    for number in 0..1_000 {
        workspace.put(&format!("d/{number:04}"), "");
    }
    let (results, _) =
        workspace.script_as(&Given::files(Access::Read), workspace.work(), json!([on("list", "d")])).await;
    let names: Vec<String> = (0..1_000).map(|number| format!("{number:04}")).collect();
    assert_eq!(results[0]["ok"], json!(names));
}

/// `path_rename`, `path_rename_dir_trailing_slashes`.
#[tokio::test]
async fn renaming() {
    let workspace = Workspace::with(&[("f", "file"), ("g", "other"), ("d/x/y", "deep"), ("e/", ""), ("full/z", "")]);
    let steps = vec![
        (to("rename", "missing", "x"), err(NOENT)),
        (to("rename", "f", "f"), done()),
        (to("rename", "f", "g"), done()),
        (on("exists", "f"), ok(false)),
        (on("read", "g"), ok("file")),
        (to("rename", "g", "d"), err(ISDIR)),
        (to("rename", "d", "g"), err(NOTDIR)),
        (to("rename", "d", "full"), err(NOTEMPTY)),
        (to("rename", "d", "e"), done()),
        (on("read", "e/x/y"), ok("deep")),
        (on("exists", "d"), ok(false)),
        (to("rename", "e", "e/x/inside"), err(INVAL)),
        (to("rename", "e/x", "moved"), done()),
        (write("moved/new", "n"), done()),
        (to("rename", "moved", "again"), done()),
        (on("list", "again"), ok(json!(["new", "y"]))),
        (on("list", "e"), ok(json!([]))),
        (to("rename", "g", "h/"), err(NOTDIR)),
        (to("rename", "again", "last/"), done()),
        (on("read", "last/y"), ok("deep")),
    ];
    check(&workspace, steps).await;
}

/// `readlink`, `symlink_create`, `symlink_loop`, `dangling_symlink`, `nofollow_errors`, `path_symlink_trailing_slashes`.
#[tokio::test]
async fn symbolic_links() {
    let workspace = Workspace::with(&[("f", "target"), ("d/x", "deep")]);
    symlink("f", workspace.root().join("disk")).unwrap();
    symlink("d", workspace.root().join("dir")).unwrap();
    let steps = vec![
        (on("read", "disk"), ok("target")),
        (on("readlink", "disk"), ok("f")),
        (on("read", "dir/x"), ok("deep")),
        (on("readlink", "f"), err(INVAL)),
        (on("readlink", "missing"), err(NOENT)),
        (link_to("l", "f"), done()),
        (on("read", "l"), ok("target")),
        (write("l", "through the link"), done()),
        (on("read", "f"), ok("through the link")),
        (link_to("l", "f"), err(EXIST)),
        (link_to("dangling", "nothing"), done()),
        (on("read", "dangling"), err(NOENT)),
        (on("list", "dangling"), err(NOENT)),
        (on("unlink", "dangling"), done()),
        (link_to("a", "b"), done()),
        (link_to("b", "a"), done()),
        (on("read", "a"), err(LOOP)),
        (on("stat", "a/x"), err(LOOP)),
        (link_to("self", "self"), done()),
        (write("self", "x"), err(LOOP)),
        (on("unlink", "self"), done()),
        (link_to("absolute", "/work/f"), err(PERM)),
        (link_to("d/up", "../f"), done()),
        (on("read", "d/up"), ok("through the link")),
        (on("rmdir", "dir"), err(NOTDIR)),
        (on("unlink", "dir"), done()),
        (on("read", "d/x"), ok("deep")),
        (on("list", "."), ok(json!(["a@", "b@", "d/", "disk@", "f", "l@"]))),
    ];
    check(&workspace, steps).await;
}

/// `path_link`.
#[tokio::test]
async fn hard_links() {
    let workspace = Workspace::with(&[("d/", "")]);
    let steps = vec![
        (write("f", "one"), done()),
        (to("link", "f", "g"), done()),
        (write("g", "two"), done()),
        (on("read", "f"), ok("two")),
        (on("unlink", "f"), done()),
        (on("read", "g"), ok("two")),
        (to("link", "g", "g"), err(EXIST)),
        (to("link", "missing", "x"), err(NOENT)),
        (to("link", "d", "x"), err(PERM)),
    ];
    check(&workspace, steps).await;
}

/// `interesting_paths`, `path_open_preopen`, `remove_directory_trailing_slashes`, `unlink_file_trailing_slashes`.
#[tokio::test]
async fn odd_paths() {
    let workspace = Workspace::with(&[("d/f", "x"), ("e/", "")]);
    let long = "n".repeat(300);
    let steps = vec![
        (on("read", "d/./f"), ok("x")),
        (on("read", "d//f"), ok("x")),
        (on("read", "./d/../d/f"), ok("x")),
        (on("read", "d/f/"), err(NOTDIR)),
        (on("read", "d/f/."), err(NOTDIR)),
        (on("read", "d/f/.."), err(NOTDIR)),
        (on("list", "d/"), ok(json!(["f"]))),
        (on("list", "/work/"), ok(json!(["d/", "e/"]))),
        (on("unlink", "d/f/"), err(NOTDIR)),
        (on("rmdir", "e/"), done()),
        (on("mkdir", "new/"), done()),
        (write(&long, "x"), err(NAMETOOLONG)),
        (write("with space and ünïcödé", "x"), done()),
        (on("list", "."), ok(json!(["d/", "new/", "with space and ünïcödé"]))),
    ];
    check(&workspace, steps).await;
}

#[tokio::test]
async fn copying_and_large_files() {
    let workspace = Workspace::new();
    let size = 3_000_000_u64;
    let large = "abcdefgh".repeat(usize::try_from(size / 8).unwrap());
    workspace.put("large", &large);
    let steps = vec![
        (to("copy", "large", "copy"), ok(size)),
        (json!({"op": "read_at", "path": "copy", "offset": size - 8, "length": 100}), ok("abcdefgh")),
        (json!({"op": "write_at", "path": "large", "offset": size - 4, "data": "EFGH"}), done()),
        (json!({"op": "read_at", "path": "large", "offset": size - 8, "length": 100}), ok("abcdEFGH")),
        (on("read", "copy"), ok(large)),
    ];
    check(&workspace, steps).await;
}

/// What a guest staged in one call is there in the next over the same stage, and comes out as a change set.
#[tokio::test]
async fn a_stage_is_handed_back_with_its_changes() {
    let workspace = Workspace::with(&[("keep", "k"), ("edit", "old"), ("drop", "d")]);
    let ops = json!([write("edit", "new"), on("unlink", "drop"), write("made", "m")]);
    let (_, outcome) = workspace.script_as(&Given::files(Access::ReadWrite), workspace.work(), ops).await;
    let mount = outcome.mounts.into_iter().next().unwrap();
    let changes = mount.stage.changes().unwrap();
    let paths: Vec<_> = changes.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!((changes.mount.as_str(), paths), ("/work", vec!["drop", "edit", "made"]));
    assert_eq!(outcome.usage.staged_bytes, 4);
    let (results, _) = workspace
        .script_as(&Given::files(Access::ReadWrite), mount, json!([on("read", "made"), on("list", ".")]))
        .await;
    assert_eq!(results, [ok("m"), ok(json!(["edit", "keep", "made"]))]);
}

/// More open directories than the adapter of std guests has, closed again and again.
#[tokio::test]
async fn handles_are_given_back() {
    let workspace = Workspace::with(&[("d/f", "x")]);
    let ops: Vec<_> = (0..500).flat_map(|_| [on("list", "d"), on("read", "d/f")]).collect();
    let given = Given { limits: Limits { open_files: 8, ..ceiling() }, ..Given::files(Access::Read) };
    let mount = workspace.mount("/work", false, Quota { bytes: 0, entries: 0 });
    let (results, _) = workspace.script_as(&given, mount, json!(ops)).await;
    assert!(
        results.iter().all(|result| result.get("ok").is_some()),
        "{:?}",
        results.iter().find(|r| r["ok"].is_null())
    );
}
