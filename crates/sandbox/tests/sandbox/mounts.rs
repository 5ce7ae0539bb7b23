//! Only what the grant holds is mounted, and nothing beyond a mount is reached.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use policy::Access;
use protocol::StopCause;
use sandbox::{Ending, Mount};
use serde_json::{Value, json};
use stage::Quota;

use crate::setting::{Given, Workspace, shared, text, tool};

pub(crate) const PROBES: &[&str] = &["escape", "descriptors"];

const ROOM: Quota = Quota { bytes: 1 << 20, entries: 100 };

async fn run(given: &Given, name: &str, arguments: Value, mounts: Vec<Mount>) -> String {
    let outcome = given.run_in(shared(), &tool(name), name, &arguments, mounts).await;
    text(&outcome).to_owned()
}

async fn script(given: &Given, ops: Value, mounts: Vec<Mount>) -> Vec<Value> {
    let text = run(given, "fsops", json!({ "ops": ops }), mounts).await;
    let results: Vec<Value> = serde_json::from_str(&text).unwrap();
    let short = |result: Value| if result.get("err").is_some() { result["code"].clone() } else { result["ok"].clone() };
    results.into_iter().map(short).collect()
}

fn granted(files: &[(&str, Access)]) -> Given {
    let files: BTreeMap<_, _> = files.iter().map(|(name, access)| ((*name).to_owned(), *access)).collect();
    Given { files, ..Given::nothing() }
}

#[tokio::test]
async fn what_is_not_granted_is_not_there() {
    let (work, lib) = (Workspace::with(&[("f", "work")]), Workspace::with(&[("f", "lib")]));
    let mounts = || vec![work.work(), lib.mount("/lib", true, ROOM)];
    let ops = json!([
        {"op": "read", "path": "f"},
        {"op": "read", "path": "/work/f"},
        {"op": "read", "path": "/lib/f"},
        {"op": "read", "path": "/etc/passwd"},
    ]);
    let (read, no_entry) = (Access::Read, json!(44));
    let table = [
        (granted(&[]), [&no_entry, &no_entry, &no_entry, &no_entry]),
        (granted(&[("/work", read)]), [&json!("work"), &json!("work"), &no_entry, &no_entry]),
        (granted(&[("/lib", read)]), [&no_entry, &no_entry, &json!("lib"), &no_entry]),
        (granted(&[("/lib", read), ("/work", read)]), [&json!("work"), &json!("work"), &json!("lib"), &no_entry]),
        (granted(&[("/elsewhere", read)]), [&no_entry, &no_entry, &no_entry, &no_entry]),
    ];
    for (given, expected) in table {
        let results = script(&given, ops.clone(), mounts()).await;
        assert_eq!(results.iter().collect::<Vec<_>>(), expected, "{:?}", given.files);
    }
}

/// Every way to change something, and what the files are afterwards.
fn changes() -> Value {
    json!([
        {"op": "write", "path": "f", "data": "x"},
        {"op": "write", "path": "new", "data": "x"},
        {"op": "append", "path": "f", "data": "x"},
        {"op": "truncate", "path": "f"},
        {"op": "mkdir", "path": "made"},
        {"op": "rmdir", "path": "d"},
        {"op": "unlink", "path": "f"},
        {"op": "rename", "path": "f", "to": "g"},
        {"op": "symlink", "path": "l", "target": "f"},
        {"op": "link", "path": "f", "to": "g"},
        {"op": "set_len", "path": "f", "length": 0},
        {"op": "open", "handle": "h", "path": "f", "read": true, "write": true},
        {"op": "read", "path": "f"},
        {"op": "list", "path": "."},
    ])
}

#[tokio::test]
async fn reading_is_not_writing() {
    let workspace = Workspace::with(&[("f", "content"), ("d/", "")]);
    let read_only = json!(69);
    let mut expected = vec![read_only; 12];
    expected.extend([json!("content"), json!(["d/", "f"])]);
    for (access, writable) in [(Access::Read, true), (Access::ReadWrite, false), (Access::Read, false)] {
        let mount = workspace.mount("/work", writable, ROOM);
        let results = script(&granted(&[("/work", access)]), changes(), vec![mount]).await;
        assert_eq!(results, expected, "{access:?} of a mount with writable = {writable}");
    }
}

#[tokio::test]
async fn nothing_moves_between_mounts() {
    let (work, lib) = (Workspace::with(&[("f", "work")]), Workspace::with(&[("f", "lib")]));
    let given = granted(&[("/work", Access::ReadWrite), ("/lib", Access::ReadWrite)]);
    let ops = json!([
        {"op": "rename", "path": "f", "to": "/lib/g"},
        {"op": "link", "path": "/lib/f", "to": "g"},
        {"op": "copy", "path": "f", "to": "/lib/g"},
        {"op": "read", "path": "/lib/g"},
        {"op": "rename", "path": "/work/f", "to": "./h"},
        {"op": "list", "path": "/work"},
    ]);
    let results = script(&given, ops, vec![work.work(), lib.mount("/lib", true, ROOM)]).await;
    let cross_device = json!(75);
    assert_eq!(results, [cross_device.clone(), cross_device, json!(4), json!("work"), json!(null), json!(["h"])]);
}

/// A tree with something worth reaching outside, and links that lead to it.
fn trap() -> Workspace {
    let workspace = Workspace::with(&[("inside", "i")]);
    let outside = workspace.folder.path().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("secret"), "s").unwrap();
    symlink("../outside", workspace.root().join("up")).unwrap();
    symlink(&outside, workspace.root().join("absolute")).unwrap();
    symlink("/etc/passwd", workspace.root().join("passwd")).unwrap();
    symlink("/proc/self/cwd", workspace.root().join("proc")).unwrap();
    workspace
}

#[tokio::test]
async fn no_way_leads_out() {
    let workspace = trap();
    let before = workspace.tree();
    let given = granted(&[("/work", Access::ReadWrite)]);
    let root = workspace.root();
    let absolute = root.parent().unwrap().join("outside/secret");
    for path in [
        "../outside/secret",
        "/work/../outside/secret",
        "inside/../../outside/secret",
        "./../outside/secret",
        "up/secret",
        "absolute/secret",
        "proc/outside/secret",
        absolute.to_str().unwrap(),
        "/etc/passwd",
        "/proc/self/environ",
    ] {
        let said = run(&given, "escape", json!({ "path": path }), vec![workspace.work()]).await;
        let reached: Vec<_> = said.lines().filter(|line| line.ends_with(": reached")).collect();
        assert_eq!(reached, [""; 0], "{path}");
    }
    assert_eq!(workspace.tree(), before);
    assert_eq!(std::fs::read_to_string(&absolute).unwrap(), "s");
}

/// Links out of the mount are there to be seen, linked and moved; what would follow them fails.
#[tokio::test]
async fn a_link_that_leads_out_is_not_followed() {
    let workspace = trap();
    let given = granted(&[("/work", Access::ReadWrite)]);
    for link in ["up", "absolute", "passwd", "proc"] {
        let said = run(&given, "escape", json!({ "path": link }), vec![workspace.work()]).await;
        let reached: Vec<_> = said.lines().filter_map(|line| line.strip_suffix(": reached")).collect();
        let itself = ["lstat", "read_link", "hard link", "rename onto", "rename away", "remove file"];
        let followed: Vec<_> = reached.into_iter().filter(|way| !itself.contains(way)).collect();
        assert_eq!(followed, [""; 0], "{link}");
    }
    assert_eq!(std::fs::read_to_string(workspace.folder.path().join("outside/secret")).unwrap(), "s");
}

#[tokio::test]
async fn the_runtimes_own_folder_is_invisible() {
    let workspace = Workspace::with(&[(".boxagnts/journal.db", "j"), ("f", "x")]);
    let before = workspace.tree();
    let given = granted(&[("/work", Access::ReadWrite)]);
    for path in [".boxagnts", ".boxagnts/journal.db", ".BOXAGNTS", ".BoxAgnts/journal.db", "./.boxagnts/", ".ｂoxagnts"]
    {
        let said = run(&given, "escape", json!({ "path": path }), vec![workspace.work()]).await;
        let reached: Vec<_> = said.lines().filter(|line| line.ends_with(": reached")).collect();
        assert_eq!(reached, [""; 0], "{path}");
    }
    let results = script(&given, json!([{"op": "list", "path": "."}]), vec![workspace.work()]).await;
    assert_eq!(results, [json!(["f"])]);
    assert_eq!(workspace.tree(), before);
}

/// A guest's libc takes `/` for the mount that relative paths start in: there is no root above it.
#[tokio::test]
async fn the_root_is_the_workspace() {
    let workspace = trap();
    let ops = json!([{"op": "list", "path": "/"}, {"op": "list", "path": "."}, {"op": "list", "path": "/.."}]);
    let results = script(&granted(&[("/work", Access::Read)]), ops, vec![workspace.work()]).await;
    assert_eq!((&results[0], &results[2]), (&results[1], &json!(63)));
}

#[tokio::test]
async fn descriptors_are_bounded_and_keep_to_their_rights() {
    let workspace = Workspace::new();
    let given = granted(&[("/work", Access::ReadWrite)]);
    let said = run(&given, "descriptors", json!({ "path": "f" }), vec![workspace.work()]).await;
    let lines: Vec<_> = said.lines().map(plain).collect();
    let expected = [
        "write 5 at 0: Ok(5)",
        "read 2 at 1: Ok(([101, 108], false))",
        "read 10 at 3: Ok(([108, 111], false))",
        "read at the end: Ok((0, true))",
        "read u64::MAX at 0: Ok((5, false))",
        "read 1 at u64::MAX: Ok((0, true))",
        "write 1 at u64::MAX: Err(file-too-large)",
        "set size to u64::MAX: Err(file-too-large)",
        "set size to 3: Ok(())",
        "read 10 at 0: Ok(([104, 101, 108], false))",
        "write to a reader: Ok(Err(bad-descriptor))",
        "resize a reader: Ok(Err(bad-descriptor))",
        "read from a writer: Ok(Err(bad-descriptor))",
        "make a directory in a reader: Ok(Ok(()))",
        "flags of a reader: Ok(Ok(DescriptorFlags { bits: 33 }))",
    ];
    assert_eq!(lines, expected);
    let empty = run(&given, "descriptors", json!({ "path": "" }), vec![workspace.work()]).await;
    assert_eq!(plain(&empty), "open: no-entry");
}

/// Returns a line with only the names of its error codes.
fn plain(line: &str) -> String {
    let Some((before, rest)) = line.split_once("ErrorCode {") else { return line.to_owned() };
    let (code, after) = rest.split_once('}').unwrap();
    format!("{before}{}{after}", code.split('"').nth(1).unwrap())
}

/// Asking for more than a stage holds allocates nothing: the call ends.
#[tokio::test]
async fn offsets_and_sizes_are_asked_of_the_quota_first() {
    let workspace = Workspace::new();
    let given = granted(&[("/work", Access::ReadWrite)]);
    for beyond in ["write", "size"] {
        let arguments = json!({ "path": "f", "beyond": beyond });
        let outcome =
            given.run_in(shared(), &tool("descriptors"), "descriptors", &arguments, vec![workspace.work()]).await;
        assert_eq!(outcome.ending, Ending::Stopped(StopCause::Stage), "{beyond}");
    }
}
