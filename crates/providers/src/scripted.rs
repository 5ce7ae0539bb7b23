//! A model that reads its replies from a file: for demonstrations, tests and benches. A person may write one by hand.
//!
//! ```toml
//! [[reply]]
//! text = "I look first."
//! [[reply.call]]
//! tool = "read"
//! arguments = { path = "README.md" }
//!
//! [[reply]]
//! expect = "Quick start"      # the last message must say this
//! text = "Done."
//!
//! [model]                     # may be left out: it costs nothing
//! input_usd_per_mtok = 1
//! output_usd_per_mtok = 10
//! ```

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use protocol::{
    Arguments, Message, ModelFailure, ModelFailureKind, ModelReply, Part, Role, StopReason, TokenUsage, ToolCall,
};
use serde::Deserialize;
use serde_json::Value;

use crate::assembly::violation;
use crate::facts::ModelFacts;
use crate::failure::failure;
use crate::model::{CallIds, Delta, DeltaSink, Model, ModelRequest};
use crate::price::Price;

/// A script that cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("the script cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("reply {number}: {problem}")]
    Reply {
        /// Counted from 1, as they stand in the file.
        number: usize,
        problem: &'static str,
    },
}

/// One entry of a script: a reply, or a failure in its place.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedReply {
    /// What one part of the last message must contain; anything else is a failure that says so.
    pub expect: Option<String>,
    pub reasoning: Option<String>,
    pub text: Option<String>,
    #[serde(rename = "call")]
    pub calls: Vec<ScriptedCall>,
    pub usage: TokenUsage,
    /// When absent: `tool_calls` with calls, else `end_turn`.
    pub stop: Option<StopReason>,
    /// How long the reply takes, in milliseconds.
    pub delay_ms: u64,
    /// The model fails in this way, once for each process, before the next entry answers the same request.
    pub failure: Option<ModelFailure>,
    /// The last entry only: it answers every further request too.
    pub repeat: bool,
}

/// One proposed call; exactly one of the two forms of arguments.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedCall {
    pub tool: String,
    pub arguments: Option<Value>,
    /// Arguments as a broken model would write them.
    pub malformed: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    reply: Vec<ScriptedReply>,
    /// What there is to know of the model that the script stands in for.
    #[serde(default)]
    model: ModelFacts,
}

/// A deterministic model. Which entry answers follows from the request alone (how often the assistant has spoken in
/// it), so that a resumed conversation goes on where it stopped.
pub struct ScriptedModel {
    replies: Vec<Step>,
    facts: ModelFacts,
    call_ids: CallIds,
}

/// One reply and the failures that come before it.
struct Step {
    failures: Mutex<Vec<ModelFailure>>,
    reply: Option<ScriptedReply>,
}

impl ScriptedModel {
    /// Returns the model that plays the TOML script `text`.
    ///
    /// # Errors
    /// [`ScriptError::Syntax`], or [`ScriptError::Reply`] for an entry that makes no sense.
    pub fn parse(text: &str, call_ids: CallIds) -> Result<Self, ScriptError> {
        let Script { reply, model } = toml::from_str(text)?;
        let played = Self::from_replies(reply, call_ids)?;
        let price = model.price.or(played.facts.price);
        Ok(Self { facts: ModelFacts { price, ..model }, ..played })
    }

    /// Returns what the script says of its model, which is free where nothing is said of its price.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Returns the model that gives `replies`, in order.
    ///
    /// # Errors
    /// [`ScriptError::Reply`] for an entry that makes no sense.
    pub fn from_replies(replies: Vec<ScriptedReply>, call_ids: CallIds) -> Result<Self, ScriptError> {
        let last = replies.len();
        for (number, reply) in (1..).zip(&replies) {
            check(reply, number == last).map_err(|problem| ScriptError::Reply { number, problem })?;
        }
        let facts = ModelFacts { price: Some(Price::free()), ..ModelFacts::default() };
        Ok(Self { replies: steps(replies), facts, call_ids })
    }

    fn step(&self, spoken: usize) -> Option<&Step> {
        let repeats = |step: &&Step| step.reply.as_ref().is_some_and(|reply| reply.repeat);
        self.replies.get(spoken).or_else(|| self.replies.last().filter(repeats))
    }

    fn render(&self, scripted: &ScriptedReply, spoken: usize) -> ModelReply {
        let reasoning = scripted.reasoning.clone().map(|text| Part::Reasoning { text, signature: None });
        let text = scripted.text.clone().map(|text| Part::Text { text });
        let call = |(at, call): (usize, &ScriptedCall)| {
            Part::ToolCall(ToolCall {
                call: (self.call_ids)(),
                wire_id: format!("script_{spoken}_{at}"),
                tool: call.tool.clone(),
                arguments: call.arguments(),
            })
        };
        let calls = scripted.calls.iter().enumerate().map(call);
        let usual = if scripted.calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolCalls };
        ModelReply {
            parts: reasoning.into_iter().chain(text).chain(calls).collect(),
            usage: scripted.usage,
            stop: scripted.stop.clone().unwrap_or(usual),
        }
    }
}

impl ScriptedCall {
    fn arguments(&self) -> Arguments {
        let json = |value: &Value| Arguments::Json(value.clone());
        let malformed = || Arguments::Malformed(self.malformed.clone().unwrap_or_default());
        self.arguments.as_ref().map_or_else(malformed, json)
    }
}

#[async_trait]
impl Model for ScriptedModel {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn reply(&self, request: ModelRequest<'_>, deltas: &mut dyn DeltaSink) -> Result<ModelReply, ModelFailure> {
        let spoken = request.messages.iter().filter(|message| message.role == Role::Assistant).count();
        let ended = || failure(ModelFailureKind::ScriptEnded, format!("the script has no reply number {}", spoken + 1));
        let step = self.step(spoken).ok_or_else(ended)?;
        if let Some(failure) = step.failures.lock().expect("no holder panics").pop() {
            return Err(failure);
        }
        let scripted = step.reply.as_ref().ok_or_else(ended)?;
        expect(scripted.expect.as_deref(), request.messages.last())?;
        // A sleep of nothing still waits for the timer's next millisecond.
        if scripted.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(scripted.delay_ms)).await;
        }
        let reply = self.render(scripted, spoken);
        for delta in reply.parts.iter().filter_map(delta) {
            deltas.accept(delta);
        }
        Ok(reply)
    }
}

fn check(reply: &ScriptedReply, is_last: bool) -> Result<(), &'static str> {
    let one_form = |call: &ScriptedCall| call.arguments.is_some() != call.malformed.is_some();
    if reply.repeat && !is_last {
        return Err("only the last reply can repeat");
    }
    if reply.failure.is_some() && *reply != (ScriptedReply { failure: reply.failure.clone(), ..Default::default() }) {
        return Err("a failure stands alone");
    }
    if !reply.calls.iter().all(one_form) {
        return Err("a call has either `arguments` or `malformed`");
    }
    Ok(())
}

/// Groups failures with the reply that follows them.
fn steps(replies: Vec<ScriptedReply>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut failures = Vec::new();
    for mut reply in replies {
        match reply.failure.take() {
            Some(failure) => failures.insert(0, failure),
            None => steps.push(Step { failures: Mutex::new(std::mem::take(&mut failures)), reply: Some(reply) }),
        }
    }
    if !failures.is_empty() {
        steps.push(Step { failures: Mutex::new(failures), reply: None });
    }
    steps
}

fn expect(expected: Option<&str>, last: Option<&Message>) -> Result<(), ModelFailure> {
    let Some(expected) = expected else { return Ok(()) };
    let said: Vec<&str> = last.iter().flat_map(|message| &message.parts).filter_map(text_of).collect();
    let met = said.iter().any(|text| text.contains(expected));
    let told = || format!("the script expects a message with `{expected}`, but the last one says: {}", said.join("\n"));
    met.then_some(()).ok_or_else(|| violation(told()))
}

fn text_of(part: &Part) -> Option<&str> {
    match part {
        Part::Text { text } => Some(text),
        Part::ToolResult(result) => Some(&result.text),
        Part::Reasoning { .. } | Part::ToolCall(_) => None,
    }
}

fn delta(part: &Part) -> Option<Delta> {
    match part {
        Part::Text { text } => Some(Delta::Text(text.clone())),
        Part::Reasoning { text, .. } => Some(Delta::Reasoning(text.clone())),
        Part::ToolCall(call) => Some(Delta::ToolCall { name: call.tool.clone() }),
        Part::ToolResult(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::{CallId, ToolResult};
    use serde_json::json;

    use super::*;
    use crate::price::Reserved;

    const SCRIPT: &str = r#"
        [[reply]]
        reasoning = "Hm."
        text = "I look."
        usage = { input_tokens = 10, output_tokens = 3 }
        [[reply.call]]
        tool = "read"
        arguments = { path = "README.md", lines = [1, 2] }
        [[reply.call]]
        tool = "read"
        malformed = '{"path": '

        [[reply]]
        failure = { kind = "rate_limited", message = "slow down", retry_after_ms = 20 }

        [[reply]]
        expect = "Quick start"
        text = "Done."
        delay_ms = 60_000
    "#;

    fn script(text: &str) -> Result<ScriptedModel, ScriptError> {
        ScriptedModel::parse(text, Arc::new(|| CallId::from_random(7)))
    }

    async fn ask(model: &ScriptedModel, messages: &[Message]) -> Result<ModelReply, ModelFailure> {
        let request = ModelRequest { system: "", messages, tools: &[], max_output_tokens: 1 };
        model.reply(request, &mut |_| {}).await
    }

    fn said(role: Role, parts: Vec<Part>) -> Message {
        Message { role, parts }
    }

    fn result(text: &str) -> Message {
        let call = CallId::from_random(7);
        let result = ToolResult { call, wire_id: "x".into(), text: text.into(), is_error: false };
        said(Role::Tool, vec![Part::ToolResult(result)])
    }

    fn first_reply() -> ModelReply {
        let call = |wire_id: &str, arguments| {
            let call = CallId::from_random(7);
            Part::ToolCall(ToolCall { call, wire_id: wire_id.into(), tool: "read".into(), arguments })
        };
        let parts = vec![
            Part::Reasoning { text: "Hm.".into(), signature: None },
            Part::Text { text: "I look.".into() },
            call("script_0_0", Arguments::Json(json!({ "path": "README.md", "lines": [1, 2] }))),
            call("script_0_1", Arguments::Malformed("{\"path\": ".into())),
        ];
        let usage = TokenUsage { input_tokens: Some(10), output_tokens: Some(3), ..TokenUsage::default() };
        ModelReply { parts, usage, stop: StopReason::ToolCalls }
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_plays_in_order() {
        let model = script(SCRIPT).unwrap();
        let mut messages = vec![said(Role::User, vec![])];
        assert_eq!(ask(&model, &messages).await.unwrap(), first_reply());
        messages.push(said(Role::Assistant, first_reply().parts));
        messages.push(result("# Quick start"));
        let failure = ModelFailure { retry_after_ms: Some(20), ..failure(ModelFailureKind::RateLimited, "slow down") };
        assert_eq!(ask(&model, &messages).await, Err(failure));
        let started = tokio::time::Instant::now();
        assert_eq!(ask(&model, &messages).await.unwrap().text(), "Done.");
        assert_eq!(started.elapsed(), Duration::from_mins(1));
        messages.push(said(Role::Assistant, vec![]));
        let ended = ask(&model, &messages).await.unwrap_err();
        assert_eq!(
            (ended.kind, ended.message.as_str()),
            (ModelFailureKind::ScriptEnded, "the script has no reply number 3")
        );
    }

    #[tokio::test]
    async fn another_process_goes_on_at_the_same_place() {
        let (first, second) = ("[[reply]]\ntext = \"one\"\n", "[[reply]]\ntext = \"two\"\n");
        let messages = [said(Role::User, vec![]), said(Role::Assistant, vec![]), said(Role::User, vec![])];
        let resumed = script(&format!("{first}{second}")).unwrap();
        assert_eq!(ask(&resumed, &messages).await.unwrap().text(), "two");
        assert_eq!(ask(&resumed, &messages[..1]).await.unwrap().text(), "one");
    }

    #[tokio::test]
    async fn an_unmet_expectation_says_what_was_there() {
        let model = script("[[reply]]\nexpect = \"yes\"").unwrap();
        let failure = ask(&model, &[result("yes"), result("no")]).await.unwrap_err();
        let message = "the script expects a message with `yes`, but the last one says: no";
        assert_eq!((failure.kind, failure.message.as_str()), (ModelFailureKind::Protocol, message));
    }

    #[tokio::test]
    async fn the_last_reply_can_repeat() {
        let model = script("[[reply]]\ntext = \"one\"\n[[reply]]\ntext = \"again\"\nrepeat = true").unwrap();
        let many = vec![said(Role::Assistant, vec![]); 1000];
        assert_eq!(ask(&model, &many).await.unwrap().text(), "again");
        assert_eq!(ask(&model, &many[..1]).await.unwrap().text(), "again");
    }

    #[test]
    fn a_script_costs_nothing_unless_it_says_so() {
        let price = |text: &str| script(text).unwrap().facts().price.clone().unwrap();
        assert_eq!(price("[[reply]]"), Price::free());
        let of = Reserved { input_tokens: 1_000_000, output_tokens: 100_000 };
        let priced = price("[[reply]]\n[model]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 10");
        assert_eq!(priced.worst_cost(of).get(), 2_000_000);
        assert!(script("[[reply]]\n[model]\ninput_usd_per_mtok = 1").is_err(), "half a price is none");
    }

    #[test]
    fn scripts_that_make_no_sense_are_refused() {
        let told = |text: &str| script(text).err().unwrap().to_string();
        assert_eq!(told("[[reply]]\nrepeat = true\n[[reply]]"), "reply 1: only the last reply can repeat");
        let failure = "failure = { kind = \"timeout\", message = \"m\" }";
        assert_eq!(told(&format!("[[reply]]\ntext = \"x\"\n{failure}")), "reply 1: a failure stands alone");
        let both = "[[reply]]\n[[reply.call]]\ntool = \"read\"\narguments = {}\nmalformed = \"x\"";
        assert_eq!(told(both), "reply 1: a call has either `arguments` or `malformed`");
        assert!(told("[[reply]]\ntxet = \"x\"").contains("unknown field `txet`"));
    }
}
