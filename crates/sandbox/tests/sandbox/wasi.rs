//! WASI preview 1's cases, run by the guest `wasi_cases` over a staged mount.
//!
//! Those that do not hold stand in `wasi-deviations.txt` with the reason; the test keeps the list true both ways.

use std::collections::BTreeMap;

use policy::Access;
use sandbox::Ending;
use serde_json::json;

use crate::conformance;
use crate::setting::{Given, Workspace, shared, text, tool};

pub(crate) const PROBES: &[&str] = &["wasi_cases"];

/// Returns the cases that are known not to hold, with the step that fails: `name: step`, the reason indented below.
fn deviations() -> BTreeMap<String, String> {
    let lines = include_str!("wasi-deviations.txt").lines();
    let entries = lines.filter(|line| !line.starts_with([' ', '#']) && !line.is_empty());
    entries.map(|line| line.split_once(": ").unwrap()).map(|(name, step)| (name.to_owned(), step.to_owned())).collect()
}

/// Runs one case in an empty mount and returns what did not hold, if anything.
async fn failure(case: &str) -> Option<String> {
    let arguments = json!({ "case": case });
    let mounts = vec![Workspace::new().work()];
    let given = Given::files(Access::ReadWrite);
    match given.run_in(shared(), &tool("wasi_cases"), "wasi_cases", &arguments, mounts).await.ending {
        Ending::Returned { text, .. } if text == "holds" => None,
        Ending::Rejected(step) => Some(step),
        other => Some(format!("{other:?}")),
    }
}

#[tokio::test]
async fn the_cases_hold_but_for_the_listed_ones() {
    let listed = deviations();
    let listing = Given::nothing().run("wasi_cases", json!({})).await;
    let mut found = BTreeMap::new();
    for case in text(&listing).lines() {
        let failure = failure(case).await;
        conformance::write("wasi", case, "holds", failure.as_deref().unwrap_or("holds"), failure.is_none());
        found.extend(failure.map(|step| (case.to_owned(), step)));
    }
    assert_eq!(found, listed);
}
