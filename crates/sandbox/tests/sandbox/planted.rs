//! What is neither file, directory nor link, planted in the workspace: nothing opens it, and nothing waits for it.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use policy::Access;
use sandbox::Ending;
use serde_json::json;

use crate::conformance;
use crate::neighbour::beside_a_neighbour;
use crate::setting::{Given, Workspace, shared, text, tool};

/// Nothing of it waits.
const SOON: Duration = Duration::from_secs(5);

/// Tries every way that std knows to reach `path`, and returns those that worked.
async fn reached(workspace: &Workspace, path: &str) -> Vec<String> {
    let mount = workspace.work();
    let arguments = json!({ "path": path });
    let call = async move {
        Given::files(Access::ReadWrite).run_in(shared(), &tool("escape"), "escape", &arguments, vec![mount]).await
    };
    let outcome = beside_a_neighbour(call).await;
    assert!(Duration::from_micros(outcome.usage.wall_us) < SOON, "{:?}", outcome.usage);
    let changes = outcome.mounts[0].stage.changes().unwrap().changes;
    // Links to it may be made, moved and removed.
    let harmless = |path: &str| path.starts_with("escape-inside") || path == "link";
    assert!(changes.iter().all(|change| harmless(&change.path)), "{changes:?}");
    text(&outcome).lines().filter_map(|line| line.strip_suffix(": reached")).map(str::to_owned).collect()
}

/// That it is there may be known, and no more.
const SEEN_ONLY: [&str; 3] = ["stat", "lstat", "canonicalize"];

async fn is_only_seen(workspace: &Workspace, path: &str, name: &str) {
    conformance::holds("probes", name, SEEN_ONLY.map(str::to_owned).to_vec(), reached(workspace, path).await);
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifo_is_never_opened() {
    let workspace = Workspace::with(&[("d/", "")]);
    for name in ["fifo", "d/fifo"] {
        assert!(run("mkfifo", &[workspace.root().join(name).to_str().unwrap()]));
        is_only_seen(&workspace, name, &format!("planted {name}")).await;
    }
    symlink("d/fifo", workspace.root().join("link")).unwrap();
    let followed = reached(&workspace, "link").await;
    let link_itself = ["lstat", "read_link", "hard link", "rename onto", "rename away", "remove file"];
    let through: Vec<_> = followed.iter().map(String::as_str).filter(|way| !link_itself.contains(way)).collect();
    conformance::holds("probes", "planted link to fifo", vec!["stat", "canonicalize"], through);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_never_opened() {
    let workspace = Workspace::with(&[]);
    let _listener = UnixListener::bind(workspace.root().join("socket")).unwrap();
    is_only_seen(&workspace, "socket", "planted socket").await;
}

/// Devices take privileges to plant. Where there are none, the same guard is shown by the FIFO and the socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_never_opened() {
    let workspace = Workspace::with(&[]);
    let devices = [("zero", ["c", "1", "5"]), ("full", ["c", "1", "7"]), ("loop", ["b", "7", "0"])];
    for (name, [kind, major, minor]) in devices {
        let path = workspace.root().join(name);
        if run("mknod", &[path.to_str().unwrap(), kind, major, minor]) {
            is_only_seen(&workspace, name, &format!("planted device {name}")).await;
        }
    }
}

/// Listing shows that something is there, and reading a whole folder passes over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_with_a_fifo_is_listed() {
    let workspace = Workspace::with(&[("a", "1")]);
    assert!(run("mkfifo", &[workspace.root().join("fifo").to_str().unwrap()]));
    let ops = json!([{"op": "list", "path": "."}, {"op": "read", "path": "a"}, {"op": "rmdir_all", "path": "."}]);
    let (results, outcome) = workspace.script_as(&Given::files(Access::Read), workspace.work(), ops).await;
    assert_eq!(results[..2], [json!({"ok": ["a", "fifo?"]}), json!({"ok": "1"})]);
    assert!(results[2].get("err").is_some() && matches!(outcome.ending, Ending::Returned { .. }));
}
