//! `fetch`: what programs make of it, and that each request passes the gate.

use protocol::CallOutcome;
use serde_json::json;
use testkit::{Runtime, Server, Setup};

use crate::setting::{Said, call, run, runtime};

/// Tells a request back: its first line, the headers that a test sends, and its body.
fn mirror(request: &str) -> Vec<u8> {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let first = lines.next().unwrap();
    if first.starts_with("GET /moved ") {
        return answer("302 Found", "location: /there\r\n", "");
    }
    if first.starts_with("GET /missing ") {
        return answer("404 Not Found", "set-cookie: a=1\r\nset-cookie: b=2\r\n", "gone");
    }
    let told = |name: &str| ["x-", "content-type"].iter().any(|prefix| name.to_ascii_lowercase().starts_with(prefix));
    let mut headers: Vec<_> = lines.filter(|line| told(line)).map(str::to_ascii_lowercase).collect();
    headers.sort();
    answer("200 OK", "content-type: application/json\r\n", &json!([first, headers, body]).to_string())
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Returns a server, and a runtime whose tools may reach it.
fn served() -> (Server, Runtime) {
    let server = Server::start(mirror);
    let hosts = vec![format!("http://{}", server.address()).parse().unwrap()];
    let runtime = runtime(Setup { hosts, ..Setup::default() });
    (server, runtime)
}

#[tokio::test]
async fn requests_are_what_the_program_says() {
    let (server, runtime) = served();
    for (code, expected) in [
        ("await (await fetch(at + '/x?y=1')).json()", "result: ['GET /x?y=1 HTTP/1.1',[],'']"),
        ("(await fetch(new URL('/u', at))).status", "result: 200"),
        (
            "await (await fetch(at, {method: 'post', body: 'é', headers: {'X-A': 1}})).json()",
            "result: ['POST / HTTP/1.1',['content-type: text/plain;charset=utf-8','x-a: 1'],'é']",
        ),
        (
            "await (await fetch(at, {method: 'PUT', body: new URLSearchParams({a: 'b c'})})).json()",
            "result: ['PUT / HTTP/1.1',['content-type: application/x-www-form-urlencoded;charset=utf-8'],'a=b+c']",
        ),
        (
            "await (await fetch(new Request(at, {method: 'PATCH', body: new Uint8Array([104, 105])}))).json()",
            "result: ['PATCH / HTTP/1.1',[],'hi']",
        ),
        (
            "const moved = await fetch(at + '/moved'); [moved.redirected, new URL(moved.url).pathname, moved.ok]",
            "result: [true,'/there',true]",
        ),
        (
            "const kept = await fetch(at + '/moved', {redirect: 'manual'}); [kept.status, kept.headers.get('Location')]",
            "result: [302,'/there']",
        ),
        (
            "const gone = await fetch(at + '/missing'); [gone.ok, gone.status, gone.headers.getSetCookie(), await gone.text()]",
            "result: [false,404,['a=1','b=2'],'gone']",
        ),
        (
            "const r = await fetch(at); const copy = r.clone(); (await r.arrayBuffer()).byteLength === (await copy.bytes()).length",
            "result: true",
        ),
        (
            "(await Promise.all([1, 2, 3].map(async (n) => (await (await fetch(at + '/' + n)).json())[0]))).length",
            "result: 3",
        ),
        ("[...new Headers([['B', '1'], ['a', '2'], ['b', '3']])]", "result: [['a','2'],['b','1, 3']]"),
        ("await Response.json({a: 1}).json()", "result: {'a':1}"),
    ] {
        let code = format!("const at = 'http://{}';\n{code}", server.address());
        let said = call(&runtime, json!({ "code": code })).await;
        let text = said.text.replace('"', "'");
        assert_eq!((said.outcome, text.as_str()), (CallOutcome::Succeeded, expected), "{code}");
    }
}

#[tokio::test]
async fn what_fails_is_an_error_that_a_program_can_catch() {
    let (server, runtime) = served();
    for (code, expected) in [
        ("await fetch(at + '/moved', {redirect: 'error'})", "TypeError: fetch failed: the response is a redirect"),
        ("await fetch(at, {body: 'x'})", "TypeError: a GET request has no body"),
        ("await fetch(at, {redirect: 'sometimes'})", "redirect is \"error\", \"follow\" or \"manual\""),
        ("await fetch('no url')", "TypeError: Invalid URL"),
        ("await fetch('ftp://a.test/')", "TypeError: fetch failed: "),
        ("await fetch(at, {headers: {'a b': 'c'}})", "TypeError: fetch failed: "),
        ("await fetch(at, {headers: {a: 'b\\r\\nc: d'}})", "TypeError: fetch failed: "),
        ("const r = await fetch(at); await r.text(); await r.text()", "TypeError: the body was read before"),
        ("await (await fetch(at + '/missing')).json()", "SyntaxError: "),
    ] {
        let code = format!("const at = 'http://{}';\n{code}", server.address());
        let said = call(&runtime, json!({ "code": code })).await;
        assert!(said.outcome == CallOutcome::Rejected && said.text.contains(expected), "{code}: {said:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_not_reached() {
    let (server, runtime) = served();
    let other = Server::start(|_| unreachable!("nobody may connect"));
    let code = format!(
        "const tried = await fetch('http://{}').catch((error) => error.message); console.log(tried); (await fetch('http://{}')).status",
        other.address(),
        server.address()
    );
    let said = call(&runtime, json!({ "code": code })).await;
    assert!(said.text.starts_with("fetch failed: the runtime refused the connection\nresult: 200"), "{said:?}");
    assert!(said.text.contains(&format!("http://{}", other.address())), "the refusal is told: {said:?}");
    let nobody = run(&format!("await fetch('http://{}')", server.address())).await;
    assert!(nobody.text.contains("TypeError: fetch failed: the runtime refused the connection"), "{nobody:?}");
}

#[tokio::test]
async fn a_program_may_have_names_of_its_own_for_these() {
    assert_eq!(
        run("globalThis.fetch = () => 7; [fetch(), typeof Headers]").await,
        Said::succeeded("result: [7,\"function\"]")
    );
}
