//! Opens one file over and over and closes none of them.

use std::fs::File;

use kit::{Failure, Output, Tool};
use serde::Deserialize;

struct Handles;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    count: usize,
}

impl Tool for Handles {
    const NAME: &'static str = "handles";
    const DESCRIPTION: &'static str = "Opens `path` `count` times at once and says how many times that worked.";
    const SCHEMA: &'static str = r#"{"type":"object","properties":{"path":{"type":"string"},"count":{"type":"integer","minimum":0}},"required":["path","count"],"additionalProperties":false}"#;
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let mut open = Vec::new();
        let mut ended = "done".to_owned();
        while open.len() < arguments.count {
            match File::open(&arguments.path) {
                Ok(file) => open.push(file),
                Err(error) => {
                    ended = format!("{:?} {:?}", error.kind(), error.raw_os_error());
                    break;
                }
            }
        }
        let text = format!("{} open, {ended}", open.len());
        Ok(Output { summary: text.clone(), text })
    }
}

kit::export!(Handles);
