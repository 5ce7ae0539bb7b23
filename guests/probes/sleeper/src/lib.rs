//! Sleeps in the host, where neither fuel nor an epoch is looked at.

use std::time::Duration;

use kit::{Failure, Output, Tool};
use serde::Deserialize;

struct Sleeper;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// How long; for ever without it.
    milliseconds: Option<u64>,
}

impl Tool for Sleeper {
    const NAME: &'static str = "sleeper";
    const DESCRIPTION: &'static str = "Sleeps for `milliseconds`, or a century.";
    const SCHEMA: &'static str = r#"{"type":"object","properties":{"milliseconds":{"type":"integer","minimum":0}},"additionalProperties":false}"#;
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let century = Duration::from_hours(100 * 365 * 24);
        std::thread::sleep(arguments.milliseconds.map_or(century, Duration::from_millis));
        Ok(Output { text: "awake".into(), summary: "awake".into() })
    }
}

kit::export!(Sleeper);
