//! An explanation is the decision: the same verdict by the same rule, with nothing left out that could have decided.
#![expect(clippy::disallowed_methods, reason = "tests stand in for boot")]

use std::collections::{BTreeMap, BTreeSet};

use policy::{
    Access, CallRequest, Case, CommitRequest, Considered, Effect, Explanation, Grant, GrantSpec, Judge, Limits, Matter,
    NetworkRules, NetworkScope, PolicyRecord, Principal, RequestCase, RuleSpec, SecretScope, Target, ToolScope, Way,
};
use proptest::prelude::*;
use protocol::{CallId, Change, ChangeSet, ChangeSetId, Level, Node, Verdict};
use serde_json::json;

const TOOLS: [&str; 3] = ["read", "edit", "fetch"];
const PATHS: [&str; 6] = ["/work/a", "/work/docs/b", "/work/.git/config", "/lib/c", "/etc/passwd", "/work/../x"];
const GLOBS: [&str; 5] = ["docs/**", "**", "/lib/*", "a", ".git/**"];
const HOSTS: [&str; 3] = ["https://a.test", "https://b.test/admin", "http://a.test:8080"];

fn some<T: Clone + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(values)
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    some(&[Verdict::Allow, Verdict::Ask, Verdict::Deny])
}

fn selector(values: &'static [&str]) -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::of(prop::collection::vec(some(values).prop_map(str::to_owned), 1..3))
}

type Selectors = (Option<Vec<String>>, Option<Vec<String>>, Option<Vec<String>>, Option<BTreeSet<Level>>);

fn spec(at: usize, (verdict, (tools, paths, hosts, levels)): (Verdict, Selectors)) -> RuleSpec {
    let says_all = tools.is_none() && paths.is_none() && hosts.is_none() && levels.is_none();
    let verdict = if says_all && verdict == Verdict::Allow { Verdict::Ask } else { verdict };
    RuleSpec { name: format!("rule-{at}"), verdict, tools, paths, hosts, levels }
}

fn rules() -> impl Strategy<Value = Vec<RuleSpec>> {
    let levels = prop::option::of(prop::collection::btree_set(some(&Level::ALL), 1..4));
    let hosts = selector(&["a.test", "*.test"]);
    let parts = (verdicts(), (selector(&["read", "e*", "*"]), selector(&GLOBS), hosts, levels));
    prop::collection::vec(parts, 0..5)
        .prop_map(|parts| parts.into_iter().enumerate().map(|(at, parts)| spec(at, parts)).collect())
}

fn target(url: &str) -> Target {
    Target::of_url(&url.parse().unwrap()).unwrap()
}

fn effects() -> impl Strategy<Value = BTreeSet<Effect>> {
    let path = || some(&PATHS).prop_map(str::to_owned);
    let effect = prop_oneof![
        path().prop_map(|path| Effect::Read { path }),
        path().prop_map(|path| Effect::Write { path }),
        some(&HOSTS).prop_map(|url| Effect::Connect { target: target(url) }),
    ];
    prop::collection::btree_set(effect, 0..4)
}

fn grants() -> impl Strategy<Value = GrantSpec> {
    let access = || some(&[Access::Read, Access::ReadWrite]);
    let files = (access(), access(), any::<bool>());
    (files, some(&[true, true, false]), some(&[true, true, false])).prop_map(|((work, lib, has_lib), all, network)| {
        let mut files = BTreeMap::from([("/work".to_owned(), work)]);
        files.extend(has_lib.then(|| ("/lib".to_owned(), lib)));
        let tools = if all { ToolScope::All } else { ToolScope::Only(["read".to_owned()].into()) };
        let network =
            if network { NetworkScope::of(["*://*.test:*".parse().unwrap()].into()) } else { NetworkScope::none() };
        GrantSpec { files, tools, network, secrets: SecretScope::Only(BTreeSet::new()) }
    })
}

/// Who asks, and what for.
#[derive(Debug, Clone)]
struct Asked {
    principal: Principal,
    tool: &'static str,
    level: Level,
    effects: BTreeSet<Effect>,
    approved: BTreeSet<Effect>,
    grant: GrantSpec,
}

impl Asked {
    fn case(&self, matter: Matter) -> Case {
        let Self { principal, tool, level, grant, .. } = self.clone();
        Case { principal, tool: tool.to_owned(), level, grant, matter }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let principal = some(&[Principal::User, Principal::Planner]);
    (principal, some(&TOOLS), some(&Level::ALL), effects(), effects(), grants()).prop_map(
        |(principal, tool, level, effects, approved, grant)| Asked { principal, tool, level, effects, approved, grant },
    )
}

/// Returns what the notes alone say, by the order in which rules and guards count.
fn of_notes(considered: &[Considered]) -> Option<(Verdict, String)> {
    let mut decided: Option<(Verdict, String)> = None;
    let mut effects: Vec<&str> = considered.iter().map(|note| note.effect.as_str()).collect();
    effects.dedup();
    for effect in effects {
        let said: Vec<_> = considered.iter().filter(|note| note.effect == effect && note.verdict.is_some()).collect();
        let denied = said.iter().find(|note| note.verdict == Some(Verdict::Deny));
        let protected = said.iter().find(|note| note.rule == "protected-paths");
        let Some(note) = denied.or(protected).or(said.first()) else { continue };
        let found = (note.verdict.unwrap(), note.rule.clone());
        decided = Some(decided.filter(|worst| worst.0 >= found.0).unwrap_or(found));
    }
    decided
}

/// Holds an explanation against the decision, and against its own notes.
fn check(explanation: &Explanation, verdict: Verdict, rule: &str) {
    assert_eq!((explanation.verdict, explanation.rule.as_str()), (verdict, rule));
    let deciding: Vec<_> = explanation.considered.iter().filter(|note| note.decided).collect();
    let [note] = deciding[..] else { panic!("one note decides: {explanation:?}") };
    assert_eq!((note.verdict, note.rule.as_str(), &note.effect), (Some(verdict), rule, &explanation.effect));
}

fn change_set(effects: &BTreeSet<Effect>) -> ChangeSet {
    let path = |effect: &Effect| Some(effect.to_string().strip_prefix("write /work/")?.to_owned());
    let change =
        |path| Change { path, before: Node::Absent, after: Node::Directory { mode: 0o755 }, renamed_from: None };
    ChangeSet { mount: "/work".into(), changes: effects.iter().filter_map(path).map(change).collect() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_call_is_explained_as_it_is_decided(rules in rules(), asked in asked()) {
        let judge = Judge::new(rules).unwrap();
        let request = CallRequest {
            call: CallId::from_random(1),
            principal: asked.principal.clone(),
            tool: asked.tool.to_owned(),
            level: asked.level,
            arguments: json!({}),
            effects: asked.effects.clone(),
            grant: Grant::root(asked.grant.clone()),
            limits: Limits::default(),
            basis: None,
        };
        let explanation = judge.explain(&asked.case(Matter::Call { effects: asked.effects.clone() }));
        let judged = judge.judge_call(request);
        check(&explanation, judged.verdict(), judged.rule());
        prop_assert_eq!(of_notes(&explanation.considered), Some((judged.verdict(), judged.rule().to_owned())));
    }

    #[test]
    fn a_commit_is_explained_as_it_is_decided(rules in rules(), asked in asked(), by_call in any::<bool>()) {
        let judge = Judge::new(rules).unwrap();
        let changes = change_set(&asked.effects);
        let request = CommitRequest {
            change_set: ChangeSetId::from_random(1),
            call: by_call.then(|| CallId::from_random(1)),
            principal: asked.principal.clone(),
            tool: asked.tool.to_owned(),
            level: asked.level,
            changes: changes.clone(),
            grant: Grant::root(asked.grant.clone()),
            approved: asked.approved.clone(),
            basis: None,
        };
        let effects = changes.changes.iter().map(|change| Effect::Write { path: format!("/work/{}", change.path) });
        let matter = Matter::Commit { effects: effects.collect(), approved: asked.approved.clone(), by_call };
        let judged = judge.judge_commit(request);
        check(&judge.explain(&asked.case(matter)), judged.verdict(), judged.rule());
    }

    #[test]
    fn a_request_is_explained_as_it_is_decided(rules in rules(), asked in asked(), url in some(&HOSTS), block in any::<bool>()) {
        let block_url = if block { vec!["https://b.test/admin".parse().unwrap()] } else { Vec::new() };
        let judge = Judge::new(rules).unwrap().with_network(NetworkRules { block_url, ..NetworkRules::default() });
        let url: url::Url = url.parse().unwrap();
        let target = Target::of_url(&url).unwrap();
        let egress = judge.egress(asked.tool, asked.level, &Grant::root(asked.grant.clone()), &asked.approved);
        let case = |way| {
            let request = RequestCase { number: 1, max_requests: 1, approved: asked.approved.clone(), way };
            judge.explain(&asked.case(Matter::Request(request)))
        };
        let http = Way::Url { url: url.clone(), target: target.clone(), addresses: Vec::new(), secrets: Vec::new() };
        let ruling = egress.judge_url(&url, &target);
        check(&case(http), ruling.verdict, &ruling.rule);
        let address = "1.1.1.1".parse().unwrap();
        let targets = vec![Target::of_name(policy::Scheme::Tcp, "1.1.1.1", 80).unwrap(), target.clone()];
        let (_, ruling) = egress.judge_socket(&targets, address).unwrap();
        check(&case(Way::Socket { targets, address }), ruling.verdict, &ruling.rule);
        let expected = egress.judge_lookup(target.host()).map_or_else(|ruling| ruling.rule, |_| "network.lookup".into());
        prop_assert_eq!(case(Way::Lookup { name: target.host().clone() }).rule, expected);
    }

    #[test]
    fn a_policy_that_was_written_down_judges_as_it_did(rules in rules(), asked in asked()) {
        let judge = Judge::new(rules).unwrap();
        let record = PolicyRecord::of(&judge, asked.grant.clone(), Limits::default());
        let read: PolicyRecord = serde_json::from_value(record.stated().1).unwrap();
        prop_assert_eq!(&read, &record);
        let case = asked.case(Matter::Call { effects: asked.effects.clone() });
        prop_assert_eq!(read.judge().unwrap().explain(&case), judge.explain(&case));
        for effect in &asked.effects {
            prop_assert_eq!(&effect.to_string().parse::<Effect>().unwrap(), effect);
        }
    }
}

fn case(matter: Matter) -> Case {
    let grant = GrantSpec {
        files: BTreeMap::from([("/work".to_owned(), Access::ReadWrite)]),
        tools: ToolScope::All,
        network: NetworkScope::of(["https://a.test".parse().unwrap()].into()),
        secrets: SecretScope::Only(BTreeSet::new()),
    };
    Case { principal: Principal::Planner, tool: "edit".into(), level: Level::Execute, grant, matter }
}

fn rule(name: &str, verdict: Verdict, path: &str) -> RuleSpec {
    RuleSpec { name: name.into(), verdict, tools: None, paths: Some(vec![path.into()]), hosts: None, levels: None }
}

/// Every rule on the way has its note, with why it says nothing.
#[test]
fn the_notes_tell_the_whole_way() {
    let rules = vec![rule("docs", Verdict::Allow, "docs/**"), rule("keys", Verdict::Deny, "**/*.key")];
    let effects = BTreeSet::from([Effect::Write { path: "/work/docs/a".into() }]);
    let explanation = Judge::new(rules).unwrap().explain(&case(Matter::Call { effects }));
    let line = |note: &Considered| {
        let verdict = note.verdict.map_or("-".to_owned(), |verdict| format!("{verdict:?}").to_lowercase());
        let mark = if note.decided { "*" } else { " " };
        format!("{mark} {:<18} {:<24} {verdict:<6} {}", note.effect, note.rule, note.reason)
    };
    insta::assert_snapshot!(explanation.considered.iter().map(line).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_request_beyond_the_limit_or_with_a_secret_that_is_not_held_is_refused() {
    let url: url::Url = "https://a.test/x".parse().unwrap();
    let rule = |number, secrets: &[&str], addresses: &[&str]| {
        let target = Target::of_url(&url).unwrap();
        let secrets = secrets.iter().map(|name| name.parse().unwrap()).collect();
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let way = Way::Url { url: url.clone(), target, addresses, secrets };
        let request = RequestCase { number, max_requests: 2, approved: BTreeSet::new(), way };
        Judge::new(Vec::new()).unwrap().explain(&case(Matter::Request(request))).rule
    };
    assert_eq!(rule(3, &[], &[]), "limits.requests");
    assert_eq!(rule(2, &["KEY"], &[]), "secrets.grant");
    assert_eq!(rule(2, &[], &["1.1.1.1", "127.0.0.1"]), "network.private");
    assert_eq!(rule(2, &[], &["1.1.1.1"]), "default.staged-execute");
}

/// What is read from a journal may have been written by anybody.
#[test]
fn a_policy_without_a_last_rule_is_refused() {
    let mut record = PolicyRecord::of(
        &Judge::new(Vec::new()).unwrap(),
        case(Matter::Call { effects: BTreeSet::new() }).grant,
        Limits::default(),
    );
    record.rules.pop();
    assert_eq!(record.judge().unwrap_err(), policy::InvalidRule::NoLast);
    record.rules.clear();
    assert!(record.judge().is_err());
}
