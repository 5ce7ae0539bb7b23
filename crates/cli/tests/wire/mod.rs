//! A model provider on loopback that speaks two wire formats and follows a script: one step for each request.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

/// One reply of the pretended model.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Call(&'static str, Value),
    Say(&'static str),
    /// Takes the request and never answers.
    Hang,
    /// An HTTP error.
    Fail(u16),
    /// Does something in the world, then answers.
    After(Deed, Box<Step>),
}

/// What happens outside while the model thinks.
#[derive(Clone)]
pub(crate) struct Deed(Arc<dyn Fn() + Send + Sync>);

impl Deed {
    pub(crate) fn new(deed: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(deed))
    }
}

impl std::fmt::Debug for Deed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Deed")
    }
}

/// A running server. It stops when it is dropped.
pub(crate) struct Wire {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Value>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Serves `steps`, chosen by how many replies the request already holds.
    pub(crate) fn serve(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (requests.clone(), stop.clone());
        let accept = move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (steps, seen) = (steps.clone(), seen.clone());
                std::thread::spawn(move || answer(stream.unwrap(), &steps, &seen));
            }
        };
        Self { address, requests, stop, thread: Some(std::thread::spawn(accept)) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the bodies that came, in order.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until `count` requests came.
    pub(crate) fn wait_for(&self, count: usize) {
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while self.requests.lock().unwrap().len() < count {
            assert!(std::time::Instant::now() < deadline, "no {count} requests within a minute");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn answer(stream: TcpStream, steps: &[Step], seen: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some((path, body)) = request(&mut reader) else { return };
    let replies =
        body["messages"].as_array().map_or(0, |messages| messages.iter().filter(|m| m["role"] == "assistant").count());
    seen.lock().unwrap().push(body);
    let step = match steps.get(replies).cloned().unwrap_or(Step::Say("Done.")) {
        Step::After(Deed(deed), step) => {
            deed();
            *step
        }
        step => step,
    };
    let anthropic = path.ends_with("/messages");
    let mut stream = stream;
    let written = match step {
        Step::Fail(status) => write!(
            stream,
            "HTTP/1.1 {status} Error\r\ncontent-type: application/json\r\nretry-after: 7\r\nconnection: close\r\ncontent-length: 27\r\n\r\n{{\"error\":{{\"message\":\"no\"}}}}"
        ),
        Step::Hang => {
            // Until the other side gives up.
            let _ = stream.read(&mut [0; 1]);
            Ok(())
        }
        step => {
            let events = if anthropic { anthropic_events(&step, replies) } else { openai_events(&step, replies) };
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{}",
                events.concat()
            )
        }
    };
    // The other side may be gone: a killed client is part of the tests.
    let _ = written;
}

fn request(reader: &mut impl std::io::BufRead) -> Option<(String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).ok()?))
}

fn openai_events(step: &Step, number: usize) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!(
            "data: {}\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
        )
    };
    let (mut events, finish) = match step {
        Step::Call(tool, arguments) => {
            let text = arguments.to_string();
            let (head, tail) = text.split_at(text.len() / 2);
            let id = format!("call_{number}");
            let first =
                json!({"index": 0, "id": id, "type": "function", "function": {"name": tool, "arguments": head}});
            let rest = json!({"index": 0, "function": {"arguments": tail}});
            let call = |call: Value| chunk(json!({"tool_calls": [call]}), Value::Null);
            (
                vec![chunk(json!({"role": "assistant", "content": null}), Value::Null), call(first), call(rest)],
                "tool_calls",
            )
        }
        Step::Say(text) => (vec![chunk(json!({"role": "assistant", "content": text}), Value::Null)], "stop"),
        Step::Hang | Step::Fail(_) | Step::After(..) => unreachable!("answered elsewhere"),
    };
    events.push(chunk(json!({}), json!(finish)));
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120});
    events.push(format!(
        "data: {}\n\n",
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage})
    ));
    events.push("data: [DONE]\n\n".into());
    events
}

fn anthropic_events(step: &Step, number: usize) -> Vec<String> {
    let event = |body: Value| format!("event: {}\ndata: {body}\n\n", body["type"].as_str().unwrap());
    let (block, deltas, reason) = match step {
        Step::Call(tool, arguments) => {
            let text = arguments.to_string();
            let (head, tail) = text.split_at(text.len() / 2);
            let delta = |part: &str| json!({"type": "input_json_delta", "partial_json": part});
            let block = json!({"type": "tool_use", "id": format!("toolu_{number}"), "name": tool, "input": {}});
            (block, vec![delta(head), delta(tail)], "tool_use")
        }
        Step::Say(text) => {
            (json!({"type": "text", "text": ""}), vec![json!({"type": "text_delta", "text": text})], "end_turn")
        }
        Step::Hang | Step::Fail(_) | Step::After(..) => unreachable!("answered elsewhere"),
    };
    let message = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null,
        "usage": {"input_tokens": 100, "output_tokens": 1}});
    let mut events = vec![event(json!({"type": "message_start", "message": message}))];
    events.push(event(json!({"type": "content_block_start", "index": 0, "content_block": block})));
    for delta in deltas {
        events.push(event(json!({"type": "content_block_delta", "index": 0, "delta": delta})));
    }
    events.push(event(json!({"type": "content_block_stop", "index": 0})));
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    events.push(event(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20}})));
    events.push(event(json!({"type": "message_stop"})));
    events
}
