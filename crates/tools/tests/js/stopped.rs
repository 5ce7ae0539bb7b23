//! Programs that do not come to their end: by an error of their own, or because the sandbox stops them.

use policy::Limits;
use protocol::{CallOutcome, StopCause};
use serde_json::json;
use testkit::Setup;

use crate::setting::{Said, call, run, runtime};

fn rejected(text: &str) -> Said {
    Said { outcome: CallOutcome::Rejected, text: text.into() }
}

#[tokio::test]
async fn an_uncaught_error_names_its_place() {
    for (code, expected) in [
        (
            "function f() {\n  null.x;\n}\nf();",
            "Uncaught TypeError: cannot convert 'null' or 'undefined' to object\n    at f ([code]:2:8)\n    at <main> ([code]:4:2)",
        ),
        ("await null;\n(() => { throw new RangeError('r') })()", "Uncaught RangeError: r\n    at <main> ([code]:2:16)"),
        ("throw 'text'", "Uncaught 'text'"),
        ("throw {code: 7}", "Uncaught { code: 7 }"),
        ("class Mine extends Error {}; throw new Mine('m')", "Uncaught Mine: m\n"),
        ("throw Object.assign(new Error('a'), {code: 'E_A'})", "{ code: 'E_A' }"),
        ("throw new Error('a', {cause: new Error('b')})", "[cause]: Error: b"),
        ("Promise.reject(new Error('lost')); 1", "Uncaught Error: lost"),
        ("setTimeout(() => { throw new Error('late') }, 1); 1", "Uncaught Error: late"),
        ("queueMicrotask(() => { throw new Error('micro') })", "Uncaught Error: micro"),
        ("(async () => { throw new Error('async') })()", "Uncaught Error: async"),
        ("undefinedName", "Uncaught ReferenceError: undefinedName is not defined"),
        (
            "await new Promise(() => {})",
            "Uncaught Error: the program waits for a promise that nothing settles any more",
        ),
        ("let a = ;", "Uncaught SyntaxError: "),
        ("import {a} from 'fs'; a", "Uncaught SyntaxError: "),
        ("Promise.reject(1).catch(() => {}); Promise.reject(2)", "Uncaught 2"),
        (
            "for (let i = 0; i <= 100_000; i++) setTimeout(() => {}, 1e9)",
            "Uncaught RangeError: more than 100000 timers",
        ),
        ("setTimeout('code', 1)", "Uncaught TypeError: the callback is not a function"),
        ("require('./lib.js')", "write `import … from \"./lib.js\"` for a file"),
    ] {
        let said = run(code).await;
        assert!(said.outcome == CallOutcome::Rejected && said.text.contains(expected), "{code}: {said:?}");
    }
}

#[tokio::test]
async fn a_rejection_that_is_handled_later_is_none() {
    assert_eq!(run("const p = Promise.reject(1); await p.catch(() => 2)").await, Said::succeeded("result: 2"));
}

#[tokio::test]
async fn what_was_printed_before_an_error_is_kept() {
    let said = run("console.log('a'); throw 1").await;
    assert_eq!(said, rejected("Uncaught 1\n\nNothing was changed.\n\nconsole output until then:\na\n"));
}

#[tokio::test]
async fn recursion_ends_as_a_range_error() {
    for code in ["function f() { return f() + 1 } f()", "const f = () => { try { f() } catch { f() } }; f()"] {
        let said = run(code).await;
        assert_eq!(said.outcome, CallOutcome::Rejected, "{said:?}");
        assert!(
            said.text.starts_with("Uncaught RangeError: Maximum call stack size exceeded\n    at f ([code]:1:"),
            "{said:?}"
        );
    }
    assert_eq!(run("function f(n) { return n ? f(n - 1) + 1 : 0 } f(9_000)").await, Said::succeeded("result: 9000"));
}

/// Chains that go through the engine's own functions use its stack, and source that is nested deeply its parser's.
#[tokio::test]
async fn deep_chains_through_the_engine_are_stopped() {
    for code in [
        "const f = () => [1].map(f); f()",
        "const o = {get x() { return this.x }}; o.x",
        "const o = {toString() { return `${this}` }}; `${o}`",
        "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; JSON.stringify(a)",
        "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; String(a)",
        "eval('('.repeat(1e5) + ')'.repeat(1e5))",
        "eval('[') + eval('['.repeat(1e5))",
        "JSON.parse('['.repeat(1e5) + ']'.repeat(1e5))",
        "/(?:a|b)*c/.test('ab'.repeat(1e6))",
        "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))",
        "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x",
        "let f = () => 1; for (let i = 0; i < 1e5; i++) f = f.bind(null); f()",
    ] {
        let said = run(code).await;
        let is_bounded =
            matches!(said.outcome, CallOutcome::Succeeded | CallOutcome::Rejected | CallOutcome::Stopped { .. });
        assert!(is_bounded, "{code}: {said:?}");
        assert_eq!(run("1").await, Said::succeeded("result: 1"), "after {code}");
    }
}

async fn stopped(code: &str, limits: Limits) -> CallOutcome {
    call(&runtime(Setup { limits, ..Setup::default() }), json!({ "code": code })).await.outcome
}

#[tokio::test]
async fn a_loop_without_end_is_stopped() {
    let limits = Limits { fuel: 500_000_000, ..Limits::default() };
    let fuel = CallOutcome::Stopped { cause: StopCause::Fuel };
    for code in [
        "for (;;) {}",
        "const f = () => Promise.resolve().then(f); f()",
        "/(a+)+b/.test('a'.repeat(40))",
        "while (true) await null",
    ] {
        assert_eq!(stopped(code, limits).await, fuel, "{code}");
    }
}

#[tokio::test]
async fn a_program_that_waits_for_ever_is_stopped() {
    let limits = Limits { timeout_ms: 1_500, ..Limits::default() };
    let deadline = CallOutcome::Stopped { cause: StopCause::Deadline };
    for code in ["setTimeout(() => {}, 1e9)", "setInterval(() => {}, 100)"] {
        assert_eq!(stopped(code, limits).await, deadline, "{code}");
    }
}

#[tokio::test]
async fn a_program_that_hoards_is_stopped() {
    let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
    let memory = CallOutcome::Stopped { cause: StopCause::Memory };
    for code in ["const a = []; for (;;) a.push({})", "let s = 'x'; for (;;) s += s"] {
        assert_eq!(stopped(code, limits).await, memory, "{code}");
    }
}

/// A buffer that does not fit is an error of the program, which may go on without it.
#[tokio::test]
async fn a_buffer_that_does_not_fit_is_a_range_error() {
    let runtime = runtime(Setup { limits: Limits { memory_bytes: 64 << 20, ..Limits::default() }, ..Setup::default() });
    let code = "const a = []; try { for (;;) a.push(new Uint8Array(1 << 20)) } catch (e) { [e.name, a.length > 20] }";
    let said = call(&runtime, json!({ "code": code })).await;
    assert_eq!(said, Said::succeeded("result: [\"RangeError\",true]"));
}

#[tokio::test]
async fn console_output_is_capped() {
    let said = run("for (let i = 0; i < 100_000; i++) console.log('line ' + i); 'end'").await;
    assert_eq!(said.outcome, CallOutcome::Succeeded);
    assert!(said.text.starts_with("line 0\nline 1\n"), "{}", &said.text[..100]);
}
