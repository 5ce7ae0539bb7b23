//! The legitimate call beside every hostile one.

use std::time::Duration;

use policy::Access;
use serde_json::json;

use crate::setting::{Given, Workspace};

/// Between two calls of the neighbour: it is there all the time, and leaves the machine to the others.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs `probe` on a task of its own, and beside it, in the same sandbox, calls that do honest work until it has ended:
/// each must return its right result.
pub(crate) async fn beside_a_neighbour<T: Send + 'static>(probe: impl Future<Output = T> + Send + 'static) -> T {
    let probe = tokio::spawn(probe);
    let workspace = Workspace::with(&[("notes/old", "from the disk"), ("data", "0123456789")]);
    loop {
        let last = probe.is_finished();
        works(&workspace).await;
        if last {
            return probe.await.unwrap();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One honest call: it reads, writes, moves and lists, and everything is as it should be.
async fn works(workspace: &Workspace) {
    let ops = json!([
        {"op": "read", "path": "notes/old"},
        {"op": "write", "path": "notes/new", "data": "staged"},
        {"op": "append", "path": "data", "data": "!"},
        {"op": "read", "path": "data"},
        {"op": "rename", "path": "notes/old", "to": "older"},
        {"op": "list", "path": "."},
        {"op": "list", "path": "notes"},
    ]);
    let (results, outcome) = workspace.script_as(&Given::files(Access::ReadWrite), workspace.work(), ops).await;
    let ok = |value: serde_json::Value| json!({ "ok": value });
    let expected = [
        ok(json!("from the disk")),
        ok(json!(null)),
        ok(json!(null)),
        ok(json!("0123456789!")),
        ok(json!(null)),
        ok(json!(["data", "notes/", "older"])),
        ok(json!(["new"])),
    ];
    assert_eq!(results, expected, "the neighbour");
    let changes = outcome.mounts[0].stage.changes().unwrap().changes;
    let paths: Vec<_> = changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["data", "notes/new", "notes/old", "older"], "the neighbour");
}
