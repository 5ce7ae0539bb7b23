//! Sockets through the gate: TCP, UDP and names. A refusal is seen by servers and resolvers that nobody asked.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use policy::{Limits, NetworkRules};
use protocol::{EventBody, RequestOutcome, StopCause, Verdict};
use sandbox::Ending;
use serde_json::{Value, json};

use super::echo::{Tcp, Udp, loopback};
use super::results;
use super::setting::Net;
use crate::conformance::holds;

const TABLE: &str = "sockets";

fn steps(steps: Value) -> Value {
    Value::from_iter([("steps".to_owned(), steps)])
}

/// Holds what came of each step against what was expected.
#[track_caller]
fn came(name: &str, expected: &[&str], got: &[String]) {
    holds(TABLE, name, expected.to_vec(), refs(got));
}

/// Connects, says something, and reads until there is no more.
#[expect(clippy::needless_pass_by_value, reason = "addresses and texts are written where they are passed")]
fn tcp(kind: &str, to: impl ToString) -> Value {
    steps(json!([
        { "do": "open", "kind": kind },
        { "do": "connect", "socket": 0, "to": to.to_string() },
        { "do": "write", "socket": 0, "text": "hello" },
        { "do": "shutdown", "socket": 0 },
        { "do": "read", "socket": 0, "bytes": 1000 },
    ]))
}

/// Sends a datagram to each of `to` from one socket, and waits for what comes back.
fn udp(kind: &str, to: &[String]) -> Value {
    let any = if kind == "udp4" { "0.0.0.0:0" } else { "[::]:0" };
    let mut all = vec![
        json!({ "do": "open", "kind": kind }),
        json!({ "do": "bind", "socket": 0, "to": any }),
        json!({ "do": "stream", "socket": 0, "to": null }),
    ];
    for one in to {
        all.push(json!({ "do": "send", "socket": 0, "to": [one], "text": "hello" }));
    }
    all.push(json!({ "do": "receive", "socket": 0, "bytes": 5, "within_ms": 100 }));
    steps(all.into())
}

fn look_up(names: &[&str]) -> Value {
    steps(names.iter().map(|name| json!({ "do": "lookup", "name": name })).collect())
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Returns the outcome of each finished request, and the bytes that were sent and received.
fn finished(net: &Net) -> Vec<(RequestOutcome, u64, u64)> {
    let finished = |event: &EventBody| match event {
        EventBody::RequestFinished { outcome, sent_bytes, received_bytes, .. } => {
            Some((outcome.clone(), *sent_bytes, *received_bytes))
        }
        _ => None,
    };
    net.events.lock().unwrap().iter().filter_map(finished).collect()
}

fn rules(net: &Net) -> Vec<String> {
    net.decisions().into_iter().map(|(_, rule, _)| rule).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_allowed_connection_is_made_and_is_in_the_journal() {
    for (kind, address) in [("tcp4", "127.0.0.1:0"), ("tcp6", "[::1]:0")] {
        let server = Tcp::echo(address);
        let (address, target) = (server.address(), format!("tcp://{}", server.address()));
        let net = Net::new(&[&target], &[&target]);
        let outcome = net.run("sockets", tcp(kind, address)).await;
        came(&format!("{kind} echo"), &["ok", "ok", "ok", "ok", "hello (closed)"], &results(&outcome));
        let call = protocol::CallId::from_random(1);
        let expected = [
            EventBody::RequestDecided {
                call: call.clone(),
                request: 1,
                method: "connect".into(),
                target,
                addresses: vec![address.ip()],
                verdict: Verdict::Allow,
                rule: "all".into(),
                reason: "The rule allows it.".into(),
                secrets: Vec::new(),
                path: None,
                found: Vec::new(),
                idempotency_key: None,
            },
            EventBody::RequestFinished {
                call,
                request: 1,
                outcome: RequestOutcome::Closed { address: address.ip() },
                sent_bytes: 5,
                received_bytes: 5,
            },
        ];
        assert_eq!(*net.events.lock().unwrap(), expected);
        assert_eq!((server.connections(), net.names.asked().len()), (1, 0));
    }
}

#[tokio::test]
async fn datagrams_go_to_and_fro_and_each_destination_is_in_the_journal_once() {
    for (kind, address, any) in [("udp4", "127.0.0.1:0", "0.0.0.0:0"), ("udp6", "[::1]:0", "[::]:0")] {
        let server = Udp::echo(address);
        let (address, target) = (server.address(), format!("udp://{}", server.address()));
        let net = Net::new(&[&target], &[&target]);
        let send = |socket: usize, to: &[String]| json!({ "do": "send", "socket": socket, "to": to, "text": "hello" });
        let receive = |socket: usize| json!({ "do": "receive", "socket": socket, "bytes": 5, "within_ms": 5000 });
        let to = [address.to_string()];
        let outcome = net.run(
            "sockets",
            steps(json!([
                { "do": "open", "kind": kind },
                { "do": "bind", "socket": 0, "to": any },
                { "do": "stream", "socket": 0, "to": null },
                send(0, &to), receive(0), send(0, &to), receive(0), send(0, &[]),
                { "do": "open", "kind": kind },
                { "do": "stream", "socket": 1, "to": to[0] },
                { "do": "bind", "socket": 1, "to": any },
                { "do": "stream", "socket": 1, "to": to[0] },
                { "do": "stream", "socket": 1, "to": null, "keeps": true },
                send(1, &[]), receive(1), send(1, &to), receive(1),
            ])),
        );
        let outcome = outcome.await;
        let back = format!("{address} hello");
        let expected = [
            "ok",
            "ok",
            "ok",
            "1",
            &back,
            "1",
            &back,
            "invalid-argument",
            "ok",
            "invalid-state",
            "ok",
            "ok",
            "invalid-state",
            "1",
            &back,
            "1",
            &back,
        ];
        came(&format!("{kind} echo"), &expected, &results(&outcome));
        assert_eq!(net.decisions(), [(Verdict::Allow, "all".to_owned(), target)]);
        assert_eq!(finished(&net), [(RequestOutcome::Closed { address: address.ip() }, 20, 20)]);
        assert_eq!(server.datagrams(), 4);
    }
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_its_addresses_are_those_of_the_name() {
    let server = Tcp::echo("127.0.0.1:0");
    let (port, target) = (server.port(), format!("tcp://db.test:{}", server.port()));
    let net = Net::new(&[&target], &[&target]);
    // Whoever asks again is told another address.
    net.names.set("db.test", &[&["127.0.0.1", "127.0.0.1", "::1"], &["127.0.0.9"]]);
    let mut all = look_up(&["db.test", "DB.test."])["steps"].as_array().unwrap().clone();
    all.extend(tcp("tcp4", loopback(1, port))["steps"].as_array().unwrap().clone());
    all.extend(
        json!([
            { "do": "open", "kind": "tcp4" },
            { "do": "connect", "socket": 1, "to": loopback(9, port).to_string() },
        ])
        .as_array()
        .unwrap()
        .clone(),
    );
    let outcome = net.run("sockets", steps(all.into())).await;
    let expected = ["127.0.0.1 ::1", "127.0.0.1 ::1", "ok", "ok", "ok", "ok", "hello (closed)", "ok", "access-denied"];
    came("no rebinding between lookup and connection", &expected, &results(&outcome));
    assert_eq!(net.names.asked(), ["db.test"]);
    let other = format!("tcp://127.0.0.9:{port}");
    let expected = [
        (Verdict::Allow, "network.lookup".to_owned(), "db.test".to_owned()),
        (Verdict::Allow, "all".to_owned(), target),
        (Verdict::Deny, "grant.network".to_owned(), other),
    ];
    assert_eq!(net.decisions(), expected);
    let found = RequestOutcome::Resolved { addresses: vec![ip("127.0.0.1"), ip("::1")] };
    assert!(finished(&net).contains(&(found, 0, 0)), "{:?}", finished(&net));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_is_not_allowed_gets_no_connection_and_no_datagram() {
    let (server, datagrams) = (Tcp::echo("127.0.0.1:0"), Udp::echo("127.0.0.1:0"));
    let (tcp_to, udp_to) = (server.address(), datagrams.address());
    let before = |port: u16| port.checked_sub(1).unwrap();
    for (name, scheme, allowed, private, rule) in [
        ("no grant", "tcp", vec![], vec![format!("tcp://{tcp_to}")], "grant.network"),
        ("another port", "tcp", vec![format!("tcp://127.0.0.1:{}", before(tcp_to.port()))], vec![], "grant.network"),
        ("http is not tcp", "tcp", vec!["http://*:*".into(), "https://*:*".into()], vec![], "grant.network"),
        ("udp is not tcp", "tcp", vec!["udp://*:*".into()], vec![], "grant.network"),
        ("a name is not its address", "tcp", vec!["tcp://localhost:*".into()], vec![], "grant.network"),
        ("a private address", "tcp", vec!["tcp://*:*".into()], vec![], "network.private"),
        ("an exception for http", "tcp", vec!["tcp://*:*".into()], vec!["http://*:*".into()], "network.private"),
        ("no grant", "udp", vec![], vec![format!("udp://{udp_to}")], "grant.network"),
        ("another port", "udp", vec![format!("udp://127.0.0.1:{}", before(udp_to.port()))], vec![], "grant.network"),
        ("tcp is not udp", "udp", vec!["tcp://*:*".into()], vec![], "grant.network"),
        ("a private address", "udp", vec!["udp://*:*".into()], vec![], "network.private"),
    ] {
        let net = Net::new(&refs(&allowed), &refs(&private));
        let (to, step, arguments) = match scheme {
            "tcp" => (tcp_to, 1, tcp("tcp4", tcp_to)),
            _ => (udp_to, 3, udp("udp4", &[udp_to.to_string()])),
        };
        let outcome = net.run("sockets", arguments).await;
        holds(TABLE, &format!("{scheme}: {name}"), "access-denied", &results(&outcome)[step]);
        let target = format!("{scheme}://{to}");
        assert_eq!(net.decisions(), [(Verdict::Deny, rule.to_owned(), target.clone())], "{name}");
        assert_eq!(
            (outcome.refusals[0].target.as_str(), outcome.refusals[0].rule.as_str()),
            (&*target, rule),
            "{name}"
        );
        assert_eq!(net.names.asked(), [""; 0], "{name}");
    }
    assert_eq!((server.connections(), datagrams.datagrams()), (0, 0));
}

#[tokio::test]
async fn no_name_opens_a_private_address_or_what_it_was_not_found_to_have() {
    let server = Tcp::echo("127.0.0.1:0");
    let port = server.port();
    let net = Net::new(&[&format!("tcp://*.test:{port}")], &[]);
    net.names.set("private.test", &[&["127.0.0.1"]]);
    net.names.set("mapped.test", &[&["::ffff:127.0.0.1"]]);
    net.names.set("nat.test", &[&["64:ff9b::7f00:1", "2002:7f00:1::"]]);
    net.names.set("mixed.test", &[&["93.184.216.34", "127.0.0.1", "10.0.0.1"]]);
    for (name, expected) in [
        ("private.test", "access-denied"),
        ("mapped.test", "access-denied"),
        ("nat.test", "access-denied"),
        ("mixed.test", "93.184.216.34"),
    ] {
        net.events.lock().unwrap().clear();
        let mut all = look_up(&[name])["steps"].as_array().unwrap().clone();
        all.extend(tcp("tcp4", loopback(1, port))["steps"].as_array().unwrap().clone());
        let outcome = net.run("sockets", steps(all.into())).await;
        let results = results(&outcome);
        holds(TABLE, &format!("lookup of {name}"), vec![expected, "access-denied"], vec![&results[0], &results[2]]);
        assert_eq!(rules(&net), ["network.lookup", "grant.network"], "{name}");
        let hidden = outcome.refusals.iter().any(|refusal| refusal.rule == "network.private");
        assert_eq!(hidden, expected == "access-denied", "{name}: {:?}", outcome.refusals);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_found_address_is_reached_only_as_the_name_may_be() {
    let (server, other) = (Tcp::echo("127.0.0.1:0"), Tcp::echo("127.0.0.1:0"));
    let datagrams = Udp::echo("127.0.0.1:0");
    let allowed = format!("tcp://db.test:{}", server.port());
    let net = Net::new(&[&allowed], &["*://db.test:*"]);
    net.names.set("db.test", &[&["127.0.0.1"]]);
    let with = |arguments: Value| {
        let mut all = look_up(&["db.test"])["steps"].as_array().unwrap().clone();
        all.extend(arguments["steps"].as_array().unwrap().clone());
        steps(all.into())
    };
    assert_eq!(results(&net.run("sockets", with(tcp("tcp4", server.address()))).await)[5], "hello (closed)");
    let outcome = net.run("sockets", with(tcp("tcp4", other.address()))).await;
    holds(TABLE, "a name's address at another port", "access-denied", &results(&outcome)[2]);
    let target = format!("tcp://db.test:{}", other.port());
    assert_eq!(net.decisions().last(), Some(&(Verdict::Deny, "grant.network".into(), target)));
    let outcome = net.run("sockets", with(udp("udp4", &[datagrams.address().to_string()]))).await;
    holds(TABLE, "a name's address by UDP", "access-denied", &results(&outcome)[4]);
    // What another call found is nothing to this one.
    let outcome = net.run("sockets", tcp("tcp4", server.address())).await;
    holds(TABLE, "a name's address of another call", "access-denied", &results(&outcome)[1]);
    assert_eq!((server.connections(), other.connections(), datagrams.datagrams()), (1, 0, 0));
}

#[tokio::test]
async fn only_names_that_may_be_talked_to_are_looked_up() {
    let net = Net::new(&["tcp://a.test:1", "https://*.b.test", "tcp://10.0.0.0/8:*"], &["*://*:*"]);
    for name in ["a.test", "b.test", "x.a.test", "evil.test", "x.b.test"] {
        net.names.set(name, &[&["127.0.0.1"]]);
    }
    for (name, expected, rule) in [
        ("A.Test.", "127.0.0.1", Some("network.lookup")),
        ("x.b.test", "127.0.0.1", Some("network.lookup")),
        ("b.test", "access-denied", Some("grant.network")),
        ("x.a.test", "access-denied", Some("grant.network")),
        ("evil.test", "access-denied", Some("grant.network")),
        ("secret.evil.test", "access-denied", Some("grant.network")),
        ("a.test\0.evil.test", "invalid-argument", None),
        ("a..test", "invalid-argument", None),
        ("", "invalid-argument", None),
        ("10.1.2.3", "10.1.2.3", None),
        ("0x7f.1", "127.0.0.1", None),
        ("::ffff:10.1.2.3", "invalid-argument", None),
        ("[::ffff:10.1.2.3]", "10.1.2.3", None),
    ] {
        net.events.lock().unwrap().clear();
        let outcome = net.run("sockets", look_up(&[name])).await;
        came(&format!("lookup of {name:?}"), &[expected], &results(&outcome));
        assert_eq!(rules(&net).first().map(String::as_str), rule, "{name}");
    }
    let long = "a".repeat(1 << 20);
    assert_eq!(results(&net.run("sockets", look_up(&[&long])).await), ["invalid-argument"]);
    assert_eq!(net.names.asked(), ["a.test", "x.b.test"]);
}

#[tokio::test]
async fn a_name_without_addresses_or_with_too_many_is_an_error() {
    let net = Net::new(&["tcp://*:1"], &["*://*:*"]);
    let many: Vec<String> = (0..17).map(|last| format!("10.0.0.{last}")).collect();
    net.names.set("many.test", &[&refs(&many)]);
    net.names.set("none.test", &[&[]]);
    let outcome = net.run("sockets", look_up(&["many.test", "none.test", "unknown.test"])).await;
    came("names without an address", &["name-unresolvable"; 3], &results(&outcome));
    let reasons: Vec<_> = finished(&net).into_iter().map(|(outcome, ..)| outcome).collect();
    let failed = reasons.iter().all(|outcome| matches!(outcome, RequestOutcome::Failed { .. }));
    assert!(failed && reasons.len() == 3, "{reasons:?}");
}

#[tokio::test]
async fn no_spelling_of_a_private_address_gets_a_connection() {
    let (server, server6, datagrams) = (Tcp::echo("127.0.0.1:0"), Tcp::echo("[::1]:0"), Udp::echo("127.0.0.1:0"));
    let net = Net::new(&["tcp://*:*", "udp://*:*"], &[]);
    for (kind, host, code) in [
        ("tcp4", "127.0.0.1", "access-denied"),
        ("tcp4", "0.0.0.0", "access-denied"),
        ("tcp4", "169.254.169.254", "access-denied"),
        ("tcp4", "10.0.0.1", "access-denied"),
        ("tcp4", "224.0.0.1", "access-denied"),
        ("tcp4", "255.255.255.255", "access-denied"),
        ("tcp6", "[::1]", "access-denied"),
        ("tcp6", "[::]", "access-denied"),
        ("tcp6", "[::127.0.0.1]", "access-denied"),
        ("tcp6", "[64:ff9b::7f00:1]", "access-denied"),
        ("tcp6", "[2002:7f00:1::]", "access-denied"),
        ("tcp6", "[fe80::1]", "access-denied"),
        ("tcp6", "[fd00:ec2::254]", "access-denied"),
        ("tcp6", "[ff02::1]", "access-denied"),
        // As the standard has it: an IPv4 address is no business of an IPv6 socket, nor the other way round.
        ("tcp6", "[::ffff:127.0.0.1]", "invalid-argument"),
        ("tcp6", "127.0.0.1", "invalid-argument"),
        ("tcp4", "[::1]", "invalid-argument"),
    ] {
        for port in [server.port(), server6.port()] {
            let outcome = net.run("sockets", tcp(kind, format!("{host}:{port}"))).await;
            holds(TABLE, &format!("{kind} to {host}"), code, &results(&outcome)[1]);
        }
        let (kind, to) = (kind.replace("tcp", "udp"), format!("{host}:{}", datagrams.port()));
        let outcome = net.run("sockets", udp(&kind, &[to])).await;
        holds(TABLE, &format!("{kind} to {host}"), code, &results(&outcome)[3]);
    }
    assert_eq!((server.connections(), server6.connections(), datagrams.datagrams()), (0, 0, 0));
    assert!(rules(&net).iter().all(|rule| rule == "network.private"), "{:?}", rules(&net));
}

#[tokio::test]
async fn what_is_not_one_machine_is_never_reached_and_neither_is_a_blocked_network_or_url() {
    let server = Tcp::echo("127.0.0.1:0");
    let port = server.port();
    let net = Net::new(&["*://*:*"], &["*://*:*"]).with_rules(NetworkRules {
        allow_private: vec!["*://*:*".parse().unwrap()],
        block_networks: vec!["127.0.0.0/8".parse().unwrap()],
        block_url: vec!["https://10.0.0.7/admin".parse().unwrap()],
        ..NetworkRules::default()
    });
    for (kind, host, rule) in [
        ("udp4", "224.0.0.251", "network.unicast"),
        ("udp4", "255.255.255.255", "network.unicast"),
        ("udp4", "0.0.0.0", "network.unicast"),
        ("udp6", "[ff02::fb]", "network.unicast"),
        ("udp6", "[::]", "network.unicast"),
        ("udp4", "127.0.0.1", "network.block_networks"),
        ("udp4", "10.0.0.7", "network.block_url"),
    ] {
        let outcome = net.run("sockets", udp(kind, &[format!("{host}:{port}")])).await;
        holds(TABLE, &format!("{rule} of {host}"), "access-denied", &results(&outcome)[3]);
        assert_eq!(rules(&net).last().unwrap(), rule, "{host}");
    }
    for (kind, host) in [("tcp4", "127.0.0.1"), ("tcp4", "0.0.0.0"), ("tcp4", "10.0.0.7"), ("tcp6", "[::]")] {
        assert_eq!(
            results(&net.run("sockets", tcp(kind, format!("{host}:{port}"))).await)[1],
            "access-denied",
            "{host}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_with_a_blocked_url_is_not_reached_by_its_address() {
    let server = Tcp::echo("127.0.0.1:0");
    let net = Net::new(&["*://*:*"], &[]).with_rules(NetworkRules {
        allow_private: vec!["*://*:*".parse().unwrap()],
        block_url: vec!["https://api.test/admin".parse().unwrap()],
        ..NetworkRules::default()
    });
    net.names.set("api.test", &[&["127.0.0.1"]]);
    let mut all = look_up(&["api.test"])["steps"].as_array().unwrap().clone();
    all.extend(tcp("tcp4", server.address())["steps"].as_array().unwrap().clone());
    let outcome = net.run("sockets", steps(all.into())).await;
    assert_eq!(results(&outcome)[..3], ["127.0.0.1", "ok", "access-denied"]);
    assert_eq!((rules(&net).last().unwrap().as_str(), server.connections()), ("network.block_url", 0));
    // Without the lookup nobody knows whose address it is.
    let outcome = net.run("sockets", tcp("tcp4", server.address())).await;
    assert_eq!(results(&outcome)[1], "access-denied");
    assert_eq!((rules(&net).last().unwrap().as_str(), server.connections()), ("network.bare_address", 0));
    // Looked up as another name's, it is known.
    net.names.set("other.test", &[&["127.0.0.1"]]);
    let mut other = look_up(&["other.test"])["steps"].as_array().unwrap().clone();
    other.extend(tcp("tcp4", server.address())["steps"].as_array().unwrap().clone());
    assert_eq!(results(&net.run("sockets", steps(other.into())).await)[..3], ["127.0.0.1", "ok", "ok"]);
}

#[tokio::test]
async fn no_tool_serves() {
    let net = Net::new(&["*://*:*"], &["*://*:*"]);
    for (kind, any, own) in [("tcp4", "0.0.0.0:0", "127.0.0.1:0"), ("tcp6", "[::]:0", "[::1]:0")] {
        let fixed = any.replace(":0", ":8080");
        let bind = |to: &str| json!({ "do": "bind", "socket": 0, "to": to });
        let outcome = net.run(
            "sockets",
            steps(json!([
                { "do": "open", "kind": kind },
                bind(&fixed), bind(own), bind(any), bind(any),
                { "do": "listen", "socket": 0 },
                { "do": "accept", "socket": 0 },
                { "do": "open", "kind": kind.replace("tcp", "udp") },
                { "do": "bind", "socket": 1, "to": fixed },
                { "do": "bind", "socket": 1, "to": own },
                { "do": "addresses", "socket": 0 },
            ])),
        );
        let denied = "access-denied";
        let ends = format!("{any} invalid-state");
        let expected = ["ok", denied, denied, "ok", "invalid-state", denied, denied, "ok", denied, denied, &ends];
        came(&format!("{kind} binds and listens"), &expected, &results(&outcome.await));
    }
    assert_eq!(net.events.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn the_host_does_not_say_where_it_stands() {
    let server = Tcp::echo("127.0.0.1:0");
    let net = Net::new(&["tcp://*:*"], &["tcp://*:*"]);
    let mut all = tcp("tcp4", server.address())["steps"].as_array().unwrap()[..2].to_vec();
    all.push(json!({ "do": "addresses", "socket": 0 }));
    let outcome = net.run("sockets", steps(all.into())).await;
    let ends = results(&outcome).pop().unwrap();
    assert!(ends.starts_with("0.0.0.0:") && ends.ends_with(&format!(" {}", server.address())), "{ends}");
}

#[tokio::test]
async fn each_destination_of_a_socket_is_judged() {
    let (first, second) = (Udp::echo("127.0.0.1:0"), Udp::echo("127.0.0.1:0"));
    let net = Net::new(&[&format!("udp://{}", first.address())], &["*://*:*"]);
    let to = |all: &[&Udp]| all.iter().map(|server| server.address().to_string()).collect::<Vec<_>>();
    let send = |to: Vec<String>| json!({ "do": "send", "socket": 0, "to": to, "text": "x" });
    let outcome = net.run(
        "sockets",
        steps(json!([
            { "do": "open", "kind": "udp4" },
            { "do": "bind", "socket": 0, "to": "0.0.0.0:0" },
            { "do": "stream", "socket": 0, "to": null },
            send(to(&[&first])),
            send(to(&[&second])),
            send(to(&[&first, &second, &first])),
            { "do": "stream", "socket": 0, "to": second.address().to_string() },
            { "do": "stream", "socket": 0, "to": first.address().to_string() },
            send(to(&[&second])),
        ])),
    );
    let denied = "access-denied";
    let expected = ["ok", "ok", "ok", "1", denied, "1", denied, "ok", "invalid-argument"];
    came("a second destination", &expected, &results(&outcome.await));
    assert_eq!((first.datagrams(), second.datagrams()), (2, 0));
    assert_eq!(rules(&net), ["all", "grant.network", "grant.network"]);
}

#[tokio::test]
async fn datagrams_from_strangers_are_dropped() {
    let server = Udp::start("127.0.0.1:0", |server, stranger, _, from| {
        for _ in 0..20 {
            let _ = stranger.send_to(b"evil", from);
        }
        let _ = server.send_to(b"hello", from);
        let _ = stranger.send_to(b"evil", from);
    });
    let net = Net::new(&[&format!("udp://{}", server.address())], &["*://*:*"]);
    for connected in [false, true] {
        let to = server.address().to_string();
        let outcome = net.run(
            "sockets",
            steps(json!([
                { "do": "open", "kind": "udp4" },
                { "do": "bind", "socket": 0, "to": "0.0.0.0:0" },
                { "do": "stream", "socket": 0, "to": connected.then_some(&to) },
                { "do": "send", "socket": 0, "to": [to], "text": "x" },
                { "do": "receive", "socket": 0, "bytes": 5, "within_ms": 5000 },
                { "do": "receive", "socket": 0, "bytes": 5, "within_ms": 100 },
            ])),
        );
        let results = results(&outcome.await);
        let expected = vec![format!("{to} hello"), String::new()];
        holds(TABLE, &format!("datagrams of a stranger, {connected}"), expected, results[4..].to_vec());
    }
}

#[tokio::test]
async fn a_call_receives_only_so_much() {
    let flood = Tcp::start("127.0.0.1:0", |mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
    let rain = Udp::start("127.0.0.1:0", |server, _, _, from| {
        for _ in 0..200 {
            let _ = server.send_to(&[b'x'; 1000], from);
            std::thread::sleep(Duration::from_micros(100));
        }
    });
    let mut net = Net::new(&["tcp://*:*", "udp://*:*"], &["*://*:*"]);
    net.limits = Limits { received_bytes: 100_000, ..net.limits };
    let read = json!({ "do": "read", "socket": 0, "bytes": 1_000_000 });
    let connect = |socket: usize| json!({ "do": "connect", "socket": socket, "to": flood.address().to_string() });
    let outcome = net.run(
        "sockets",
        steps(json!([
            { "do": "open", "kind": "tcp4" }, connect(0), read, read,
            { "do": "open", "kind": "tcp4" }, connect(1), { "do": "read", "socket": 1, "bytes": 1 },
        ])),
    );
    let results_tcp = results(&outcome.await);
    let read: usize = results_tcp[2].split(' ').next().unwrap().parse().unwrap();
    let failed = results_tcp[2].ends_with("(failed)") && results_tcp[3] == " (closed)" && results_tcp[6] == " (failed)";
    holds(TABLE, "TCP beyond the limit of bytes", true, failed && read <= 100_000);
    let (outcome, _, received) = finished(&net)[0].clone();
    let expected = RequestOutcome::Failed { reason: "more than 100000 bytes came in this call".into() };
    assert!(outcome == expected && received > 100_000 && received < 300_000, "{outcome:?}, {received}");

    let to = rain.address().to_string();
    let outcome = net.run(
        "sockets",
        steps(json!([
            { "do": "open", "kind": "udp4" },
            { "do": "bind", "socket": 0, "to": "0.0.0.0:0" },
            { "do": "stream", "socket": 0, "to": to },
            { "do": "send", "socket": 0, "to": [], "text": "x" },
            { "do": "receive", "socket": 0, "bytes": 200_000, "within_ms": 2000 },
        ])),
    );
    let last = results(&outcome.await).pop().unwrap();
    holds(TABLE, "UDP beyond the limit of bytes", "access-denied after 100000 bytes", &last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_to_be_sent_is_sent_and_counted() {
    const BYTES: usize = 3_000_000;
    let server = Tcp::start("127.0.0.1:0", |mut stream| {
        let mut all = Vec::new();
        // Slow enough that the sender must wait.
        std::thread::sleep(Duration::from_millis(100));
        let _ = stream.read_to_end(&mut all);
        let _ = stream.write_all(all.len().to_string().as_bytes());
    });
    let net = Net::new(&["tcp://*:*"], &["*://*:*"]);
    let outcome = net.run(
        "sockets",
        steps(json!([
            { "do": "open", "kind": "tcp4" },
            { "do": "connect", "socket": 0, "to": server.address().to_string() },
            { "do": "pour", "socket": 0, "bytes": BYTES },
            { "do": "shutdown", "socket": 0 },
            { "do": "write", "socket": 0, "text": "more" },
            { "do": "read", "socket": 0, "bytes": 100 },
        ])),
    );
    let results = results(&outcome.await);
    assert_eq!(results[2..], ["ok".to_owned(), "ok".into(), "closed".into(), format!("{BYTES} (closed)")]);
    assert_eq!(finished(&net)[0].1, BYTES as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_and_connections_have_a_limit() {
    let server = Tcp::echo("127.0.0.1:0");
    let datagrams = Udp::echo("127.0.0.1:0");
    let mut net = Net::new(&["tcp://*:*", "udp://*:*"], &["*://*:*"]);
    for kind in ["tcp4", "udp6"] {
        let hoard = |count: usize| steps(json!([{ "do": "hoard", "kind": kind, "count": count }]));
        assert_eq!(results(&net.run("sockets", hoard(900)).await), ["ok"]);
        let outcome = net.run("sockets", hoard(2_000)).await;
        holds(TABLE, &format!("{kind}: 2000 sockets"), Ending::Stopped(StopCause::Resources), outcome.ending);
    }
    net.limits = Limits { connections: 2, ..net.limits };
    let open = |kind: &str| json!({ "do": "open", "kind": kind });
    let connect = |socket: usize| json!({ "do": "connect", "socket": socket, "to": server.address().to_string() });
    let outcome = net.run(
        "sockets",
        steps(json!([
            open("tcp4"), open("tcp4"), open("tcp4"), open("udp4"),
            connect(0), connect(1), connect(2),
            { "do": "bind", "socket": 3, "to": "0.0.0.0:0" },
            { "do": "stream", "socket": 3, "to": datagrams.address().to_string() },
            { "do": "drop", "socket": 0 },
            connect(2),
        ])),
    );
    let results = results(&outcome.await);
    let limit = "new-socket-limit";
    came("connections at once", &["ok", "ok", limit, "ok", limit, "ok", "ok"], &results[4..]);
    assert_eq!((server.connections(), datagrams.datagrams()), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_holds_no_call_and_what_was_sent_is_recorded() {
    let (end, silence) = std::sync::mpsc::channel::<()>();
    let silence = std::sync::Mutex::new(silence);
    let server = Tcp::start("127.0.0.1:0", move |stream| {
        let _ = silence.lock().unwrap().recv();
        drop(stream);
    });
    let datagrams = Udp::start("127.0.0.1:0", |_, _, _, _| {});
    let mut net = Net::new(&["tcp://*:*", "udp://*:*"], &["*://*:*"]);
    net.load("sockets").prepare().await.unwrap();
    let silent_udp = steps(json!([
        { "do": "open", "kind": "udp4" },
        { "do": "bind", "socket": 0, "to": "0.0.0.0:0" },
        { "do": "stream", "socket": 0, "to": datagrams.address().to_string() },
        { "do": "send", "socket": 0, "to": [], "text": "hello" },
        { "do": "receive", "socket": 0, "bytes": 1, "within_ms": 60_000 },
    ]));
    for arguments in [tcp("tcp4", server.address()), silent_udp] {
        net.events.lock().unwrap().clear();
        net.cancel = tokio_util::sync::CancellationToken::new();
        net.limits = Limits { timeout_ms: 300, ..net.limits };
        let started = Instant::now();
        let outcome = net.run("sockets", arguments.clone()).await;
        assert_eq!(outcome.ending, Ending::Stopped(StopCause::Deadline));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert_eq!(finished(&net), [(RequestOutcome::Closed { address: ip("127.0.0.1") }, 5, 0)]);

        net.limits = Limits { timeout_ms: 60_000, ..net.limits };
        let cancel = net.cancel.clone();
        let asked = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            cancel.cancel();
            Instant::now()
        });
        assert_eq!(net.run("sockets", arguments).await.ending, Ending::Cancelled);
        assert!(asked.await.unwrap().elapsed() < Duration::from_millis(100));
        assert_eq!(finished(&net).len(), 2);
    }
    drop(end);
}

#[tokio::test]
async fn nothing_leaves_a_socket_when_the_journal_takes_nothing() {
    let (server, datagrams) = (Tcp::echo("127.0.0.1:0"), Udp::echo("127.0.0.1:0"));
    let net = Net::new(&["*://*:*"], &["*://*:*"]).without_a_journal();
    net.names.set("db.test", &[&["127.0.0.1"]]);
    for arguments in
        [tcp("tcp4", server.address()), udp("udp4", &[datagrams.address().to_string()]), look_up(&["db.test"])]
    {
        let outcome = net.run("sockets", arguments).await;
        assert_eq!(outcome.ending, Ending::HostFailed("the journal refused an event: the disk is full".into()));
    }
    assert_eq!((server.connections(), datagrams.datagrams(), net.names.asked().len()), (0, 0, 0));
}

#[tokio::test]
async fn a_call_without_a_network_has_no_socket_that_reaches_anything() {
    let (server, datagrams) = (Tcp::echo("127.0.0.1:0"), Udp::echo("127.0.0.1:0"));
    let net = Net::new(&["*://*:*"], &["*://*:*"]);
    net.names.set("db.test", &[&["127.0.0.1"]]);
    for (arguments, step) in [
        (tcp("tcp4", server.address()), 1),
        (udp("udp4", &[datagrams.address().to_string()]), 3),
        (look_up(&["db.test"]), 0),
    ] {
        assert_eq!(results(&net.run_with("sockets", arguments, false).await)[step], "access-denied");
    }
    assert_eq!((server.connections(), datagrams.datagrams(), net.names.asked().len()), (0, 0, 0));
}

#[tokio::test]
async fn a_guest_that_goes_on_connecting_does_not_fill_the_journal() {
    let server = Tcp::echo("127.0.0.1:0");
    for allowed in [&["tcp://127.0.0.1:*", "udp://127.0.0.1:*"][..], &[]] {
        let mut net = Net::new(allowed, &["*://*:*"]);
        net.limits = Limits { requests: 3, ..net.limits };
        let mut all = Vec::new();
        for socket in 0..50 {
            all.push(json!({ "do": "open", "kind": "tcp4" }));
            all.push(json!({ "do": "connect", "socket": socket, "to": server.address().to_string() }));
            all.push(json!({ "do": "drop", "socket": socket }));
            all.push(json!({ "do": "lookup", "name": format!("{socket}.test") }));
        }
        let outcome = net.run("sockets", steps(all.into())).await;
        assert!(outcome.refusals.iter().any(|refusal| refusal.rule == "limits.requests"), "{:?}", outcome.refusals);
        assert_eq!(net.decisions().len(), 4);
    }
    assert!(server.connections() <= 3, "{}", server.connections());
}

#[tokio::test]
async fn options_that_nobody_would_set_are_refused_or_brought_into_range() {
    let (server, datagrams) = (Tcp::echo("127.0.0.1:0"), Udp::echo("127.0.0.1:0"));
    let net = Net::new(&["*://*:*"], &["*://*:*"]);
    let options = |socket: usize| json!({ "do": "options", "socket": socket });
    let outcome = net.run(
        "sockets",
        steps(json!([
            { "do": "open", "kind": "tcp4" }, options(0),
            { "do": "connect", "socket": 0, "to": server.address().to_string() }, options(0),
            { "do": "open", "kind": "udp4" }, options(1),
            { "do": "bind", "socket": 1, "to": "0.0.0.0:0" },
            { "do": "stream", "socket": 1, "to": datagrams.address().to_string() }, options(1),
        ])),
    );
    let results = results(&outcome.await);
    let (tcp, udp) = ("true Some(127) Some(255) Some(131072) false", "true Some(255) Some(131072)");
    came("options", &["ok", tcp, "ok", tcp, "ok", udp, "ok", "ok", udp], &results);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_any_order_with_any_arguments_do_not_break_the_host() {
    let (server, server6) = (Tcp::echo("127.0.0.1:0"), Tcp::echo("[::1]:0"));
    let (datagrams, datagrams6) = (Udp::echo("127.0.0.1:0"), Udp::echo("[::1]:0"));
    let mut net = Net::new(&["*://127.0.0.1:*", "*://[::1]:*", "*://*.test:*"], &["*://*:*"]);
    net.names.set("a.test", &[&["127.0.0.1", "::1"], &["127.0.0.2"]]);
    net.limits = Limits { requests: 10_000, ..net.limits };
    let mut addresses: Vec<String> = [server.address(), server6.address(), datagrams.address(), datagrams6.address()]
        .map(|address| address.to_string())
        .into();
    addresses.extend(
        ["0.0.0.0:0", "[::]:0", "127.0.0.1:1", "[::ffff:127.0.0.1]:7", "8.8.8.8:0", "[ff02::1]:9"].map(str::to_owned),
    );
    let names = ["a.test", "b.test", "evil.example", "", "127.1"];
    let mut connected = 0;
    for seed in 1..=RANDOM_CALLS {
        let seed = seed * 0x9E37_79B9;
        let random = json!({ "do": "random", "seed": seed, "calls": 400, "addresses": addresses, "names": names });
        let outcome = net.run("sockets", steps(json!([random]))).await;
        assert!(matches!(outcome.ending, Ending::Returned { .. }), "seed {seed}: {:?}", outcome.ending);
        connected += results(&outcome)[0].parse::<u32>().unwrap();
    }
    // Otherwise it would show little.
    assert!(connected > 10, "{connected}");
    let decided = net.decisions().iter().filter(|(verdict, ..)| *verdict == Verdict::Allow).count();
    assert_eq!(finished(&net).len(), decided, "whatever was allowed has its end");
}

/// Calls of the random guest, each with an order of its own.
const RANDOM_CALLS: u64 = 30;
