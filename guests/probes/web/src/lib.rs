//! Sends HTTP requests exactly as it is told to, with no URL parser of its own in the way.

#[cfg(target_arch = "wasm32")]
mod wire;

use kit::{Failure, Output, Tool};
use serde::Deserialize;

struct Web;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Requests, all sent before the first answer is read.
    requests: Vec<Sent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "only the component sends"))]
struct Sent {
    #[serde(default = "get")]
    method: String,
    scheme: String,
    authority: String,
    path: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

fn get() -> String {
    "GET".into()
}

impl Tool for Web {
    const NAME: &'static str = "web";
    const DESCRIPTION: &'static str = "Sends requests as they are given; returns a JSON list of what came of each.";
    const SCHEMA: &'static str = r#"{"type":"object"}"#;
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        #[cfg(target_arch = "wasm32")]
        let text = serde_json::to_string(&wire::send(&arguments.requests)).expect("a list of texts");
        #[cfg(not(target_arch = "wasm32"))]
        let text = serde_json::to_string(&arguments.requests.len()).expect("a number");
        Ok(Output { text, summary: "sent".into() })
    }
}

kit::export!(Web);
