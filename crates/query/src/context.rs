//! How much of a model's context window a conversation takes, and what of it a summary can stand for.

use std::io::{self, Write};

use protocol::{Arguments, Message, Part, Role, ToolDefinition};
use serde_json::Value;
use workspace::Counted;

/// Bytes of a token, as texts in many languages and source code have them; only estimates rest on it.
const BYTES_OF_TOKEN: u64 = 4;

/// Parts of the window that a conversation may fill before its beginning is summarised.
const FULL_PERCENT: u64 = 80;

/// Parts of the window that stay as they are when the rest is summarised.
const KEPT_PERCENT: u64 = 20;

/// Parts of the window that a summary must stand for. It may itself have nearly as many, so that less is not worth a call.
const SUMMARISED_PERCENT: u64 = 30;

/// Characters of one tool result in what a summary is made of.
const RESULT_CHARS: usize = 4_000;

/// What goes before the conversation: the system prompt and the tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) system: String,
    pub(crate) tools: Vec<ToolDefinition>,
    bytes: u64,
}

impl Frame {
    /// Returns a frame, which may be `last` again: then its length is known.
    pub(crate) fn new(system: String, tools: Vec<ToolDefinition>, last: Option<&Self>) -> Self {
        let same = last.filter(|last| last.system == system && last.tools == tools);
        let bytes = same.map_or_else(|| frame_bytes(&system, &tools), |last| last.bytes);
        Self { system, tools, bytes }
    }
}

fn frame_bytes(system: &str, tools: &[ToolDefinition]) -> u64 {
    let tool = |tool: &ToolDefinition| {
        bytes(&tool.name) + bytes(&tool.description) + json_bytes(&tool.input_schema) + FRAME_BYTES
    };
    bytes(system) + tools.iter().map(tool).sum::<u64>() + FRAME_BYTES
}

/// What a model is sent, and how long a part of it was found to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    messages: &'a [Message],
    frame_bytes: u64,
    counted: Option<&'a Counted>,
    /// The frame may be another than the one that was counted.
    is_new_frame: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(frame: &Frame, messages: &'a [Message]) -> Self {
        Self { messages, frame_bytes: frame.bytes, counted: None, is_new_frame: true }
    }

    /// Returns the context of `model`, of which a part was counted: that holds for the same model only.
    pub(crate) fn counted(self, model: &str, counted: Option<&'a Counted>, is_new_frame: bool) -> Self {
        let holds = |counted: &&Counted| counted.model == model && counted.messages <= self.messages.len();
        Self { counted: counted.filter(holds), is_new_frame, ..self }
    }

    /// Returns a number of tokens that the context cannot have more of: a token has at least one byte. What the provider
    /// itself counted needs no guess.
    pub(crate) fn most_tokens(&self) -> u64 {
        let new_frame = if self.counted.is_some() && self.is_new_frame { self.frame_bytes } else { 0 };
        self.tokens(1).saturating_add(new_frame)
    }

    /// Returns how many tokens the context probably has.
    pub(crate) fn likely_tokens(&self) -> u64 {
        self.tokens(BYTES_OF_TOKEN)
    }

    fn tokens(&self, bytes_of_token: u64) -> u64 {
        let of = |messages: &[Message]| messages.iter().map(message_bytes).sum::<u64>().div_ceil(bytes_of_token);
        match self.counted {
            Some(counted) => counted.tokens.saturating_add(of(&self.messages[counted.messages..])),
            None => self.frame_bytes.div_ceil(bytes_of_token).saturating_add(of(self.messages)),
        }
    }

    /// Tells whether the conversation nears the end of a window of `window` tokens.
    pub(crate) fn is_nearly_full(&self, window: u64) -> bool {
        self.likely_tokens() > window / 100 * FULL_PERCENT
    }

    /// Returns how many messages at the end stay as they are when the others are summarised; `None` where there is
    /// nothing to summarise. A reply and its results stay together, and the last of both stay always.
    pub(crate) fn kept(&self, window: u64) -> Option<usize> {
        let room = window / 100 * KEPT_PERCENT;
        let mut from = self.messages.len();
        for at in (1..self.messages.len()).rev().filter(|at| self.messages[*at].role != Role::Tool) {
            let tokens = self.messages[at..].iter().map(message_bytes).sum::<u64>() / BYTES_OF_TOKEN;
            if tokens > room && from < self.messages.len() {
                break;
            }
            from = at;
        }
        let summarised = self.messages[..from].iter().map(message_bytes).sum::<u64>() / BYTES_OF_TOKEN;
        let worthwhile = from < self.messages.len() && summarised > window / 100 * SUMMARISED_PERCENT;
        worthwhile.then(|| self.messages.len() - from)
    }
}

/// Bytes that a wire puts around a message, a part or a tool.
const FRAME_BYTES: u64 = 32;

fn message_bytes(message: &Message) -> u64 {
    message.parts.iter().map(part_bytes).sum::<u64>() + FRAME_BYTES
}

fn part_bytes(part: &Part) -> u64 {
    FRAME_BYTES
        + match part {
            Part::Text { text } => bytes(text),
            Part::Reasoning { text, signature } => bytes(text) + signature.as_deref().map_or(0, bytes),
            Part::ToolCall(call) => bytes(&call.tool) + bytes(&call.wire_id) + arguments_bytes(&call.arguments),
            Part::ToolResult(result) => bytes(&result.text) + bytes(&result.wire_id),
        }
}

fn bytes(text: &str) -> u64 {
    text.len() as u64
}

/// Returns how long a value is as text, which is never made.
fn json_bytes(value: &Value) -> u64 {
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("a value can be written, and counting cannot fail");
    count.0
}

/// Counts what is written.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn arguments_bytes(arguments: &Arguments) -> u64 {
    match arguments {
        Arguments::Json(value) => json_bytes(value),
        Arguments::Malformed(text) => bytes(text),
    }
}

/// Returns `messages` as text that a summary is made of, at most `most` bytes: what is in the middle is left out first.
pub(crate) fn transcript(messages: &[Message], most: usize) -> String {
    let mut lines = Vec::new();
    for message in messages {
        for part in &message.parts {
            lines.push(line(message.role, part));
        }
    }
    without_middle(&lines.join("\n\n"), most)
}

fn line(role: Role, part: &Part) -> String {
    match part {
        Part::Text { text } if role == Role::User => format!("PERSON: {text}"),
        Part::Text { text } => format!("MODEL: {text}"),
        Part::Reasoning { text, .. } => format!("MODEL THINKS: {text}"),
        Part::ToolCall(call) => {
            let arguments = serde_json::to_string(&call.arguments).unwrap_or_default();
            format!("MODEL CALLS {}: {}", call.tool, without_middle(&arguments, RESULT_CHARS))
        }
        Part::ToolResult(result) => {
            let kind = if result.is_error { "ERROR" } else { "RESULT" };
            format!("{kind}: {}", without_middle(&result.text, RESULT_CHARS))
        }
    }
}

/// Returns `text`, without as much of its middle as it takes to have about `most` bytes.
fn without_middle(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let (head, tail) = (text.floor_char_boundary(most / 2), text.ceil_char_boundary(text.len() - most / 2));
    format!("{}\n[… {} bytes left out …]\n{}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::{CallId, ToolCall, ToolResult};

    fn call(number: u64) -> Message {
        let arguments = Arguments::Json(serde_json::json!({ "path": "a" }));
        let call = ToolCall { call: CallId::from_random(number), wire_id: "w".into(), tool: "read".into(), arguments };
        Message { role: Role::Assistant, parts: vec![Part::ToolCall(call)] }
    }

    fn result(number: u64, text: &str) -> Message {
        let result =
            ToolResult { call: CallId::from_random(number), wire_id: "w".into(), text: text.into(), is_error: false };
        Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] }
    }

    fn context<'a>(messages: &'a [Message], counted: Option<&'a Counted>) -> Context<'a> {
        let frame = Frame::new("s".into(), Vec::new(), None);
        Context::new(&frame, messages).counted("m", counted, false)
    }

    fn counted(model: &str) -> Counted {
        Counted { model: model.into(), messages: 2, tokens: 900 }
    }

    #[test]
    fn what_the_provider_counted_is_not_guessed() {
        let messages = [
            Message::said(Role::User, &"x".repeat(4_000)),
            Message::said(Role::Assistant, "y"),
            Message::said(Role::User, "z"),
        ];
        let guessed = context(&messages, None);
        assert!(guessed.most_tokens() > 4_000 && (1_000..1_200).contains(&guessed.likely_tokens()));
        let known = counted("m");
        let measured = context(&messages, Some(&known));
        assert!((901..1_000).contains(&measured.most_tokens()) && (901..920).contains(&measured.likely_tokens()));
        assert!(context(&messages[..1], Some(&known)).most_tokens() > 4_000, "it was counted after");
        assert!(context(&messages, Some(&counted("other"))).most_tokens() > 4_000, "its tokens are others");
    }

    #[test]
    fn a_frame_is_measured_again_when_it_is_another() {
        let schema = serde_json::json!({ "type": "object", "é\n": [1, 2.5, null] });
        assert_eq!(json_bytes(&schema), schema.to_string().len() as u64);
        let tool = ToolDefinition { name: "read".into(), description: "Reads.".into(), input_schema: schema };
        let first = Frame::new("s".into(), vec![tool.clone()], None);
        let same = Frame::new("s".into(), vec![tool.clone()], Some(&first));
        assert_eq!((&same, same.bytes), (&first, frame_bytes("s", std::slice::from_ref(&tool))));
        let longer = ToolDefinition { description: "Reads a file.".into(), ..tool };
        let other = Frame::new("s".into(), vec![longer.clone()], Some(&first));
        assert_eq!(other.bytes, frame_bytes("s", &[longer]));
        assert!(other.bytes > first.bytes);
    }

    #[test]
    fn a_window_is_nearly_full_before_it_is_full() {
        let messages = [Message::said(Role::User, &"x".repeat(3_400))];
        assert!(context(&messages, None).is_nearly_full(1_000));
        assert!(!context(&messages, None).is_nearly_full(1_200));
    }

    #[test]
    fn the_last_reply_stays_with_its_results_whatever_their_length() {
        let (task, page) = (Message::said(Role::User, "do"), "x".repeat(9_000));
        let messages = [task.clone(), call(1), result(1, &page), call(2), result(2, &page)];
        assert_eq!(context(&messages, None).kept(1_000), Some(2));
        assert_eq!(context(&messages[..1], None).kept(10), None);
    }

    #[test]
    fn what_is_too_little_is_not_summarised() {
        let (task, page) = (Message::said(Role::User, "do"), "x".repeat(9_000));
        let messages = [task, call(1), result(1, "a"), call(2), result(2, &page)];
        assert_eq!(context(&messages, None).kept(1_000), None);
    }

    #[test]
    fn a_transcript_leaves_out_the_middle_and_says_so() {
        let messages =
            [Message::said(Role::User, "begin"), result(1, &"é".repeat(9_000)), Message::said(Role::Assistant, "end")];
        let whole = transcript(&messages, 100_000);
        assert!(whole.starts_with("PERSON: begin") && whole.ends_with("MODEL: end") && whole.contains("left out"));
        assert!(whole.len() < 5_000);
        assert!(transcript(&messages, 100).len() < 200);
    }

    proptest! {
        /// What is kept begins with a person's or a model's message, so no result loses its call.
        #[test]
        fn pairs_are_never_split(sizes in prop::collection::vec((0_usize..3, 0_usize..3_000), 1..20), window in 1_u64..4_000) {
            let mut messages = vec![Message::said(Role::User, "task")];
            for (number, (kind, size)) in (0..).zip(sizes) {
                match kind {
                    0 => messages.push(Message::said(Role::User, &"u".repeat(size))),
                    1 => messages.push(Message::said(Role::Assistant, &"a".repeat(size))),
                    _ => messages.extend([call(number), result(number, &"r".repeat(size))]),
                }
            }
            if let Some(kept) = context(&messages, None).kept(window) {
                prop_assert!(kept >= 1 && kept < messages.len());
                prop_assert_ne!(messages[messages.len() - kept].role, Role::Tool);
            }
        }
    }
}
