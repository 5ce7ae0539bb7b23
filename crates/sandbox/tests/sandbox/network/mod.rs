//! The gate: what is refused sends nothing, what is allowed goes exactly where it was judged to go.

mod echo;
mod secrets;
mod server;
mod setting;
mod sockets;

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use policy::Limits;
use protocol::{EventBody, RequestOutcome, StopCause, Verdict};
use sandbox::{Ending, Outcome, Refusal, Tls};
use serde_json::{Value, json};

use crate::setting::text;
use server::{Server, ok, response};
use setting::Net;

pub(crate) const PROBES: &[&str] = &["sockets", "web"];

const LOOPBACK: &[&str] = &["127.0.0.1"];

fn fetch(url: &str) -> Value {
    json!({ "url": url })
}

/// Asks the probe for one request, word by word.
fn raw(scheme: &str, authority: &str, path: &str) -> Value {
    json!({ "requests": [{ "scheme": scheme, "authority": authority, "path": path }] })
}

/// Returns what came of the probe's requests.
fn results(outcome: &Outcome) -> Vec<String> {
    serde_json::from_str(text(outcome)).unwrap()
}

fn refused(rule: &str, target: &str) -> (Verdict, String, String) {
    (Verdict::Deny, rule.to_owned(), target.to_owned())
}

#[tokio::test]
async fn an_allowed_request_goes_out_and_is_in_the_journal() {
    let server = Server::start(|_| ok("hello"));
    let (port, origin) = (server.port(), format!("http://api.test:{}", server.port()));
    let net = Net::new(&[&origin], &[&origin]);
    net.names.set("api.test", &[LOOPBACK]);
    let outcome = net.run("fetch", fetch(&format!("{origin}/a?b=c"))).await;
    assert!(text(&outcome).ends_with("200, text/plain, 5 bytes\n\nhello"), "{}", text(&outcome));
    let seen = server.seen().clone();
    assert!(seen[0].starts_with("GET /a?b=c HTTP/1.1\r\n") && seen[0].contains(&format!("host: api.test:{port}\r\n")));
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let call = protocol::CallId::from_random(1);
    let expected = [
        EventBody::LookupStarted { call: call.clone(), request: 1, name: "api.test".into() },
        EventBody::RequestDecided {
            call: call.clone(),
            request: 1,
            method: "GET".into(),
            target: origin.clone(),
            addresses: vec![loopback],
            verdict: Verdict::Allow,
            rule: "all".into(),
            reason: "The rule allows it.".into(),
            secrets: Vec::new(),
            path: Some("/a?b=c".into()),
            found: Vec::new(),
            idempotency_key: None,
        },
        EventBody::RequestFinished {
            call,
            request: 1,
            outcome: RequestOutcome::Answered { status: 200, address: loopback },
            sent_bytes: 0,
            received_bytes: 5,
        },
    ];
    assert_eq!(*net.events.lock().unwrap(), expected);
    assert_eq!(net.names.asked(), ["api.test"]);
}

#[tokio::test]
async fn what_the_grant_does_not_name_sends_nothing_not_even_a_question() {
    let server = Server::start(|_| ok("secret"));
    let net = Net::new(&["https://*.allowed.test", "http://allowed.test:1-9"], &["*://*:*"]);
    let port = server.port();
    for host in ["allowed.test", "evilallowed.test", "allowed.test.evil", "a.allowed.test", "localhost", "127.0.0.1"] {
        net.names.set(host, &[LOOPBACK]);
        let outcome = net.run("fetch", fetch(&format!("http://{host}:{port}/"))).await;
        let target = format!("http://{host}:{port}");
        let reason = "No granted host pattern names this target.".to_owned();
        assert_eq!(outcome.refusals, [Refusal { target: target.clone(), rule: "grant.network".into(), reason }]);
        assert_eq!(net.decisions().last(), Some(&refused("grant.network", &target)));
        assert_eq!(net.names.asked(), [""; 0], "{host}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_without_an_address_is_in_the_journal_too() {
    let net = Net::new(&["http://nowhere.test"], &[]);
    assert!(matches!(net.run("fetch", fetch("http://nowhere.test/")).await.ending, Ending::Rejected(_)));
    let events = net.events.lock().unwrap();
    let failed = matches!(&events[..], [
        EventBody::LookupStarted { .. },
        EventBody::RequestDecided { verdict: Verdict::Allow, addresses, .. },
        EventBody::RequestFinished { outcome: RequestOutcome::Failed { reason }, .. },
    ] if addresses.is_empty() && reason.contains("no address for nowhere.test"));
    assert!(failed, "{events:?}");
}

#[tokio::test]
async fn a_call_without_a_network_reaches_nothing_whatever_its_grant_says() {
    let server = Server::start(|_| ok("secret"));
    let net = Net::new(&["http://*:*"], &["http://*:*"]);
    let outcome = net.run_with("web", raw("http", &format!("127.0.0.1:{}", server.port()), "/"), false).await;
    assert_eq!(results(&outcome), ["ErrorCode::HttpRequestDenied"]);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_reached() {
    let server = Server::start(|_| ok("secret"));
    let net = Net::new(&["http://*:*"], &[]);
    let port = server.port();
    for (host, target) in [
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("[::ffff:7f00:1]", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("0", "0.0.0.0"),
        ("[::]", "[::]"),
        ("[::1]", "[::1]"),
        ("[64:ff9b::7f00:1]", "[64:ff9b::7f00:1]"),
        ("[2002:7f00:1::]", "[2002:7f00:1::]"),
        ("169.254.169.254", "169.254.169.254"),
        ("[fe80::1]", "[fe80::1]"),
        ("[fd00:ec2::254]", "[fd00:ec2::254]"),
        ("10.0.0.1", "10.0.0.1"),
        ("192.168.0.1", "192.168.0.1"),
    ] {
        let outcome = net.run("web", raw("http", &format!("{host}:{port}"), "/")).await;
        assert_eq!(results(&outcome), ["ErrorCode::HttpRequestDenied"], "{host}");
        let target = format!("http://{target}:{port}");
        assert_eq!(net.decisions().last(), Some(&refused("network.private", &target)), "{host}");
    }
    assert_eq!((server.connections(), net.names.asked().len()), (0, 0));
}

#[tokio::test]
async fn what_is_no_plain_url_is_refused() {
    let server = Server::start(|_| ok("secret"));
    let port = server.port();
    let net = Net::new(&["http://allowed.test:*"], &["http://*:*"]);
    net.names.set("allowed.test", &[LOOPBACK]);
    for (scheme, authority, path) in [
        ("http", format!("allowed.test@127.0.0.1:{port}"), "/"),
        ("http", format!("allowed.test:80@127.0.0.1:{port}"), "/"),
        ("http", format!("127.0.0.1:{port}@allowed.test"), "/"),
        ("http", format!("allowed.test..:{port}"), "/"),
        ("http", String::new(), "/"),
        ("file", String::new(), "/etc/passwd"),
        ("ftp", "allowed.test".into(), "/"),
        ("gopher", format!("127.0.0.1:{port}"), "/"),
    ] {
        let outcome = net.run("web", raw(scheme, &authority, path)).await;
        let result = results(&outcome).remove(0);
        assert!(!result.starts_with("200"), "{scheme}://{authority}{path}: {result}");
    }
    let endless = format!("/{}", "x".repeat(16 << 10));
    let long = "M".repeat(33);
    for (method, path) in [("CONNECT", "/"), ("TRACE", "/"), (long.as_str(), "/"), ("GET", endless.as_str())] {
        let request = json!({ "requests": [{
            "method": method, "scheme": "http", "authority": format!("allowed.test:{port}"), "path": path
        }] });
        assert_eq!(results(&net.run("web", request).await), ["ErrorCode::HttpRequestDenied"]);
        assert_eq!(net.decisions().last().unwrap().1, "network.url");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_with_one_private_address_is_refused_whole() {
    let server = Server::start(|_| ok("secret"));
    let port = server.port();
    let net = Net::new(&["http://*.test:*"], &[]);
    net.names.set("mixed.test", &[&["93.184.216.34", "127.0.0.1"]]);
    net.names.set("mapped.test", &[&["::ffff:127.0.0.1"]]);
    net.names.set("nat.test", &[&["64:ff9b::7f00:1"]]);
    for host in ["mixed.test", "mapped.test", "nat.test"] {
        let outcome = net.run("fetch", fetch(&format!("http://{host}:{port}/"))).await;
        assert!(matches!(outcome.ending, Ending::Rejected(_)), "{host}");
        assert_eq!(net.decisions().last(), Some(&refused("network.private", &format!("http://{host}:{port}"))));
        let events = net.events.lock().unwrap().clone();
        let Some(EventBody::RequestDecided { addresses, path, found, .. }) = events.last() else { panic!("refused") };
        // What it was refused by, so that it can be judged again; nothing that could be taken for a connection.
        assert_eq!((addresses.is_empty(), path.as_deref(), found.is_empty()), (true, Some("/"), false));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_judged_anew_and_asked_once_for_each_request() {
    let server = Server::start(|head| {
        if head.starts_with("GET /start") {
            response("302 Found", &[("location", "/again")], b"")
        } else {
            ok("secret")
        }
    });
    let origin = format!("http://turns.test:{}", server.port());
    let net = Net::new(&[&origin], &[&origin]);
    net.names.set("turns.test", &[LOOPBACK, &["203.0.113.1"]]);
    let rules = policy::NetworkRules {
        block_networks: vec!["203.0.113.0/24".parse().unwrap()],
        allow_private: vec![origin.parse().unwrap()],
        ..policy::NetworkRules::default()
    };
    let net = net.with_rules(rules);
    let outcome = net.run("fetch", fetch(&format!("{origin}/start"))).await;
    assert!(matches!(outcome.ending, Ending::Rejected(_)), "{:?}", outcome.ending);
    assert_eq!(net.names.asked(), ["turns.test", "turns.test"]);
    let rules: Vec<_> = net.decisions().into_iter().map(|(_, rule, _)| rule).collect();
    assert_eq!(rules, ["all", "network.block_networks"]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_redirect_is_judged_like_any_request_and_leaves_credentials_behind() {
    let other = Server::start(|_| ok("there"));
    let to = format!("http://other.test:{}/x", other.port());
    let server = Server::start({
        let to = to.clone();
        move |_| response("302 Found", &[("location", &to)], b"")
    });
    let origin = format!("http://api.test:{}", server.port());
    let with_credentials = json!({ "url": origin, "headers": { "Authorization": "Bearer x", "Cookie": "a=b" } });
    for (allowed, succeeds) in [(vec![origin.as_str()], false), (vec![origin.as_str(), "http://other.test:*"], true)] {
        let net = Net::new(&allowed, &["http://*:*"]);
        net.names.set("api.test", &[LOOPBACK]);
        net.names.set("other.test", &[LOOPBACK]);
        let outcome = net.run("fetch", with_credentials.clone()).await;
        assert_eq!(matches!(outcome.ending, Ending::Returned { .. }), succeeds, "{:?}", outcome.ending);
        assert_eq!(other.connections(), usize::from(succeeds));
    }
    assert!(server.seen()[0].contains("authorization: Bearer x") && server.seen()[0].contains("cookie: a=b"));
    let arrived = other.seen()[0].to_lowercase();
    assert!(arrived.contains("accept:") && !arrived.contains("authorization") && !arrived.contains("cookie"));
}

#[tokio::test]
async fn a_guest_chooses_neither_framing_nor_host_nor_hop() {
    let server = Server::start(|_| ok("x"));
    let port = server.port();
    let net = Net::new(&["http://api.test:*"], &["http://*:*"]);
    net.names.set("api.test", &[LOOPBACK]);
    let with = |name: &str, value: &str| {
        json!({ "requests": [{
            "scheme": "http", "authority": format!("api.test:{port}"), "path": "/", "headers": [[name, value]]
        }] })
    };
    for name in [
        "Host",
        "Connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Expect",
        "Via",
        "HTTP2-Settings",
    ] {
        assert!(results(&net.run("web", with(name, "x")).await)[0].starts_with("header: "), "{name}");
    }
    for (name, value) in [("x-a", "1\r\nx-b: 2"), ("x-a\r\nx-b", "1"), ("x-a", "1\0"), ("x a", "1"), ("", "1")] {
        assert!(results(&net.run("web", with(name, value)).await)[0].starts_with("header: "), "{name:?}: {value:?}");
    }
    assert_eq!(server.connections(), 0);
    let outcome = net.run("web", with("Accept-Encoding", "br")).await;
    assert_eq!(results(&outcome), ["200 x"]);
    assert!(server.seen()[0].contains("accept-encoding: gzip, identity\r\n") && !server.seen()[0].contains("br\r\n"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_are_decoded_counted_and_cut_off() {
    let server = Server::start(|head| {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        match path.as_str() {
            "/gzip" => response("200 OK", &[("content-encoding", "gzip")], &gzip(b"unfolded")),
            "/bomb" => response("200 OK", &[("content-encoding", "gzip")], &gzip(&vec![b'a'; 64 << 20])),
            "/large" => response("200 OK", &[], &vec![b'a'; 2 << 20]),
            "/brotli" => response("200 OK", &[("content-encoding", "br")], b"x"),
            "/void" => response("200 OK", &[("content-encoding", "gzip")], &gzip(b"").repeat(100_000)),
            "/twice" => response("200 OK", &[("content-encoding", "gzip"), ("content-encoding", "gzip")], b"x"),
            "/broken" => response("200 OK", &[("content-encoding", "gzip")], b"this is no gzip at all"),
            "/cut" => response("200 OK", &[("content-encoding", "gzip")], &gzip(&vec![7; 5000])[..20]),
            "/short" => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this".to_vec(),
            "/head" => [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; 1 << 20], b"\r\n\r\n".to_vec()].concat(),
            "/many" => format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(1000)).into_bytes(),
            _ => b"not http\r\n\r\n".to_vec(),
        }
    });
    let authority = format!("api.test:{}", server.port());
    let mut net = Net::new(&["http://api.test:*"], &["http://*:*"]);
    net.names.set("api.test", &[LOOPBACK]);
    net.limits = Limits { received_bytes: 1 << 20, ..net.limits };
    for (path, expected) in [
        ("/gzip", "200 unfolded"),
        ("/bomb", "body size exceeds limit: 1048576 bytes"),
        ("/void", "body size exceeds limit: 1048576 bytes"),
        ("/large", "body size exceeds limit: 1048576 bytes"),
        ("/brotli", "ErrorCode::HttpResponseContentCoding(Some(\"br\"))"),
        ("/twice", "ErrorCode::HttpResponseContentCoding"),
        ("/broken", "content coding: \"gzip\""),
        ("/cut", "incomplete HTTP response"),
        ("/short", "incomplete HTTP response"),
        ("/head", "ErrorCode::HttpProtocolError"),
        ("/many", "ErrorCode::HttpProtocolError"),
        ("/nonsense", "ErrorCode::HttpProtocolError"),
    ] {
        let result = results(&net.run("web", raw("http", &authority, path)).await).remove(0);
        assert!(result.contains(expected) && (path == "/gzip" || !result.starts_with("200")), "{path}: {result}");
    }
}

#[tokio::test]
async fn requests_and_connections_have_a_limit() {
    let server = Server::start(|_| response("302 Found", &[("location", "/again")], b""));
    let origin = format!("http://api.test:{}", server.port());
    let mut net = Net::new(&[&origin], &[&origin]);
    net.names.set("api.test", &[LOOPBACK]);
    net.limits = Limits { requests: 3, ..net.limits };
    let outcome = net.run("fetch", fetch(&origin)).await;
    assert_eq!(outcome.refusals.len(), 1);
    assert_eq!((server.connections(), net.decisions().last().unwrap().1.as_str()), (3, "limits.requests"));
}

#[tokio::test]
async fn a_guest_that_goes_on_asking_does_not_fill_the_journal() {
    let mut net = Net::new(&[], &[]);
    net.limits = Limits { requests: 3, ..net.limits };
    let refused = json!({ "scheme": "http", "authority": "nowhere.test", "path": "/" });
    let unparsed = json!({ "method": "TRACE", "scheme": "http", "authority": "nowhere.test", "path": "/" });
    for request in [refused, unparsed] {
        net.events.lock().unwrap().clear();
        let outcome = net.run("web", json!({ "requests": vec![request; 50] })).await;
        assert_eq!(results(&outcome), vec!["ErrorCode::HttpRequestDenied"; 50]);
        assert_eq!(net.events.lock().unwrap().len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_connections_are_open_at_once() {
    // Slow enough that all requests begin before the first one ends.
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_millis(500));
        ok("x")
    });
    let mut net = Net::new(&["http://api.test:*"], &["http://*:*"]);
    net.names.set("api.test", &[LOOPBACK]);
    net.limits = Limits { connections: 2, ..net.limits };
    net.load("web").prepare().await.unwrap();
    let one = json!({ "scheme": "http", "authority": format!("api.test:{}", server.port()), "path": "/" });
    let outcome = net.run("web", json!({ "requests": vec![one; 5] })).await;
    let mut results = results(&outcome);
    results.sort();
    let refused = "ErrorCode::ConnectionLimitReached";
    assert_eq!(results, ["200 x", "200 x", refused, refused, refused]);
    assert_eq!(server.connections(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_holds_no_call_beyond_its_deadline_or_its_cancellation() {
    let (answer, silence) = std::sync::mpsc::channel::<()>();
    let silence = std::sync::Mutex::new(silence);
    let server = Server::start(move |_| {
        let _ = silence.lock().unwrap().recv();
        Vec::new()
    });
    let origin = format!("http://api.test:{}", server.port());
    let mut net = Net::new(&[&origin], &[&origin]);
    net.names.set("api.test", &[LOOPBACK]);
    net.load("fetch").prepare().await.unwrap();
    net.limits = Limits { timeout_ms: 200, ..net.limits };
    let started = Instant::now();
    assert_eq!(net.run("fetch", fetch(&origin)).await.ending, Ending::Stopped(StopCause::Deadline));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let given_up = RequestOutcome::Failed { reason: "it was given up".into() };
    let last = net.events.lock().unwrap().last().cloned();
    assert!(matches!(&last, Some(EventBody::RequestFinished { outcome, .. }) if *outcome == given_up), "{last:?}");

    net.limits = Limits { timeout_ms: 60_000, ..net.limits };
    let cancel = net.cancel.clone();
    let asked = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
        Instant::now()
    });
    assert_eq!(net.run("fetch", fetch(&origin)).await.ending, Ending::Cancelled);
    assert!(asked.await.unwrap().elapsed() < Duration::from_millis(100));
    drop(answer);
}

#[tokio::test]
async fn nothing_leaves_when_the_journal_takes_nothing() {
    let server = Server::start(|_| ok("x"));
    // A name is recorded before it is asked for, an address before it is connected to.
    for host in ["api.test", "127.0.0.1"] {
        let origin = format!("http://{host}:{}", server.port());
        let net = Net::new(&[&origin], &[&origin]).without_a_journal();
        net.names.set("api.test", &[LOOPBACK]);
        let outcome = net.run("fetch", fetch(&origin)).await;
        assert_eq!(outcome.ending, Ending::HostFailed("the journal refused an event: the disk is full".into()));
        assert_eq!((server.connections(), net.names.asked()), (0, Vec::<String>::new()), "{host}");
    }
}

#[tokio::test]
async fn a_lookup_is_recorded_before_anybody_is_asked() {
    let server = Server::start(|_| ok("x"));
    let origin = format!("http://api.test:{}", server.port());
    let net = Net::new(&[&origin], &[&origin]);
    net.names.set("api.test", &[LOOPBACK]);
    net.run("fetch", fetch(&origin)).await;
    let events = net.events.lock().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| serde_json::to_value(event).unwrap()["type"].clone()).collect();
    assert_eq!(kinds, ["lookup_started", "request_decided", "request_finished"]);
}

#[tokio::test]
async fn long_methods_do_not_fill_the_journal() {
    let net = Net::new(&["http://*:*"], &[]);
    let long = json!({ "method": "A".repeat(100_000), "scheme": "http", "authority": "api.test", "path": "/" });
    let outcome = net.run("web", json!({ "requests": vec![long; 10] })).await;
    assert_eq!(results(&outcome), vec!["ErrorCode::HttpRequestDenied"; 10]);
    let events = net.events.lock().unwrap();
    assert_eq!(events.len(), 10);
    assert!(serde_json::to_string(&*events).unwrap().len() < 10_000);
}

#[tokio::test]
async fn a_certificate_counts_only_when_its_root_is_trusted() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&ok("over TLS")).await;
            let _ = stream.shutdown().await;
        }
    });
    let ask = async |tls: Tls, host: &str| {
        let net = Net::trusting(&["https://*:*"], &["https://*:*"], tls);
        net.names.set(host, &[LOOPBACK]);
        results(&net.run("web", raw("https", &format!("{host}:{port}"), "/")).await).remove(0)
    };
    let trusting = Tls::new(vec![cert.der().clone()]).unwrap();
    assert_eq!(ask(trusting.clone(), "api.test").await, "200 over TLS");
    assert_eq!(ask(trusting, "other.test").await, "ErrorCode::TlsCertificateError");
    assert_eq!(ask(Tls::new(Vec::new()).unwrap(), "api.test").await, "ErrorCode::TlsCertificateError");
    serving.abort();
}
