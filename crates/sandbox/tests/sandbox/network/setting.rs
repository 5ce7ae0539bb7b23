//! A sandbox with a resolver of the test's own, and calls that may use the network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use policy::{
    CallRequest, Decision, Grant, GrantSpec, Judge, Limits, NetworkRules, NetworkScope, Principal, RuleSpec,
    SecretScope, SecretSpec, ToolScope,
};
use protocol::{CallId, EventBody, Level, Verdict};
use sandbox::{Call, LoadedTool, Network, NotRecorded, Outcome, Resolver, Sandbox, SandboxOptions, Secrets, Tls};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::setting::{Unrecorded, ceiling, wasm};

/// Names and, for each lookup in turn, their addresses; the last answer stays.
#[derive(Default)]
pub(crate) struct Names {
    answers: Mutex<BTreeMap<String, Vec<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn set(&self, name: &str, answers: &[&[&str]]) {
        let parse = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.answers.lock().unwrap().insert(name.to_owned(), answers.iter().map(parse).collect());
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let Some(answers) = answers.get_mut(name) else { return Err(std::io::ErrorKind::NotFound.into()) };
        Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    }
}

/// Compiled once for all tests of the network.
static CACHE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// One test's sandbox, names and rules.
pub(crate) struct Net {
    pub(crate) names: Arc<Names>,
    pub(crate) limits: Limits,
    pub(crate) cancel: CancellationToken,
    pub(crate) events: Arc<Mutex<Vec<EventBody>>>,
    sandbox: Sandbox,
    scope: NetworkScope,
    rules: NetworkRules,
    /// Every secret of the workspace, and those that the call is granted.
    secrets: Arc<Secrets>,
    held: SecretScope,
    is_recording: bool,
}

impl Net {
    /// Returns a network in which `allowed` targets may be reached, `private` ones of them at any address.
    pub(crate) fn new(allowed: &[&str], private: &[&str]) -> Self {
        Self::trusting(allowed, private, Tls::new(Vec::new()).unwrap())
    }

    pub(crate) fn trusting(allowed: &[&str], private: &[&str], tls: Tls) -> Self {
        let names = Arc::new(Names::default());
        let sandbox = Sandbox::new(SandboxOptions {
            artifact_cache: CACHE.path().join("cache"),
            max_concurrent: 2,
            ceiling: ceiling(),
            resolver: names.clone(),
            tls,
        });
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<BTreeSet<_>>();
        let allow_private = patterns(private).into_iter().collect();
        Self {
            names,
            limits: ceiling(),
            cancel: CancellationToken::new(),
            events: Arc::default(),
            sandbox: sandbox.unwrap(),
            scope: NetworkScope::of(patterns(allowed)),
            rules: NetworkRules { allow_private, ..NetworkRules::default() },
            secrets: Arc::new(Secrets::none()),
            held: SecretScope::All,
            is_recording: true,
        }
    }

    pub(crate) fn with_rules(self, rules: NetworkRules) -> Self {
        Self { rules, ..self }
    }

    /// Returns this network with these secrets and their values.
    pub(crate) fn with_secrets(self, secrets: Vec<(SecretSpec, &str)>) -> Self {
        let secrets = secrets.into_iter().map(|(spec, value)| (spec, value.into()));
        Self { secrets: Arc::new(Secrets::new(secrets).unwrap()), ..self }
    }

    /// Returns this network with a call that is granted these secrets only.
    pub(crate) fn holding(self, names: &[&str]) -> Self {
        let held = SecretScope::Only(names.iter().map(|name| name.parse().unwrap()).collect());
        Self { held, ..self }
    }

    /// Returns this network with a journal that takes nothing.
    pub(crate) fn without_a_journal(self) -> Self {
        Self { is_recording: false, ..self }
    }

    pub(crate) fn load(&self, name: &str) -> LoadedTool {
        self.sandbox.load(wasm(name)).unwrap()
    }

    pub(crate) async fn run(&self, name: &str, arguments: Value) -> Outcome {
        self.run_with(name, arguments, true).await
    }

    /// Runs `name`, which brings along what judges its connections only if it `asks` for them.
    #[expect(clippy::disallowed_methods, reason = "a test boots its own sandbox")]
    pub(crate) async fn run_with(&self, name: &str, arguments: Value, asks: bool) -> Outcome {
        let grant = Grant::root(GrantSpec {
            files: BTreeMap::new(),
            tools: ToolScope::All,
            network: self.scope.clone(),
            secrets: self.held.clone(),
        });
        let request = CallRequest {
            call: CallId::from_random(1),
            principal: Principal::User,
            tool: name.to_owned(),
            level: Level::Execute,
            arguments: arguments.clone(),
            effects: [].into(),
            grant: grant.clone(),
            limits: self.limits,
            basis: None,
        };
        let judge = Judge::new(vec![allow_all()]).unwrap().with_network(self.rules.clone());
        let egress = judge.egress(name, Level::Execute, &grant, &BTreeSet::new());
        let Ok(Decision::Allow(permit)) = judge.judge_call(request).record(&Unrecorded) else { panic!("allowed") };
        let (events, is_recording) = (self.events.clone(), self.is_recording);
        let record = move |event| {
            if !is_recording {
                return Err(NotRecorded("the disk is full".into()));
            }
            events.lock().unwrap().push(event);
            Ok(())
        };
        let network = asks.then(|| Network { egress, record: Arc::new(record), secrets: self.secrets.clone() });
        let call = Call {
            tool: name,
            arguments: &arguments,
            mounts: Vec::new(),
            network,
            recording: None,
            cancel: self.cancel.clone(),
        };
        self.sandbox.run(permit, &self.load(name), call).await
    }

    /// Returns verdict, rule and target of every decision.
    pub(crate) fn decisions(&self) -> Vec<(Verdict, String, String)> {
        let decision = |event: &EventBody| match event {
            EventBody::RequestDecided { verdict, rule, target, .. } => Some((*verdict, rule.clone(), target.clone())),
            _ => None,
        };
        self.events.lock().unwrap().iter().filter_map(decision).collect()
    }
}

fn allow_all() -> RuleSpec {
    let tools = Some(vec!["*".into()]);
    RuleSpec { name: "all".into(), verdict: Verdict::Allow, tools, paths: None, hosts: None, levels: None }
}
