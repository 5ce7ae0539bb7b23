//! Writes to stdout and stderr, which no tool has a use for, and reads stdin.

use std::io::{self, Read as _, Write};

use kit::{Failure, Output, Tool};
use serde::Deserialize;

/// One write.
const CHUNK_BYTES: usize = 4096;

struct Stdio;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    bytes: usize,
}

impl Tool for Stdio {
    const NAME: &'static str = "stdio";
    const DESCRIPTION: &'static str = "Writes `bytes` bytes to stdout and to stderr, and reads stdin to its end.";
    const SCHEMA: &'static str = r#"{"type":"object","properties":{"bytes":{"type":"integer","minimum":0}},"required":["bytes"],"additionalProperties":false}"#;
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let stdout = fill(&mut io::stdout(), b'o', arguments.bytes);
        let stderr = fill(&mut io::stderr(), b'e', arguments.bytes);
        let mut input = Vec::new();
        let stdin = outcome(io::stdin().read_to_end(&mut input).map(|_| ()));
        let text = format!("stdout {stdout}, stderr {stderr}, stdin {stdin} {} bytes", input.len());
        Ok(Output { summary: text.clone(), text })
    }
}

kit::export!(Stdio);

fn fill(stream: &mut impl Write, byte: u8, bytes: usize) -> String {
    let chunk = [byte; CHUNK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let size = left.min(CHUNK_BYTES);
        if let Err(error) = stream.write_all(&chunk[..size]) {
            return outcome(Err(error));
        }
        left -= size;
    }
    outcome(stream.flush())
}

fn outcome(result: io::Result<()>) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |()| "ok".into())
}
