//! What the tests stand on.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use policy::Budget;
use protocol::{
    Arguments, CallId, EventBody, Message, ModelFailure, ModelFailureKind, ModelReply, Part, Purpose, Spending,
    StopReason, TokenUsage, ToolCall, TurnId,
};
use providers::{Delta, DeltaSink, Model, ModelRequest, Price, ScriptedModel};
use query::{Driver, Planner, TurnLimits, Turned};
use serde_json::{Value, json};
use testkit::{Runtime, random};
use tokio_util::sync::CancellationToken;
use tools::ToolSession;

pub(crate) fn runtime() -> Runtime {
    Runtime::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
}

pub(crate) fn scripted(script: &str) -> Arc<dyn Model> {
    let call_ids = Arc::new(|| CallId::from_random(random()));
    Arc::new(ScriptedModel::parse(script, call_ids).unwrap())
}

pub(crate) fn planner(model: Arc<dyn Model>) -> Planner {
    Planner { model, price: Price::free(), context_window: None, max_output_tokens: None }
}

/// Returns a driver with room for anything a test does not care about.
pub(crate) fn driver<'a>(runtime: &'a Runtime, session: &'a ToolSession, model: Arc<dyn Model>) -> Driver<'a> {
    Driver {
        planner: planner(model),
        fallback: None,
        tools: &runtime.tools,
        workspace: &runtime.workspace,
        session,
        limits: TurnLimits { model_calls: 9, recoveries: 3, retries: 2, repeats: 5 },
        budget: Budget::default(),
        backoff: Duration::from_millis(1),
        random,
        cancel: CancellationToken::new(),
    }
}

/// Drives a whole turn, after what the session had.
pub(crate) async fn work(driver: &Driver<'_>, text: &str) -> Turned {
    let view = driver.workspace.view(driver.session.id()).unwrap();
    driver.run(TurnId::from_random(random()), text, view, &mut |_: Delta| {}).await.unwrap()
}

pub(crate) fn called(turn: &TurnId, number: u32, reserved: Spending) -> EventBody {
    let (turn, model) = (turn.clone(), "script".to_owned());
    EventBody::ModelCalled { turn, number, model, purpose: Purpose::Reply, reserved }
}

/// Returns the bodies of all events of the session.
pub(crate) fn events(runtime: &Runtime, session: &ToolSession) -> Vec<EventBody> {
    let events = runtime.workspace.journal().events(session.id()).unwrap();
    events.into_iter().map(|event| event.body).collect()
}

/// What a model was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) system: String,
    pub(crate) messages: Vec<Message>,
    pub(crate) max_output_tokens: u32,
}

type Answer = Box<dyn FnMut(usize, &Sent) -> Result<ModelReply, ModelFailure> + Send>;

/// A model that answers by a function of how often it was asked and of what it was sent, and remembers that.
pub(crate) struct Answering {
    name: &'static str,
    answer: Mutex<Answer>,
    pub(crate) sent: Mutex<Vec<Sent>>,
}

impl Answering {
    pub(crate) fn new(
        answer: impl FnMut(usize, &Sent) -> Result<ModelReply, ModelFailure> + Send + 'static,
    ) -> Arc<Self> {
        Self::named("test/model", answer)
    }

    pub(crate) fn named(
        name: &'static str,
        answer: impl FnMut(usize, &Sent) -> Result<ModelReply, ModelFailure> + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { name, answer: Mutex::new(Box::new(answer)), sent: Mutex::default() })
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl Model for Answering {
    fn name(&self) -> &str {
        self.name
    }

    async fn reply(&self, request: ModelRequest<'_>, _: &mut dyn DeltaSink) -> Result<ModelReply, ModelFailure> {
        let ModelRequest { system, messages, max_output_tokens, .. } = request;
        let sent = Sent { system: system.to_owned(), messages: messages.to_vec(), max_output_tokens };
        let mut all = self.sent.lock().unwrap();
        all.push(sent.clone());
        (self.answer.lock().unwrap())(all.len(), &sent)
    }
}

pub(crate) fn usage(input_tokens: u64, output_tokens: u64) -> TokenUsage {
    TokenUsage { input_tokens: Some(input_tokens), output_tokens: Some(output_tokens), ..TokenUsage::default() }
}

pub(crate) fn text(text: &str) -> ModelReply {
    let parts = vec![Part::Text { text: text.into() }];
    ModelReply { parts, usage: usage(1_000, 10), stop: StopReason::EndTurn }
}

pub(crate) fn calling(tool: &str, arguments: Value) -> ModelReply {
    let arguments = Arguments::Json(arguments);
    let call = ToolCall { call: CallId::from_random(random()), wire_id: "w".into(), tool: tool.into(), arguments };
    ModelReply { parts: vec![Part::ToolCall(call)], usage: usage(1_000, 10), stop: StopReason::ToolCalls }
}

/// A call that brings something new each time.
pub(crate) fn writing(number: usize) -> ModelReply {
    calling("write", json!({ "path": format!("{number}.txt"), "content": "x" }))
}

pub(crate) fn stopping(reply: ModelReply, stop: StopReason) -> ModelReply {
    ModelReply { stop, ..reply }
}

pub(crate) fn failing(kind: ModelFailureKind) -> ModelFailure {
    ModelFailure { kind, message: "no".into(), retry_after_ms: None, begun: false }
}
