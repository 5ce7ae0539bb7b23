//! Calls wasi:sockets step by step as it is told to, or at random, with no library's caution in the way.

#[cfg(target_arch = "wasm32")]
mod random;
#[cfg(target_arch = "wasm32")]
mod run;
#[cfg(target_arch = "wasm32")]
mod tcp;
#[cfg(target_arch = "wasm32")]
mod udp;

use std::net::SocketAddr;

use kit::{Failure, Output, Tool};
use serde::Deserialize;

struct Sockets;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    steps: Vec<Step>,
}

/// What kind of socket: `tcp4`, and so on.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
}

/// One step. `socket` counts those that were opened, from 0.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "only the component has sockets"))]
enum Step {
    Lookup {
        name: String,
    },
    Open {
        kind: Kind,
    },
    /// Opens many, and keeps them.
    Hoard {
        kind: Kind,
        count: usize,
    },
    Bind {
        socket: usize,
        to: SocketAddr,
    },
    Connect {
        socket: usize,
        to: SocketAddr,
    },
    Listen {
        socket: usize,
    },
    Accept {
        socket: usize,
    },
    Write {
        socket: usize,
        text: String,
    },
    /// Writes as long as it is let.
    Pour {
        socket: usize,
        bytes: usize,
    },
    Shutdown {
        socket: usize,
    },
    /// Reads until so many bytes came, or no more do.
    Read {
        socket: usize,
        bytes: usize,
    },
    Stream {
        socket: usize,
        to: Option<SocketAddr>,
        /// Keeps the streams of the last time open meanwhile.
        #[serde(default)]
        keeps: bool,
    },
    /// Sends one datagram to each; to nobody named where there is none.
    Send {
        socket: usize,
        to: Vec<SocketAddr>,
        text: String,
    },
    /// Receives until so many bytes came, or none for a while.
    Receive {
        socket: usize,
        bytes: usize,
        within_ms: u64,
    },
    Addresses {
        socket: usize,
    },
    Options {
        socket: usize,
    },
    Drop {
        socket: usize,
    },
    Random {
        seed: u64,
        calls: u32,
        addresses: Vec<SocketAddr>,
        names: Vec<String>,
    },
}

impl Tool for Sockets {
    const NAME: &'static str = "sockets";
    const DESCRIPTION: &'static str = "Uses sockets as it is told; returns a JSON list of what came of each step.";
    const SCHEMA: &'static str = r#"{"type":"object"}"#;
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        #[cfg(target_arch = "wasm32")]
        let text = serde_json::to_string(&run::run(&arguments.steps)).expect("a list of texts");
        #[cfg(not(target_arch = "wasm32"))]
        let text = serde_json::to_string(&arguments.steps.len()).expect("a number");
        Ok(Output { text, summary: "done".into() })
    }
}

kit::export!(Sockets);
