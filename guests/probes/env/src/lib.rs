//! Reports what of the host's surroundings a guest can see.

use std::env;

use kit::{Failure, Output, Tool};
use serde::Deserialize;
use serde_json::json;

struct Env;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {}

impl Tool for Env {
    const NAME: &'static str = "env";
    const DESCRIPTION: &'static str = "Reports the variables, arguments and current directory it sees, as JSON.";
    const SCHEMA: &'static str = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
    type Arguments = Arguments;

    fn call(_: Arguments) -> Result<Output, Failure> {
        let variables: Vec<_> = env::vars_os().map(|(name, value)| (name.into_string(), value.into_string())).collect();
        let arguments: Vec<_> = env::args_os().map(std::ffi::OsString::into_string).collect();
        let folder = env::current_dir().map_err(|error| format!("{:?}", error.kind()));
        let text = json!({
            "variables": variables.iter().map(|(name, value)| json!([name.as_deref().ok(), value.as_deref().ok()])).collect::<Vec<_>>(),
            "arguments": arguments.iter().map(|argument| argument.as_deref().ok()).collect::<Vec<_>>(),
            "current_directory": folder.map_or_else(|error| json!({ "err": error }), |folder| json!(folder)),
        });
        Ok(Output { text: text.to_string(), summary: format!("{} variables", variables.len()) })
    }
}

kit::export!(Env);
