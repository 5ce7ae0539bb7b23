//! What a journal tells of calls, and what comes of judging them again.
#![expect(clippy::disallowed_methods, reason = "a test is its own boot")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use policy::{
    Access, Answer, CallRequest, CommitRequest, Decision, Effect, Grant, GrantSpec, Judge, Limits, NetworkRules,
    NetworkScope, PolicyRecord, Principal, Recorder, Request, RuleSpec, SecretScope, ToolRecord, ToolScope,
};
use protocol::{
    Basis, CallId, Change, ChangeSet, ChangeSetId, ContentHash, Event, EventBody, Level, Node, RequestOutcome,
    SessionId, Verdict,
};
use serde_json::json;

use crate::{NotKnown, Policy, SessionAccount, Subject, Unjudged, WhatIf};

const CALL: u64 = 1;

/// A journal in memory, and who writes it.
struct World {
    events: RefCell<Vec<Event>>,
    judge: Judge,
    grant: Grant,
}

impl Recorder for World {
    type Error = std::convert::Infallible;

    fn record(&self, body: EventBody) -> Result<(), Self::Error> {
        let sequence = self.events.borrow().len() as u64 + 1;
        let session = SessionId::from_random(1);
        self.events.borrow_mut().push(Event { sequence, session, recorded_at_ms: sequence, body });
        Ok(())
    }
}

fn rules(text: &str) -> Vec<RuleSpec> {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        rules: Vec<RuleSpec>,
    }
    toml::from_str::<File>(text).unwrap().rules
}

fn spec() -> GrantSpec {
    GrantSpec {
        files: BTreeMap::from([("/work".to_owned(), Access::ReadWrite)]),
        tools: ToolScope::All,
        network: NetworkScope::of(["*://*.test:*".parse().unwrap()].into()),
        secrets: SecretScope::All,
    }
}

fn network() -> NetworkRules {
    let block_url = vec!["https://a.test/admin".parse().unwrap()];
    NetworkRules { block_url, ..NetworkRules::default() }
}

fn tool() -> ToolRecord {
    let network = ["*://*:*".parse().unwrap()].into();
    let request = Request { files: Some(Access::ReadWrite), network, secrets: SecretScope::All };
    let component = ContentHash::of(b"component");
    let (name, version) = ("edit".into(), "1".into());
    ToolRecord { name, version, component, level: Level::Execute, request, limits: Limits::MAX }
}

fn call() -> CallId {
    CallId::from_random(CALL)
}

impl World {
    fn new(text: &str) -> Self {
        let judge = Judge::new(rules(text)).unwrap().with_network(network());
        Self { events: RefCell::default(), judge, grant: Grant::root(spec()) }
    }

    fn basis(&self) -> Basis {
        let (policy, data) = PolicyRecord::of(&self.judge, self.grant.spec(), Limits::default()).stated();
        let Ok(()) = self.record(EventBody::PolicyStated { digest: policy.clone(), policy: data });
        let (digest, data) = tool().stated();
        let Ok(()) = self.record(EventBody::ToolStated { digest: digest.clone(), tool: data });
        Basis { policy, tool: Some(digest) }
    }

    /// Decides a call, and answers where it asks.
    fn call(&self, effects: &[Effect], answer: Answer) {
        let request = CallRequest {
            call: call(),
            principal: Principal::Planner,
            tool: "edit".into(),
            level: Level::Execute,
            arguments: json!({}),
            effects: effects.iter().cloned().collect(),
            grant: self.grant.attenuate(&tool().request.of(self.grant.as_spec(), "edit")),
            limits: Limits::default(),
            basis: Some(self.basis()),
        };
        let Ok(decision) = self.judge.judge_call(request).record(self);
        if let Decision::Ask(question) = decision {
            let Ok(_) = question.answer(answer, None, self);
        }
    }

    fn commit(&self, path: &str, approved: &[Effect]) {
        let change = Change {
            path: path.into(),
            before: Node::Absent,
            after: Node::Directory { mode: 0o755 },
            renamed_from: None,
        };
        let request = CommitRequest {
            change_set: ChangeSetId::from_random(7),
            call: Some(call()),
            principal: Principal::Planner,
            tool: "edit".into(),
            level: Level::Execute,
            changes: ChangeSet { mount: "/work".into(), changes: vec![change] },
            grant: self.grant.clone(),
            approved: approved.iter().cloned().collect(),
            basis: Some(self.basis()),
        };
        let Ok(_) = self.judge.judge_commit(request).record(self);
    }

    /// Records a request as the gate does.
    fn request(&self, number: u32, method: &str, target: &str, path: Option<&str>, (rule, verdict): (&str, Verdict)) {
        let found = if method == "connect" { vec!["1.1.1.1".parse().unwrap()] } else { Vec::new() };
        let Ok(()) = self.record(EventBody::RequestDecided {
            call: call(),
            request: number,
            method: method.into(),
            target: target.into(),
            addresses: Vec::new(),
            verdict,
            rule: rule.into(),
            reason: String::new(),
            secrets: Vec::new(),
            path: path.map(str::to_owned),
            found,
            idempotency_key: None,
        });
    }

    fn account(&self) -> SessionAccount {
        let mut account = SessionAccount::default();
        // As it comes from the disk.
        for event in self.events.borrow().iter() {
            account.apply(&serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap());
        }
        account
    }

    fn what_if(&self, text: &str) -> Vec<WhatIf> {
        let judge = Judge::new(rules(text)).unwrap().with_network(network());
        self.account().what_if(&Policy::new(PolicyRecord::of(&judge, spec(), Limits::default())).unwrap())
    }
}

fn write(path: &str) -> Effect {
    Effect::Write { path: path.into() }
}

/// Returns what became of each decision.
fn becomes(decisions: &[WhatIf]) -> Vec<String> {
    let told = |decision: &WhatIf| match &decision.becomes {
        Ok(Some(ruled)) if decision.differs() => format!("{:?} {}", ruled.verdict, ruled.rule),
        Ok(Some(_)) => "same".to_owned(),
        Ok(None) => "moot".to_owned(),
        Err(unjudged) => unjudged.to_string(),
    };
    decisions.iter().map(told).collect()
}

const ASKS: &str = "[[rules]]\nname = \"asks\"\nverdict = \"ask\"\npaths = [\"docs/**\"]\n";

#[test]
fn an_approval_counts_again_as_long_as_it_is_asked_for() {
    let world = World::new(ASKS);
    let effects = [write("/work/docs/a")];
    world.call(&effects, Answer::Yes);
    world.commit("docs/a", &effects);
    let account = world.account();
    let told = account.calls().next().unwrap();
    assert_eq!((told.decisions.len(), told.decisions[0].settled()), (1, Verdict::Allow));
    let again = account.explain(told);
    let rules: Vec<_> = again.iter().map(|again| again.now.as_ref().unwrap().rule.clone()).collect();
    assert_eq!(rules, ["asks", "answer.yes"]);
    assert_eq!(becomes(&world.what_if(ASKS)), ["same", "same"]);
    let allowed = becomes(&world.what_if(""));
    assert_eq!(allowed, ["Allow default.staged-execute", "Allow default.staged-execute"]);
    let denied = becomes(&world.what_if(&ASKS.replace("\"ask\"", "\"deny\"")));
    assert_eq!(denied, ["Deny asks", "moot"]);
}

#[test]
fn what_nobody_could_be_asked_is_one_decision_with_its_answer() {
    for answer in [Answer::No, Answer::Unattended] {
        let world = World::new(ASKS);
        world.call(&[write("/work/docs/a")], answer);
        let account = world.account();
        let told = account.calls().next().unwrap();
        assert_eq!((told.decisions.len(), told.decisions[0].settled()), (1, Verdict::Deny));
        assert_eq!(becomes(&world.what_if(ASKS)), ["same"]);
        assert_eq!(becomes(&world.what_if(&ASKS.replace("docs", "src"))), ["Allow default.staged-execute"]);
    }
}

#[test]
fn a_call_that_is_asked_about_again_after_a_crash_is_decided_twice() {
    let world = World::new(ASKS);
    let effects = [write("/work/docs/a")];
    world.call(&effects, Answer::Yes);
    world.events.borrow_mut().pop();
    world.call(&effects, Answer::Yes);
    let account = world.account();
    let told = account.calls().next().unwrap();
    assert_eq!((told.decisions.len(), told.decisions[0].answer.is_none()), (2, true));
    assert_eq!(becomes(&world.what_if(ASKS)), ["same", "same"]);
}

#[test]
fn requests_are_judged_again_by_path_address_and_the_names_that_were_found() {
    let world = World::new("");
    world.call(&[], Answer::No);
    world.request(1, "GET", "https://a.test:443", Some("/admin/x"), ("network.block_url", Verdict::Deny));
    world.request(2, "GET", "https://b.test:443", Some("/"), ("default.staged-execute", Verdict::Allow));
    world.request(3, "lookup", "c.test", None, ("network.lookup", Verdict::Allow));
    let addresses = vec!["1.1.1.1".parse().unwrap()];
    let outcome = RequestOutcome::Resolved { addresses };
    let Ok(()) = world.record(EventBody::RequestFinished {
        call: call(),
        request: 3,
        outcome,
        sent_bytes: 0,
        received_bytes: 0,
    });
    world.request(4, "connect", "tcp://c.test:5432", None, ("default.staged-execute", Verdict::Allow));
    world.request(5, "GET", "text", None, ("network.url", Verdict::Deny));
    world.request(6, "GET", "https://b.test:443", Some("/"), ("secrets.host", Verdict::Deny));
    assert_eq!(becomes(&world.what_if("")), ["same"; 7]);
    let no_c = "[[rules]]\nname = \"no-c\"\nverdict = \"deny\"\nhosts = [\"c.test\"]\n";
    assert_eq!(becomes(&world.what_if(no_c)), ["same", "same", "same", "Deny no-c", "Deny no-c", "same", "same"]);
    let no_b = no_c.replace("no-c", "no-b").replace("c.test", "b.test");
    assert!(becomes(&world.what_if(&no_b)).ends_with(&["same".into(), "same".into(), "Deny no-b".into()]));
}

#[test]
fn what_was_not_recorded_is_said() {
    let world = World::new("");
    world.call(&[], Answer::No);
    world.request(1, "GET", "https://a.test:443", None, ("network.block_url", Verdict::Deny));
    assert_eq!(becomes(&world.what_if(""))[1], Unjudged::NoPath.to_string());
    // A journal from before: decisions without a basis.
    for event in world.events.borrow_mut().iter_mut() {
        if let EventBody::CallDecided { decision, .. } = &mut event.body {
            decision.basis = None;
        }
    }
    let old = Unjudged::NotRecorded.to_string();
    assert_eq!(becomes(&world.what_if("")), [old.clone(), old]);
    let account = world.account();
    let told = account.calls().next().unwrap();
    assert_eq!(account.explain(told)[0].now, Err(Unjudged::NotRecorded));
    assert_eq!(account.policy_of(&told.decisions[0].decision).unwrap_err(), NotKnown::NotRecorded);
}

/// What comes from a journal may have been changed by anybody.
#[test]
fn a_record_that_does_not_lead_to_its_decision_is_found() {
    let world = World::new("");
    world.call(&[write("/work/a")], Answer::No);
    for event in world.events.borrow_mut().iter_mut() {
        if let EventBody::PolicyStated { policy, .. } = &mut event.body {
            policy["rules"][0]["levels"] = json!(["execute"]);
        }
    }
    let [told] = &becomes(&world.what_if(""))[..] else { panic!("one decision") };
    assert_eq!(told, "this version would decide `deny` by rule `default.forbidden` from what was recorded");
    for event in world.events.borrow_mut().iter_mut() {
        if let EventBody::PolicyStated { policy, .. } = &mut event.body {
            policy["rules"] = json!([]);
        }
    }
    let told = becomes(&world.what_if(""));
    assert_eq!(told, ["what was recorded of it cannot be read: the last rule does not match everything"]);
    world.events.borrow_mut().retain(|event| !matches!(event.body, EventBody::PolicyStated { .. }));
    assert!(becomes(&world.what_if(""))[0].starts_with("the journal does not have "));
}

#[test]
fn one_call_is_looked_at_alone() {
    let world = World::new("");
    world.call(&[], Answer::No);
    let mut other = SessionAccount::of(CallId::from_random(2));
    world.events.borrow().iter().for_each(|event| other.apply(event));
    assert_eq!(other.calls().count(), 0);
    let mut this = SessionAccount::of(call());
    world.events.borrow().iter().for_each(|event| this.apply(event));
    let told = this.calls().next().unwrap();
    assert_eq!(this.explain(told)[0].subject, Subject::Call);
    assert_eq!(this.policy_of(&told.decisions[0].decision).unwrap().grant, spec());
}

#[test]
fn a_request_that_uses_up_a_lower_limit_is_refused() {
    let world = World::new("");
    world.call(&[], Answer::No);
    for number in 1..=2 {
        world.request(number, "GET", "https://b.test:443", Some("/"), ("default.staged-execute", Verdict::Allow));
    }
    let judge = Judge::new(Vec::new()).unwrap();
    let limits = Limits { requests: 1, ..Limits::default() };
    let policy = Policy::new(PolicyRecord::of(&judge, spec(), limits)).unwrap();
    assert_eq!(becomes(&world.account().what_if(&policy)), ["same", "same", "Deny limits.requests"]);
}
