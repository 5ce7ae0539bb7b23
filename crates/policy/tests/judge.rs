//! What the judge says, and that nothing follows from it before it is recorded.
#![expect(clippy::disallowed_methods, reason = "tests stand in for boot")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use policy::{
    Access, Answer, CallRequest, CommitRequest, Decision, Effect, Grant, GrantSpec, Judge, Judged, Limits,
    NetworkRules, NetworkScope, Permit, Principal, Recorder, RuleSpec, SecretScope, Target, ToolScope,
};
use protocol::{CallId, Change, ChangeSet, ChangeSetId, ContentHash, EventBody, Level, Node, Verdict};
use serde_json::{Value, json};

#[derive(Default)]
struct Memory(RefCell<Vec<EventBody>>);

impl Recorder for Memory {
    type Error = std::convert::Infallible;
    fn record(&self, event: EventBody) -> Result<(), Self::Error> {
        self.0.borrow_mut().push(event);
        Ok(())
    }
}

struct Broken;

impl Recorder for Broken {
    type Error = &'static str;
    fn record(&self, _: EventBody) -> Result<(), Self::Error> {
        Err("the disk is full")
    }
}

fn grant() -> Grant {
    let files = [("/work", Access::ReadWrite), ("/lib", Access::Read), ("/tmp", Access::ReadWrite)];
    let files: BTreeMap<_, _> = files.into_iter().map(|(mount, access)| (mount.to_owned(), access)).collect();
    Grant::root(GrantSpec {
        files,
        tools: ToolScope::All,
        network: hosts(&["https://*.example.test"]),
        secrets: SecretScope::All,
    })
}

fn hosts(patterns: &[&str]) -> NetworkScope {
    NetworkScope::of(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
}

fn connect(url: &str) -> Effect {
    Effect::Connect { target: Target::of_url(&url.parse().unwrap()).unwrap() }
}

fn judge(rules: &str) -> Judge {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        rules: Vec<RuleSpec>,
    }
    Judge::new(toml::from_str::<File>(rules).unwrap().rules).unwrap()
}

fn read(path: &str) -> Effect {
    Effect::Read { path: path.into() }
}

fn write(path: &str) -> Effect {
    Effect::Write { path: path.into() }
}

fn request(tool: &str, level: Level, effects: &[Effect]) -> CallRequest {
    CallRequest {
        call: CallId::from_random(1),
        principal: Principal::Planner,
        tool: tool.into(),
        level,
        arguments: json!({"path": "a"}),
        effects: effects.iter().cloned().collect(),
        grant: grant(),
        limits: Limits::default(),
        basis: None,
    }
}

fn decide(rules: &str, tool: &str, level: Level, effects: &[Effect]) -> (Verdict, String) {
    let judged = judge(rules).judge_call(request(tool, level, effects));
    (judged.verdict(), judged.rule().to_owned())
}

fn says(verdict: Verdict, rule: &str) -> (Verdict, String) {
    (verdict, rule.to_owned())
}

#[test]
fn the_default_rules_allow_reading_and_staged_writing_and_ask_for_the_rest() {
    assert_eq!(decide("", "read", Level::ReadOnly, &[read("/work/a")]), says(Verdict::Allow, "default.read"));
    assert_eq!(decide("", "edit", Level::Write, &[write("/work/a")]), says(Verdict::Allow, "default.staged-write"));
    assert_eq!(decide("", "shell", Level::Execute, &[]), says(Verdict::Allow, "default.staged-execute"));
    assert_eq!(decide("", "x", Level::Dangerous, &[]), says(Verdict::Ask, "default.ask"));
    let elsewhere = connect("https://elsewhere.test");
    assert_eq!(decide("", "shell", Level::Execute, &[elsewhere]), says(Verdict::Deny, "grant.network"));
    assert_eq!(decide("", "x", Level::Forbidden, &[]), says(Verdict::Deny, "default.forbidden"));
}

#[test]
fn what_the_grant_does_not_hold_is_denied_whatever_the_rules_allow() {
    let generous = "[[rules]]\nname = \"all\"\nverdict = \"allow\"\ntools = [\"*\"]\n";
    for (effect, rule) in [
        (read("/etc/passwd"), "grant.files"),
        (read("/library/x"), "grant.files"),
        (read("../x"), "grant.files"),
        (read("/work/../etc/passwd"), "grant.files"),
        (read("/work//x"), "grant.files"),
        (write("/lib/x"), "grant.files"),
    ] {
        assert_eq!(decide(generous, "t", Level::Write, &[effect]), says(Verdict::Deny, rule));
    }
    let mut narrow = request("read", Level::ReadOnly, &[]);
    let only = ToolScope::Only(BTreeSet::from(["grep".to_owned()]));
    narrow.grant = narrow.grant.attenuate(&GrantSpec { tools: only, ..narrow.grant.spec() });
    let judged = judge(generous).judge_call(narrow);
    assert_eq!((judged.verdict(), judged.rule()), (Verdict::Deny, "grant.tool"));
}

#[test]
fn a_connection_needs_the_level_the_grant_and_a_rule() {
    let generous = "[[rules]]\nname = \"all\"\nverdict = \"allow\"\ntools = [\"*\"]\n";
    let decide = |rules: &str, level, url| decide(rules, "fetch", level, &[connect(url)]);
    assert_eq!(decide(generous, Level::Execute, "https://a.example.test"), says(Verdict::Allow, "all"));
    assert_eq!(decide(generous, Level::Write, "https://a.example.test"), says(Verdict::Deny, "level.network"));
    assert_eq!(decide(generous, Level::Execute, "https://example.test"), says(Verdict::Deny, "grant.network"));
    assert_eq!(decide(generous, Level::Execute, "http://a.example.test"), says(Verdict::Deny, "grant.network"));
    let no = format!("{generous}[[rules]]\nname = \"no\"\nverdict = \"deny\"\nhosts = [\"b.*\"]\n");
    assert_eq!(decide(&no, Level::Execute, "https://b.example.test"), says(Verdict::Deny, "no"));
}

#[test]
fn what_would_ask_during_a_call_is_refused_unless_it_was_approved_with_it() {
    let asks = "[[rules]]\nname = \"asks\"\nverdict = \"ask\"\nhosts = [\"*.example.test\"]\n";
    let url: url::Url = "https://a.example.test/x".parse().unwrap();
    let target = Target::of_url(&url).unwrap();
    let rule = |approved: &[Effect]| {
        let egress = judge(asks).egress("fetch", Level::Execute, &grant(), &approved.iter().cloned().collect());
        let ruling = egress.judge_url(&url, &target);
        (ruling.verdict, ruling.rule)
    };
    assert_eq!(rule(&[]), says(Verdict::Deny, "asks"));
    assert_eq!(rule(&[connect("https://a.example.test")]), says(Verdict::Allow, "answer.yes"));
    assert_eq!(rule(&[connect("https://b.example.test")]), says(Verdict::Deny, "asks"));
}

#[test]
fn a_blocked_url_is_refused_before_any_rule_and_an_address_by_its_network() {
    let network =
        NetworkRules { block_url: vec!["https://a.example.test/admin".parse().unwrap()], ..NetworkRules::default() };
    let judge = judge("[[rules]]\nname = \"all\"\nverdict = \"allow\"\ntools = [\"*\"]\n").with_network(network);
    let egress = judge.egress("fetch", Level::Execute, &grant(), &BTreeSet::new());
    let rule = |url: &str| {
        let url: url::Url = url.parse().unwrap();
        let ruling = egress.judge_url(&url, &Target::of_url(&url).unwrap());
        (ruling.verdict, ruling.rule)
    };
    assert_eq!(rule("https://a.example.test/%41dmin"), says(Verdict::Deny, "network.block_url"));
    assert_eq!(rule("https://a.example.test/"), says(Verdict::Allow, "all"));
    let target = Target::of_url(&"https://a.example.test".parse().unwrap()).unwrap();
    let at = |address: &str| egress.judge_address(&target, address.parse().unwrap()).rule;
    assert_eq!(at("169.254.169.254"), "network.private");
    assert_eq!(at("1.1.1.1"), "network.address");
}

#[test]
fn a_tool_that_does_not_write_cannot_be_allowed_a_write() {
    let generous = "[[rules]]\nname = \"all\"\nverdict = \"allow\"\ntools = [\"*\"]\n";
    for level in [Level::None, Level::ReadOnly] {
        assert_eq!(decide(generous, "t", level, &[write("/work/a")]), says(Verdict::Deny, "level.write"));
    }
}

#[test]
fn deny_wins_over_an_earlier_allow() {
    let rules = r#"
        [[rules]]
        name = "docs"
        verdict = "allow"
        paths = ["docs/**"]
        [[rules]]
        name = "no-keys"
        verdict = "deny"
        paths = ["**/*.key"]
    "#;
    assert_eq!(decide(rules, "read", Level::ReadOnly, &[read("/work/docs/a.key")]), says(Verdict::Deny, "no-keys"));
    assert_eq!(decide(rules, "read", Level::ReadOnly, &[read("/work/docs/a")]), says(Verdict::Allow, "default.read"));
    let two = [read("/work/docs/a"), read("/work/b.KEY")];
    assert_eq!(decide(rules, "read", Level::ReadOnly, &two), says(Verdict::Deny, "no-keys"));
}

#[test]
fn the_first_matching_rule_decides_between_ask_and_allow() {
    let rules = |first, second| {
        format!(
            "[[rules]]\nname = \"one\"\nverdict = \"{first}\"\ntools = [\"e*\"]\n\
             [[rules]]\nname = \"two\"\nverdict = \"{second}\"\ntools = [\"edit\"]\n"
        )
    };
    assert_eq!(decide(&rules("ask", "allow"), "edit", Level::Write, &[]), says(Verdict::Ask, "one"));
    assert_eq!(decide(&rules("allow", "ask"), "edit", Level::Write, &[]), says(Verdict::Allow, "one"));
}

#[test]
fn no_rule_allows_writing_a_protected_path_without_asking() {
    let generous = "[[rules]]\nname = \"all\"\nverdict = \"allow\"\ntools = [\"*\"]\npaths = [\"**\", \"/**\"]\n";
    for path in ["/work/.git/hooks/pre-commit", "/work/.GIT/config", "/work/boxagnts.toml", "/work/a/.boxagnts/x"] {
        assert_eq!(decide(generous, "write", Level::Write, &[write(path)]), says(Verdict::Ask, "protected-paths"));
        assert_eq!(decide(generous, "read", Level::ReadOnly, &[read(path)]).0, Verdict::Allow);
    }
    let denying = "[[rules]]\nname = \"no-git\"\nverdict = \"deny\"\npaths = [\".git/**\"]\n";
    assert_eq!(decide(denying, "write", Level::Write, &[write("/work/.git/x")]), says(Verdict::Deny, "no-git"));
}

fn allowed(judged: Judged<Permit>, recorder: &Memory) -> Permit {
    match judged.record(recorder).unwrap() {
        Decision::Allow(permit) => permit,
        other => panic!("expected a permit, not {other:?}"),
    }
}

#[test]
fn a_decision_that_cannot_be_recorded_gives_nothing() {
    let judged = judge("").judge_call(request("read", Level::ReadOnly, &[]));
    assert_eq!(judged.record(&Broken).unwrap_err(), "the disk is full");
}

#[test]
fn a_permit_fits_only_what_was_decided() {
    let permit = || allowed(judge("").judge_call(request("read", Level::ReadOnly, &[])), &Memory::default());
    assert!(permit().redeem("write", &json!({"path": "a"})).is_err());
    for arguments in [json!({"path": "b"}), json!({"path": "a", "x": 1}), Value::Null] {
        assert!(permit().redeem("read", &arguments).is_err(), "{arguments}");
    }
    let authority = permit().redeem("read", &json!({"path": "a"})).unwrap();
    assert_eq!(authority.grant(), &grant());
    assert_eq!(authority.call(), &CallId::from_random(1));
}

#[test]
fn an_answer_is_recorded_before_it_counts() {
    let asked = |recorder: &Memory| match judge("")
        .judge_call(request("shell", Level::Dangerous, &[]))
        .record(recorder)
        .unwrap()
    {
        Decision::Ask(question) => question,
        other => panic!("expected a question, not {other:?}"),
    };
    for (answer, verdict, rule) in [
        (Answer::Yes, Verdict::Allow, "answer.yes"),
        (Answer::No, Verdict::Deny, "answer.no"),
        (Answer::Remembered, Verdict::Allow, "answer.remembered"),
        (Answer::Staged, Verdict::Allow, "answer.staged"),
        (Answer::Expired, Verdict::Deny, "answer.expired"),
        (Answer::Unattended, Verdict::Deny, "default.ask"),
    ] {
        let recorder = Memory::default();
        let decision = asked(&recorder).answer(answer, None, &recorder).unwrap();
        assert_eq!(matches!(decision, Decision::Allow(_)), verdict == Verdict::Allow);
        let verdicts: Vec<_> = recorder.0.borrow().iter().map(recorded).collect();
        assert_eq!(verdicts, [says(Verdict::Ask, "default.ask"), says(verdict, rule)]);
    }
    let recorder = Memory::default();
    assert!(asked(&recorder).answer(Answer::Yes, None, &Broken).is_err());
}

fn recorded(event: &EventBody) -> (Verdict, String) {
    match event {
        EventBody::CallDecided { decision, .. } | EventBody::CommitDecided { decision, .. } => {
            (decision.verdict, decision.rule.clone())
        }
        other => panic!("not a decision: {other:?}"),
    }
}

fn commit(paths: &[&str], principal: Principal, approved: &[Effect]) -> CommitRequest {
    let after = Node::File { hash: ContentHash::of(b"x"), size: 1, mode: 0o644 };
    let change =
        |path: &&str| Change { path: (*path).into(), before: Node::Absent, after: after.clone(), renamed_from: None };
    CommitRequest {
        change_set: ChangeSetId::from_random(7),
        call: (principal != Principal::User).then(|| CallId::from_random(1)),
        principal,
        tool: "write".into(),
        level: Level::Write,
        changes: ChangeSet { mount: "/work".into(), changes: paths.iter().map(change).collect() },
        grant: grant(),
        approved: approved.iter().cloned().collect(),
        basis: None,
    }
}

#[test]
fn what_was_really_written_is_judged_again_at_the_commit() {
    let verdict = |request| {
        let judged = judge("").judge_commit(request);
        (judged.verdict(), judged.rule().to_owned())
    };
    let planner = Principal::Planner;
    assert_eq!(verdict(commit(&["a", "b"], planner.clone(), &[])), says(Verdict::Allow, "default.staged-write"));
    assert_eq!(verdict(commit(&["a", ".git/config"], planner.clone(), &[])), says(Verdict::Ask, "protected-paths"));
    let approved = [write("/work/.git/config")];
    assert_eq!(
        verdict(commit(&["a", ".git/config"], planner.clone(), &approved)),
        says(Verdict::Allow, "default.staged-write")
    );
    assert_eq!(verdict(commit(&[".git/other"], planner, &approved)), says(Verdict::Ask, "protected-paths"));
    assert_eq!(verdict(commit(&[".git/config"], Principal::User, &[])), says(Verdict::Allow, "person.undo"));
}

#[test]
fn a_person_may_take_anything_back_but_what_a_rule_denies() {
    let denying = "[[rules]]\nname = \"frozen\"\nverdict = \"deny\"\npaths = [\"frozen/**\"]\n";
    let judged = judge(denying).judge_commit(commit(&["frozen/a"], Principal::User, &[]));
    assert_eq!((judged.verdict(), judged.rule()), (Verdict::Deny, "frozen"));
    let asking = "[[rules]]\nname = \"careful\"\nverdict = \"ask\"\npaths = [\"**\"]\n";
    let judged = judge(asking).judge_commit(commit(&["a"], Principal::User, &[]));
    assert_eq!((judged.verdict(), judged.rule()), (Verdict::Allow, "person.undo"));
}

#[test]
fn a_commit_permit_fits_only_its_change_set() {
    let permit =
        || match judge("").judge_commit(commit(&["a"], Principal::Planner, &[])).record(&Memory::default()).unwrap() {
            Decision::Allow(permit) => permit,
            other => panic!("expected a permit, not {other:?}"),
        };
    assert!(permit().redeem(&commit(&["b"], Principal::Planner, &[]).changes).is_err());
    assert_eq!(permit().redeem(&commit(&["a"], Principal::Planner, &[]).changes), Ok(ChangeSetId::from_random(7)));
}

#[test]
fn rules_that_name_paths_hide_them_from_tools_that_walk() {
    let rules = r#"
        [[rules]]
        name = "secrets"
        verdict = "deny"
        paths = ["secrets/**", "**/.env"]
        [[rules]]
        name = "private"
        verdict = "ask"
        paths = ["private/**"]
    "#;
    let judge = judge(rules);
    let hides =
        |path, approved: &[Effect]| judge.hides("grep", Level::ReadOnly, path, &approved.iter().cloned().collect());
    assert!(hides("/work/secrets/a", &[]) && hides("/work/SECRETS/a", &[]) && hides("/work/a/b/.env", &[]));
    assert!(hides("/work/private/a", &[]) && !hides("/work/private/a", &[read("/work/private/a")]));
    let write = |path: &str| Effect::Write { path: path.into() };
    assert!(
        !hides("/work/private/a", &[write("/work/private/a")]) && hides("/work/private/b", &[write("/work/private/a")])
    );
    assert!(hides("/work/secrets/a", &[read("/work/secrets/a")]) && !hides("/work/src/a", &[]));
    assert!(judge.hides_paths() && !Judge::new(vec![]).unwrap().hides_paths());
}

#[test]
fn rule_names_are_unique_and_not_the_runtimes_own() {
    for name in ["default.read", "protected-paths", "answer.yes"] {
        let rules = format!("name = \"{name}\"\nverdict = \"deny\"\n");
        assert!(Judge::new(vec![toml::from_str(&rules).unwrap()]).is_err(), "{name}");
    }
    let spec: RuleSpec = toml::from_str("name = \"a\"\nverdict = \"deny\"\n").unwrap();
    assert!(Judge::new(vec![spec.clone(), spec]).is_err());
}

/// Every principal, tool and level against the default rules: what a person reads to know what they get.
#[test]
fn the_matrix_of_default_decisions() {
    let cases = [
        ("read", vec![read("/work/a")]),
        ("grep", vec![read("/work")]),
        ("edit", vec![write("/work/a")]),
        ("edit protected", vec![write("/work/.git/config")]),
        ("edit session's folder", vec![write("/tmp/a")]),
        ("read outside", vec![read("/etc/passwd")]),
        ("write read-only mount", vec![write("/lib/a")]),
        ("any tool", vec![]),
    ];
    let mut rows = vec![format!("{:<10} {:<22} {:<10} {:<6} {}", "principal", "tool", "level", "says", "rule")];
    for principal in [Principal::User, Principal::Planner] {
        for (tool, effects) in &cases {
            for level in Level::ALL {
                let request = CallRequest { principal: principal.clone(), ..request(tool, level, effects) };
                let judged = judge("").judge_call(request);
                let verdict = format!("{:?}", judged.verdict()).to_lowercase();
                let rule = judged.rule();
                rows.push(format!("{principal:<10} {tool:<22} {level:<10} {verdict:<6} {rule}"));
            }
        }
    }
    insta::assert_snapshot!(rows.join("\n"));
}

/// Returns what the rules of a person say over a grant of these hosts.
fn egress_over(granted: &[&str], rules: &str, network: NetworkRules, approved: &BTreeSet<Effect>) -> policy::Egress {
    let grant = Grant::root(GrantSpec {
        files: BTreeMap::new(),
        tools: ToolScope::All,
        network: hosts(granted),
        secrets: SecretScope::Only(BTreeSet::new()),
    });
    judge(rules).with_network(network).egress("dial", Level::Execute, &grant, approved)
}

const ALL: &str = "[[rules]]\nname = \"all\"\nverdict = \"allow\"\ntools = [\"*\"]\n";

#[test]
fn a_name_is_looked_up_only_for_a_connection_that_is_allowed() {
    let rules = "[[rules]]\nname = \"no\"\nverdict = \"deny\"\nhosts = [\"evil.test\"]\n";
    let looked_up = |granted: &[&str], rules: &str, block: &[&str], name: &str| {
        let block_url = block.iter().map(|url| url.parse().unwrap()).collect();
        let network = NetworkRules { block_url, ..NetworkRules::default() };
        let host = Target::of_name(policy::Scheme::Tcp, name, 1).unwrap().host().clone();
        let judged = egress_over(granted, rules, network, &BTreeSet::new()).judge_lookup(&host);
        judged.map(|targets| targets[0].to_string()).map_err(|ruling| ruling.rule)
    };
    let all_but_evil = format!("{ALL}{rules}");
    assert_eq!(looked_up(&["tcp://db.test:5432"], ALL, &[], "db.test"), Ok("tcp://db.test:5432".into()));
    assert_eq!(looked_up(&["tcp://db.test:5432"], ALL, &[], "x.db.test"), Err("grant.network".into()));
    assert_eq!(looked_up(&["tcp://10.0.0.0/8:5432"], ALL, &[], "db.test"), Err("grant.network".into()));
    assert_eq!(looked_up(&["*://*:*"], &all_but_evil, &[], "evil.test"), Err("no".into()));
    assert_eq!(looked_up(&["*://*:*"], &all_but_evil, &[], "good.test"), Ok("http://good.test:1".into()));
    let block = |pattern| looked_up(&["https://a.test", "tcp://a.test:1-9"], ALL, &[pattern], "a.test");
    assert_eq!(block("a.test"), Err("network.block_url".into()));
    assert_eq!(block("a.test/admin"), Ok("https://a.test:443".into()));
    assert_eq!(looked_up(&["tcp://a.test:1-9"], ALL, &["a.test:1"], "a.test"), Ok("tcp://a.test:2".into()));
    assert_eq!(looked_up(&["tcp://a.test:1-9"], ALL, &["a.test:443"], "a.test"), Ok("tcp://a.test:1".into()));
}

#[test]
fn what_was_approved_with_the_call_may_be_looked_up_on_whatever_port() {
    let asks = "[[rules]]\nname = \"asks\"\nverdict = \"ask\"\nhosts = [\"db.test\"]\n";
    let target = Target::of_name(policy::Scheme::Tcp, "db.test", 5432).unwrap();
    let approved = BTreeSet::from([Effect::Connect { target: target.clone() }]);
    let judged = |approved| {
        let egress = egress_over(&["tcp://db.test:*"], asks, NetworkRules::default(), approved);
        egress.judge_lookup(target.host()).map_err(|ruling| ruling.rule)
    };
    assert_eq!(judged(&approved), Ok(vec![target.clone()]));
    assert_eq!(judged(&BTreeSet::new()), Err("asks".into()));
}

#[test]
fn a_found_address_needs_one_target_that_may_be_reached_there() {
    let network = NetworkRules {
        allow_private: vec!["tcp://db.test:6000".parse().unwrap()],
        block_networks: vec!["127.0.0.2/32".parse().unwrap()],
        ..NetworkRules::default()
    };
    let found = |granted: &str, address: &str| {
        let egress = egress_over(&[granted], ALL, network.clone(), &BTreeSet::new());
        let host = Target::of_name(policy::Scheme::Tcp, "db.test", 1).unwrap().host().clone();
        egress.judge_found(&egress.judge_lookup(&host).unwrap(), address.parse().unwrap()).rule
    };
    assert_eq!(found("tcp://db.test:5000-7000", "127.0.0.1"), "network.address");
    assert_eq!(found("tcp://db.test:5000-5999", "127.0.0.1"), "network.private");
    assert_eq!(found("udp://db.test:6000", "127.0.0.1"), "network.private");
    assert_eq!(found("tcp://db.test:5000-7000", "127.0.0.2"), "network.block_networks");
    assert_eq!(found("udp://db.test:6000", "1.1.1.1"), "network.address");
}

#[test]
fn bytes_that_nobody_reads_go_to_no_host_with_a_blocked_url() {
    let network = NetworkRules { block_url: vec!["https://a.test/admin".parse().unwrap()], ..NetworkRules::default() };
    let egress = egress_over(&["*://*:*"], ALL, network, &BTreeSet::new());
    let rule = |name: &str| {
        let target = Target::of_name(policy::Scheme::Tcp, name, 443).unwrap();
        egress.judge_socket(&[target], "1.1.1.1".parse().unwrap()).unwrap().1.rule
    };
    assert_eq!((rule("a.test"), rule("b.test")), ("network.block_url".into(), "all".into()));
}
