//! Reports the clocks that the host gives.

use std::time::{Instant, SystemTime};

use kit::{Failure, Output, Tool};
use serde::Deserialize;
use serde_json::json;

struct Clocks;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {}

impl Tool for Clocks {
    const NAME: &'static str = "clocks";
    const DESCRIPTION: &'static str = "Reads the wall clock and the monotonic clock twice each, as JSON.";
    const SCHEMA: &'static str = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
    type Arguments = Arguments;

    fn call(_: Arguments) -> Result<Output, Failure> {
        let start = Instant::now();
        let wall = [wall_ns(), wall_ns()];
        let elapsed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let text = json!({ "wall_ns": wall, "monotonic_elapsed_ns": elapsed }).to_string();
        Ok(Output { summary: text.clone(), text })
    }
}

kit::export!(Clocks);

fn wall_ns() -> Option<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}
