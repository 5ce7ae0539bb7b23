//! Secrets: the value reaches exactly whom it is bound to, and comes back to nobody.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use policy::{Placement, SecretSpec};
use protocol::EventBody;
use sandbox::{Ending, Outcome, Tls};
use serde_json::{Value, json};

use super::server::{Server, ok, response};
use super::setting::Net;
use super::{LOOPBACK, gzip, raw, results};
use crate::setting::text;

const VALUE: &str = "s3cr3t/Value+with%odd&chars";

fn secret(name: &str, host: &str, placement: Placement) -> SecretSpec {
    SecretSpec::new(name.parse().unwrap(), [host.parse().unwrap()].into(), placement).unwrap()
}

fn header(name: &str, host: &str) -> SecretSpec {
    secret(name, host, Placement::Header { name: "X-Key".into(), format: "Bearer {}".into() })
}

fn query(name: &str, host: &str) -> SecretSpec {
    secret(name, host, Placement::Query { name: "key".into() })
}

fn basic(name: &str, host: &str) -> SecretSpec {
    secret(name, host, Placement::Basic { user: "ada".into() })
}

/// Asks the probe for one request with these headers.
fn sent(origin: &str, path: &str, headers: &[(&str, &str)]) -> Value {
    let (scheme, authority) = origin.split_once("://").unwrap();
    json!({ "requests": [{ "scheme": scheme, "authority": authority, "path": path, "headers": headers }] })
}

fn used(net: &Net) -> Vec<Vec<String>> {
    let of = |event: &EventBody| match event {
        EventBody::RequestDecided { secrets, .. } => Some(secrets.clone()),
        _ => None,
    };
    net.events.lock().unwrap().iter().filter_map(of).collect()
}

fn assert_unseen(net: &Net, outcome: &Outcome, value: &str) {
    let told = format!("{:?} {:?} {}", outcome.ending, outcome.refusals, outcome.printed);
    let events = serde_json::to_string(&*net.events.lock().unwrap()).unwrap();
    assert!(!told.contains(value) && !events.contains(value), "{told}\n{events}");
}

#[tokio::test]
async fn a_value_is_put_where_it_belongs_and_its_echo_is_taken_out() {
    let server = Server::start(|head| ok(&format!("you sent: {head}")));
    let origin = format!("http://api.test:{}", server.port());
    let credentials = |password: &str| BASE64_STANDARD.encode(format!("ada:{password}"));
    let written = format!("basic {}", credentials("{{secret:KEY}}"));
    let encoded = "s3cr3t%2FValue%2Bwith%25odd%26chars";
    let (bearer, password) =
        (format!("x-key: Bearer {VALUE}\r\n"), format!("authorization: Basic {}\r\n", credentials(VALUE)));
    for (spec, path, headers, arrived) in [
        (header("KEY", &origin), "/", vec![("x-key", "{{secret:KEY}}")], bearer.clone()),
        (header("KEY", &origin), "/", vec![("X-KEY", "Bearer {{secret:KEY}}")], bearer.clone()),
        (header("KEY", "http://*.test:*"), "/", vec![("x-key", "{{secret:KEY}}")], bearer),
        (
            query("KEY", &origin),
            "/a?b={c}&key={{secret:KEY}}&d=%20",
            vec![],
            format!("/a?b={{c}}&key={encoded}&d=%20 HTTP"),
        ),
        (query("KEY", &origin), "/?k%65y=%7B%7Bsecret%3aKEY}}", vec![], format!("/?k%65y={encoded} HTTP")),
        (basic("KEY", &origin), "/", vec![("authorization", "{{secret:KEY}}")], password.clone()),
        (basic("KEY", &origin), "/", vec![("authorization", "Basic {{secret:KEY}}")], password.clone()),
        (basic("KEY", &origin), "/", vec![("Authorization", &written)], password),
    ] {
        let net = Net::new(&[&origin], &[&origin]).with_secrets(vec![(spec, VALUE)]).holding(&["KEY"]);
        net.names.set("api.test", &[LOOPBACK]);
        let outcome = net.run("web", sent(&origin, path, &headers)).await;
        let heard = server.seen().last().unwrap().clone();
        assert!(heard.contains(&arrived), "{arrived} {heard}");
        assert_eq!(used(&net), [["KEY"]]);
        let result = results(&outcome).remove(0);
        assert!(result.starts_with("200 you sent: GET /") && result.contains("{{secret:KEY}}"), "{result}");
        assert!(
            !result.contains(VALUE) && !result.contains(encoded) && !result.contains(&credentials(VALUE)),
            "{result}"
        );
        assert_unseen(&net, &outcome, VALUE);
    }
}

#[tokio::test]
async fn a_placeholder_that_must_not_be_replaced_sends_nothing_not_even_a_question() {
    let server = Server::start(|_| ok("x"));
    let port = server.port();
    let (api, other) = (format!("http://api.test:{port}"), format!("http://other.test:{port}"));
    let key = "{{secret:KEY}}";
    let encoded = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    let (mallory, stolen) = (encoded("mallory:{{secret:PASSWORD}}"), encoded("ada:{{secret:KEY}}"));
    let twice = encoded("{{secret:PASSWORD}}:{{secret:PASSWORD}}");
    for (origin, path, headers, rule) in [
        (&api, "/", vec![("x-key", "{{secret:HIDDEN}}")], "secrets.grant"),
        (&api, "/", vec![("x-key", "{{secret:MISSING}}")], "secrets.unknown"),
        (&api, "/", vec![("x-key", "{{secret:key}}")], "secrets.unknown"),
        (&api, "/", vec![("x-key", "{{secret:KEY")], "secrets.unknown"),
        (&api, "/", vec![("x-key", "{{secret:{{secret:KEY}}}}")], "secrets.unknown"),
        (&api, "/", vec![("x-a", "{{secret:"), ("x-key", "KEY}}")], "secrets.unknown"),
        (&other, "/", vec![("x-key", key)], "secrets.host"),
        (&api, "/", vec![("x-other", key)], "secrets.placement"),
        (&api, "/", vec![("x-key", "Bearer {{secret:KEY}} and more")], "secrets.placement"),
        (&api, "/", vec![("x-key", "Bearer  {{secret:KEY}}")], "secrets.placement"),
        (&api, "/", vec![("x-key", "{{secret:KEY}}{{secret:KEY}}")], "secrets.placement"),
        (&api, "/", vec![("x-key", key), ("x-key", key)], "secrets.placement"),
        (&api, "/", vec![("x-key", key), ("x-key", "mine")], "secrets.placement"),
        (&api, "/", vec![("x-key", key), ("x-other", key)], "secrets.placement"),
        (&api, "/?x={{secret:KEY}}", vec![("x-key", key)], "secrets.placement"),
        (&api, "/{{secret:KEY}}", vec![], "secrets.placement"),
        (&api, "/%7B%7Bsecret:KEY%7d%7d", vec![], "secrets.placement"),
        (&api, "/?key={{secret:KEY}}", vec![], "secrets.placement"),
        (&api, "/?{{secret:PARAMETER}}=x", vec![], "secrets.placement"),
        (&api, "/?key=a{{secret:PARAMETER}}", vec![], "secrets.placement"),
        (&api, "/?key={{secret:PARAMETER}}&key={{secret:PARAMETER}}", vec![], "secrets.placement"),
        (&api, "/?other={{secret:PARAMETER}}", vec![], "secrets.placement"),
        (&api, "/", vec![("authorization", &mallory)], "secrets.placement"),
        (&api, "/", vec![("authorization", &stolen)], "secrets.placement"),
        (&api, "/", vec![("authorization", &twice)], "secrets.placement"),
        (&api, "/", vec![("authorization", "Bearer {{secret:PASSWORD}}")], "secrets.placement"),
    ] {
        let net = Net::new(&["http://*.test:*"], &["http://*.test:*"])
            .with_secrets(vec![
                (header("KEY", &api), VALUE),
                (header("HIDDEN", &api), "hidden value"),
                (query("PARAMETER", &api), "parameter value"),
                (basic("PASSWORD", &api), "password value"),
            ])
            .holding(&["KEY", "PARAMETER", "PASSWORD", "MISSING"]);
        let outcome = net.run("web", sent(origin, path, &headers)).await;
        assert_eq!(results(&outcome), ["ErrorCode::HttpRequestDenied"], "{path} {headers:?}");
        assert_eq!(net.decisions().last().unwrap().1, rule, "{path} {headers:?}");
        assert_eq!(outcome.refusals[0].rule, rule);
        assert_eq!(net.names.asked(), [""; 0]);
        assert_unseen(&net, &outcome, VALUE);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_placeholder_is_part_of_no_host() {
    let net = Net::new(&["http://*:*"], &["http://*:*"]).with_secrets(vec![(header("KEY", "http://*:*"), VALUE)]);
    for authority in ["{{secret:KEY}}", "{{secret:KEY}}.test", "{{secret:KEY}}@api.test", "ada:{{secret:KEY}}@api.test"]
    {
        let outcome = net.run("web", raw("http", authority, "/")).await;
        assert!(!results(&outcome)[0].starts_with("200"), "{authority}");
        assert_unseen(&net, &outcome, VALUE);
    }
    assert_eq!(net.names.asked(), [""; 0]);
}

#[tokio::test]
async fn without_tls_a_value_goes_to_this_machine_only() {
    let server = Server::start(|_| ok("x"));
    let origin = format!("http://api.test:{}", server.port());
    let key = [("x-key", "{{secret:KEY}}")];
    for addresses in [&["192.0.2.1"][..], &["127.0.0.1", "192.0.2.1"]] {
        let net = Net::new(&[&origin], &[&origin]).with_secrets(vec![(header("KEY", &origin), VALUE)]);
        net.names.set("api.test", &[addresses]);
        let outcome = net.run("web", sent(&origin, "/", &key)).await;
        assert_eq!(results(&outcome), ["ErrorCode::HttpRequestDenied"]);
        assert_eq!(net.decisions().last().unwrap().1, "secrets.tls");
    }
    let direct = "http://192.0.2.1:9";
    let net = Net::new(&[direct], &[direct]).with_secrets(vec![(header("KEY", direct), VALUE)]);
    net.run("web", sent(direct, "/", &key)).await;
    assert_eq!(net.decisions().last().unwrap().1, "secrets.tls");
    assert_eq!(server.connections(), 0);
}

/// Echoes heads over TLS; returns its port, what to trust, and the heads.
async fn tls_echo() -> (u16, Tls, Arc<Mutex<Vec<String>>>, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, heads) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let seen = heads.clone();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let _ = stream.write_all(&ok(&head)).await;
            let _ = stream.shutdown().await;
            seen.lock().unwrap().push(head);
        }
    });
    (port, Tls::new(vec![cert.der().clone()]).unwrap(), heads, serving)
}

#[tokio::test]
async fn a_value_goes_out_over_tls_to_whom_the_certificate_names() {
    let (port, tls, heads, serving) = tls_echo().await;
    for (host, arrives) in [("api.test", true), ("other.test", false)] {
        let origin = format!("https://{host}:{port}");
        let net = Net::trusting(&[&origin], &[&origin], tls.clone())
            .with_secrets(vec![(header("KEY", "https://*.test:*"), VALUE)]);
        net.names.set(host, &[LOOPBACK]);
        let outcome = net.run("web", sent(&origin, "/", &[("x-key", "{{secret:KEY}}")])).await;
        let result = results(&outcome).remove(0);
        assert_eq!(result.contains("x-key: Bearer {{secret:KEY}}"), arrives, "{result}");
        assert_unseen(&net, &outcome, VALUE);
    }
    let heads = heads.lock().unwrap().clone();
    assert!(heads.len() == 1 && heads[0].contains(&format!("x-key: Bearer {VALUE}")), "{heads:?}");
    serving.abort();
}

#[tokio::test]
async fn a_redirect_leaves_the_value_behind() {
    let other = Server::start(|_| ok("there"));
    let elsewhere = format!("http://other.test:{}", other.port());
    let server = Server::start({
        let elsewhere = elsewhere.clone();
        move |head| {
            let path = head.split(' ').nth(1).unwrap();
            let value = path.split_once("key=").unwrap().1;
            let to = match path.split('?').next().unwrap() {
                // The value that came, a placeholder, or nothing: all to somebody else.
                "/echo" => format!("{elsewhere}/?key={value}"),
                "/ask" => format!("{elsewhere}/?key={{{{secret:KEY}}}}"),
                "/plain" => format!("{elsewhere}/"),
                "/again" => format!("/end?key={value}"),
                _ => return ok("arrived"),
            };
            response("302 Found", &[("location", &to)], b"")
        }
    });
    let origin = format!("http://api.test:{}", server.port());
    for (path, rules) in [
        ("/echo", &["all", "secrets.host"][..]),
        ("/ask", &["all", "secrets.host"]),
        ("/plain", &["all", "all"]),
        ("/again", &["all", "all"]),
    ] {
        let net =
            Net::new(&["http://*.test:*"], &["http://*.test:*"]).with_secrets(vec![(query("KEY", &origin), VALUE)]);
        net.names.set("api.test", &[LOOPBACK]);
        net.names.set("other.test", &[LOOPBACK]);
        let outcome = net.run("fetch", json!({ "url": format!("{origin}{path}?key={{{{secret:KEY}}}}") })).await;
        let decided: Vec<_> = net.decisions().into_iter().map(|(_, rule, _)| rule).collect();
        assert_eq!(decided, rules, "{path}: {:?}", outcome.ending);
        assert_unseen(&net, &outcome, VALUE);
    }
    assert_eq!(other.connections(), 1);
    assert!(!other.seen()[0].contains("key"), "{:?}", other.seen());
    assert!(server.seen().last().unwrap().starts_with("GET /end?key=s3cr3t%2FValue"), "{:?}", server.seen());
}

/// Returns `body` in chunks of `size`.
fn chunked(body: &[u8], size: usize, coding: &str) -> Vec<u8> {
    let mut whole = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{coding}\r\n").into_bytes();
    for chunk in body.chunks(size) {
        whole.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        whole.extend(chunk);
        whole.extend(b"\r\n");
    }
    whole.extend(b"0\r\n\r\n");
    whole
}

#[tokio::test]
async fn every_response_is_scrubbed_of_every_secret_whoever_sent_it() {
    let body = format!("{}a {VALUE} b{}", "x".repeat(5000), "y".repeat(5000));
    let clean = body.replace(VALUE, "{{secret:KEY}}");
    let server = Server::start({
        let body = body.clone();
        move |head| match head.split(' ').nth(1).unwrap() {
            "/plain" => ok(&body),
            "/chunks" => chunked(body.as_bytes(), 3, ""),
            "/gzip" => response("200 OK", &[("content-encoding", "gzip")], &gzip(body.as_bytes())),
            "/gzip-chunks" => chunked(&gzip(body.as_bytes()), 5, "content-encoding: gzip\r\n"),
            "/whole" => ok(VALUE),
            "/coding" => response("200 OK", &[("content-encoding", VALUE)], b"x"),
            _ => ok("{{secret:KEY}} {{secret:OTHER}}"),
        }
    });
    let origin = format!("http://api.test:{}", server.port());
    // Neither granted to the call nor bound to this host: known to the workspace is enough.
    let net = Net::new(&[&origin], &[&origin])
        .with_secrets(vec![(header("KEY", "https://elsewhere.test"), VALUE)])
        .holding(&[]);
    net.names.set("api.test", &[LOOPBACK]);
    for (path, expected) in [
        ("/plain", clean.as_str()),
        ("/chunks", &clean),
        ("/gzip", &clean),
        ("/gzip-chunks", &clean),
        ("/whole", "{{secret:KEY}}"),
        ("/placeholder", "{{secret:KEY}} {{secret:OTHER}}"),
    ] {
        let outcome = net.run("web", sent(&origin, path, &[])).await;
        assert_eq!(results(&outcome), [format!("200 {expected}")], "{path}");
    }
    let outcome = net.run("web", sent(&origin, "/coding", &[])).await;
    assert!(results(&outcome)[0].contains("HttpResponseContentCoding"), "{outcome:?}", outcome = outcome.ending);
    assert_unseen(&net, &outcome, VALUE);
}

#[tokio::test]
async fn headers_of_responses_are_scrubbed() {
    let server = Server::start(|_| {
        let kind = format!("text/plain; echo={VALUE}");
        response("200 OK", &[("content-type", &kind)], b"x")
    });
    let origin = format!("http://127.0.0.1:{}", server.port());
    let net = Net::new(&[&origin], &[&origin]).with_secrets(vec![(header("KEY", &origin), VALUE)]);
    let outcome = net.run("fetch", json!({ "url": origin })).await;
    assert!(text(&outcome).contains("200, text/plain; echo={{secret:KEY}}, 1 bytes"), "{}", text(&outcome));
}

#[tokio::test]
async fn a_value_that_looks_like_a_placeholder_is_sent_as_it_is() {
    let server = Server::start(|_| ok("x"));
    let origin = format!("http://127.0.0.1:{}", server.port());
    let net = Net::new(&[&origin], &[&origin])
        .with_secrets(vec![(query("KEY", &origin), "{{secret:OTHER}}"), (query("OTHER", &origin), VALUE)]);
    let outcome = net.run("web", sent(&origin, "/?key={{secret:KEY}}", &[])).await;
    assert!(matches!(outcome.ending, Ending::Returned { .. }));
    assert!(server.seen()[0].starts_with("GET /?key=%7B%7Bsecret%3AOTHER%7D%7D HTTP"), "{:?}", server.seen());
}

#[tokio::test]
async fn a_body_is_sent_as_it_was_written() {
    let server = Server::start(|_| ok("x"));
    let origin = format!("http://127.0.0.1:{}", server.port());
    let net = Net::new(&[&origin], &[&origin]).with_secrets(vec![(header("KEY", &origin), VALUE)]);
    net.run("fetch", json!({ "url": origin, "method": "POST", "body": "{{secret:KEY}}" })).await;
    assert!(server.seen()[0].ends_with("\r\n\r\n{{secret:KEY}}"), "{:?}", server.seen());
}
