//! Puts a reply together from the pieces that any wire sends.

use std::collections::HashMap;

use protocol::{
    Arguments, CallId, ModelFailure, ModelFailureKind, ModelReply, Part, StopReason, TokenUsage, ToolCall, parse,
};
use serde_json::json;

use crate::failure::failure;
use crate::limits::{MAX_PARTS, MAX_REPLY_BYTES};
use crate::model::{Delta, DeltaSink};

/// A reply under way.
pub(crate) struct Assembly<'a> {
    deltas: &'a mut dyn DeltaSink,
    parts: Vec<Draft>,
    /// Which part a call's further pieces belong to, by the number that the wire gives it. A map, because the number is
    /// the endpoint's choice: a huge one costs nothing here.
    calls: HashMap<u64, usize>,
    bytes: usize,
    usage: TokenUsage,
    stop: Option<StopReason>,
    ended: bool,
}

enum Draft {
    Text(String),
    Reasoning { text: String, signature: Option<String> },
    Call { wire_id: String, tool: String, arguments: String },
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(deltas: &'a mut dyn DeltaSink) -> Self {
        let usage = TokenUsage::default();
        Self { deltas, parts: Vec::new(), calls: HashMap::new(), bytes: 0, usage, stop: None, ended: false }
    }

    /// Takes the next piece of text.
    pub(crate) fn text(&mut self, piece: &str) -> Result<(), ModelFailure> {
        if piece.is_empty() {
            return Ok(());
        }
        self.count(piece)?;
        match self.parts.last_mut() {
            Some(Draft::Text(text)) => text.push_str(piece),
            _ => self.begin(Draft::Text(piece.to_owned()))?,
        }
        self.deltas.accept(Delta::Text(piece.to_owned()));
        Ok(())
    }

    /// Begins reasoning that has a signature of its own.
    pub(crate) fn begin_reasoning(&mut self) -> Result<(), ModelFailure> {
        self.begin(Draft::Reasoning { text: String::new(), signature: None })
    }

    /// Takes the next piece of reasoning; it belongs to the part before it until that is signed.
    pub(crate) fn reasoning(&mut self, piece: &str) -> Result<(), ModelFailure> {
        if piece.is_empty() {
            return Ok(());
        }
        self.count(piece)?;
        match self.parts.last_mut() {
            Some(Draft::Reasoning { text, signature: None }) => text.push_str(piece),
            _ => self.begin(Draft::Reasoning { text: piece.to_owned(), signature: None })?,
        }
        self.deltas.accept(Delta::Reasoning(piece.to_owned()));
        Ok(())
    }

    /// Signs the reasoning just taken; where there is none, the signature stands alone (the text was withheld).
    pub(crate) fn sign(&mut self, seal: String) -> Result<(), ModelFailure> {
        self.count(&seal)?;
        match self.parts.last_mut() {
            Some(Draft::Reasoning { signature: signature @ None, .. }) => *signature = Some(seal),
            _ => self.begin(Draft::Reasoning { text: String::new(), signature: Some(seal) })?,
        }
        Ok(())
    }

    /// Continues the signature of the reasoning just taken.
    pub(crate) fn extend_signature(&mut self, piece: &str, seal: fn(&str) -> String) -> Result<(), ModelFailure> {
        match self.parts.last_mut() {
            Some(Draft::Reasoning { signature: Some(signature), .. }) => {
                signature.push_str(piece);
                self.count(piece)
            }
            _ => self.sign(seal(piece)),
        }
    }

    /// Begins the call that the wire numbers `number`.
    pub(crate) fn call(&mut self, number: u64, wire_id: &str, tool: &str) -> Result<(), ModelFailure> {
        self.count(wire_id)?;
        self.count(tool)?;
        let at = self.parts.len();
        // A server without identifiers gets its own order back.
        let wire_id = if wire_id.is_empty() { format!("call_{at}") } else { wire_id.to_owned() };
        self.begin(Draft::Call { wire_id, tool: tool.to_owned(), arguments: String::new() })?;
        self.calls.insert(number, at);
        self.deltas.accept(Delta::ToolCall { name: tool.to_owned() });
        Ok(())
    }

    /// Returns the wire's own name of the call numbered `number`, if it began.
    pub(crate) fn call_id(&self, number: u64) -> Option<&str> {
        match self.parts.get(*self.calls.get(&number)?)? {
            Draft::Call { wire_id, .. } => Some(wire_id),
            _ => None,
        }
    }

    /// Takes the next piece of the arguments of the call numbered `number`.
    pub(crate) fn arguments(&mut self, number: u64, piece: &str) -> Result<(), ModelFailure> {
        self.count(piece)?;
        self.draft(number)?.push_str(piece);
        Ok(())
    }

    /// Takes the whole arguments, which some wires send after the pieces. They must be the same: two readings of one
    /// call are an attack or a defect.
    pub(crate) fn whole_arguments(&mut self, number: u64, whole: &str) -> Result<(), ModelFailure> {
        if self.draft(number)?.is_empty() {
            return self.arguments(number, whole);
        }
        let same = *self.draft(number)? == whole;
        same.then_some(()).ok_or_else(|| violation("a call's arguments differ from their own pieces"))
    }

    /// Takes what the provider says about tokens. Counts only grow while a stream runs, so the larger is the later one;
    /// some servers repeat a count in part.
    pub(crate) fn usage(&mut self, usage: TokenUsage) {
        self.usage = TokenUsage {
            input_tokens: usage.input_tokens.max(self.usage.input_tokens),
            output_tokens: usage.output_tokens.max(self.usage.output_tokens),
            cached_tokens: usage.cached_tokens.max(self.usage.cached_tokens),
            cache_write_tokens: usage.cache_write_tokens.max(self.usage.cache_write_tokens),
            reasoning_tokens: usage.reasoning_tokens.max(self.usage.reasoning_tokens),
        };
    }

    /// Takes the reason why the model stopped.
    pub(crate) fn stop(&mut self, stop: StopReason) {
        self.stop = Some(stop);
    }

    /// Takes the stream's terminator.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Returns whether the model said why it stopped.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// Returns whether a caller could act on what came.
    pub(crate) fn has_content(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Draft::Reasoning { .. }))
    }

    /// Returns the reply that ended properly.
    pub(crate) fn finish(self, call_ids: &dyn Fn() -> CallId) -> ModelReply {
        let calls = !self.calls.is_empty();
        let stop = match self.stop {
            // Several compatible servers say "stop" whatever the model wants.
            Some(StopReason::EndTurn) if calls => StopReason::ToolCalls,
            Some(stop) => stop,
            None => StopReason::Unknown,
        };
        let cut = matches!(stop, StopReason::MaxTokens | StopReason::ContentFilter);
        let arguments = |text: String| if cut && text.is_empty() { Arguments::Malformed(text) } else { read(text) };
        ModelReply { parts: finish(self.parts, call_ids, arguments), usage: self.usage, stop }
    }

    /// Returns the reply whose stream broke: none of its calls may run, because none is known to be whole. What it put
    /// out is unknown too: a count so far is less than what will be charged.
    pub(crate) fn finish_truncated(self, call_ids: &dyn Fn() -> CallId) -> ModelReply {
        let parts = finish(self.parts, call_ids, Arguments::Malformed);
        let usage = TokenUsage { output_tokens: None, reasoning_tokens: None, ..self.usage };
        ModelReply { parts, usage, stop: StopReason::Truncated }
    }

    fn begin(&mut self, draft: Draft) -> Result<(), ModelFailure> {
        if self.parts.len() == MAX_PARTS {
            return Err(violation(format!("the reply has more than {MAX_PARTS} parts")));
        }
        self.parts.push(draft);
        Ok(())
    }

    fn count(&mut self, piece: &str) -> Result<(), ModelFailure> {
        self.bytes += piece.len();
        let within = self.bytes <= MAX_REPLY_BYTES;
        within.then_some(()).ok_or_else(|| violation(format!("the reply is larger than {MAX_REPLY_BYTES} bytes")))
    }

    fn draft(&mut self, number: u64) -> Result<&mut String, ModelFailure> {
        let part = self.calls.get(&number).and_then(|at| self.parts.get_mut(*at));
        match part {
            Some(Draft::Call { arguments, .. }) => Ok(arguments),
            _ => Err(violation("arguments came for a call that never began")),
        }
    }
}

fn finish(drafts: Vec<Draft>, call_ids: &dyn Fn() -> CallId, arguments_of: impl Fn(String) -> Arguments) -> Vec<Part> {
    let part = |draft| match draft {
        Draft::Text(text) => Some(Part::Text { text }),
        Draft::Reasoning { text, signature: None } if text.is_empty() => None,
        Draft::Reasoning { text, signature } => Some(Part::Reasoning { text, signature }),
        Draft::Call { wire_id, tool, arguments } => {
            let arguments = arguments_of(arguments);
            Some(Part::ToolCall(ToolCall { call: call_ids(), wire_id, tool, arguments }))
        }
    };
    drafts.into_iter().filter_map(part).collect()
}

/// Returns the one reading of whole arguments. No text at all is how every wire writes a call without arguments.
fn read(text: String) -> Arguments {
    if text.trim().is_empty() {
        return Arguments::Json(json!({}));
    }
    parse(&text).map_or(Arguments::Malformed(text), Arguments::Json)
}

/// Returns the failure of a provider that breaks its own protocol or our limits.
pub(crate) fn violation(message: impl Into<String>) -> ModelFailure {
    failure(ModelFailureKind::Protocol, message)
}
