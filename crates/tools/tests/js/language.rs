//! The language: a table of programs with what the model reads of each.

use crate::setting::{Said, run};

/// Each program, and the whole text that it gives.
const PROGRAMS: &[(&str, &str)] = &[
    // Values
    ("1 + 1", "result: 2"),
    ("'a' + \"b\"", "result: \"ab\""),
    ("null", "result: null"),
    ("undefined", "(no output; the result is undefined)"),
    ("[1, 'a', null, true, {b: [2]}]", r#"result: [1,"a",null,true,{"b":[2]}]"#),
    ("({a: 1, b: {c: []}})", r#"result: {"a":1,"b":{"c":[]}}"#),
    ("0.1 + 0.2", "result: 0.30000000000000004"),
    ("NaN", "result: NaN"),
    ("-0", "result: -0"),
    ("[undefined]", "result: [ undefined ]"),
    ("10n ** 20n", "result: 100000000000000000000n"),
    ("Symbol('s')", "result: Symbol(s)"),
    ("new Map([[1, {a: 2}]])", "result: Map(1) { 1 => { a: 2 } }"),
    ("(function f() {})", "result: [Function: f]"),
    ("const o = {}; o.self = o; o", "result: <ref *1> { self: [Circular *1] }"),
    ("new Date(0)", "result: 1970-01-01T00:00:00.000Z"),
    ("Promise.resolve({a: 1})", r#"result: {"a":1}"#),
    ("(async () => { await null; return 'later' })()", r#"result: "later""#),
    // Output
    ("console.log('a', 1, {b: 'c'}); console.warn([1, 2])", "a 1 { b: 'c' }\n[ 1, 2 ]\n"),
    ("console.log('%s has %d', 'x', 2); 7", "x has 2\nresult: 7"),
    ("console.error('e'); console.info('i'); console.debug('d')", "e\ni\nd\n"),
    ("console.group('g'); console.log('in'); console.groupEnd(); console.log('out')", "g\n  in\nout\n"),
    ("console.log()", "\n"),
    ("'use strict'; let x = 1; x += 1; x", "result: 2"),
    ("#!/usr/bin/env js\n3", "result: 3"),
    // ES2022 and ES2023
    ("[1, 2, 3].findLast(x => x < 3)", "result: 2"),
    ("[1, 2, 3].findLastIndex(x => x < 3)", "result: 1"),
    (
        "const a = [3, 1, 2]; [a.toSorted(), a.toReversed(), a.with(0, 9), a.toSpliced(0, 1), a]",
        "result: [[1,2,3],[2,1,3],[9,1,2],[1,2],[3,1,2]]",
    ),
    ("[1, 2].at(-1) + 'ab'.at(0)", r#"result: "2a""#),
    ("Object.hasOwn({a: 1}, 'a')", "result: true"),
    ("Object.fromEntries(Object.entries({a: 1}).map(([k, v]) => [k, v + 1]))", r#"result: {"a":2}"#),
    (
        "class A { x = 1; #y = 2; static z = 3; get y() { return this.#y } #m() { return 4 } m() { return this.#m() } \
      static { A.w = 5 } has(o) { return #y in o } }; const a = new A; [a.x, a.y, A.z, a.m(), A.w, a.has(a), a.has({})]",
        "result: [1,2,3,4,5,true,false]",
    ),
    (
        "class A { constructor(n) { this.n = n } twice() { return 2 * this.n } } \
      class B extends A { twice() { return super.twice() + 1 } } new B(3).twice()",
        "result: 7",
    ),
    (
        "const o = {a: {b: null}}; [o?.a?.b?.c ?? 'none', o.x?.() === undefined, o.a.b ??= 5]",
        r#"result: ["none",true,5]"#,
    ),
    ("let n = null; n ||= 1; n &&= 2; n", "result: 2"),
    ("1_000_000", "result: 1000000"),
    (
        "const {a, ...rest} = {a: 1, b: 2, c: 3}; const [x = 9, ...y] = [undefined, 1, 2]; [a, rest, x, y]",
        r#"result: [1,{"b":2,"c":3},9,[1,2]]"#,
    ),
    ("`${1 + 1} ${((s, ...v) => s.raw.join('|') + v)`a${1}\\n${2}`}`", r#"result: "2 a|\\n|1,2""#),
    (
        "const m = /(?<year>\\d{4})-(?<month>\\d\\d)/.exec('on 2024-05'); [m.groups.year, m.groups.month, m.index]",
        r#"result: ["2024","05",3]"#,
    ),
    ("'a1b2'.replace(/(?<=b)\\d/, 'X') + 'x1'.match(/x(?!2)/)[0]", r#"result: "a1bXx""#),
    ("[...'a1b22'.matchAll(/\\d+/g)].map(m => m[0])", r#"result: ["1","22"]"#),
    ("/\\p{Lu}/u.test('É') && /^.$/u.test('😀') && /a.b/s.test('a\\nb')", "result: true"),
    ("/a(?<x>b)/d.exec('ab').indices.groups.x", "result: [1,2]"),
    ("'a-b-c'.replaceAll('-', '+').padStart(7, '.').trimEnd()", r#"result: "..a+b+c""#),
    (
        "function* g() { const x = yield 1; yield x * 2; return 3 } const i = g(); [i.next(), i.next(5), i.next()]",
        r#"result: [{"value":1,"done":false},{"value":10,"done":false},{"value":3,"done":true}]"#,
    ),
    ("function* walk(n) { if (n) { yield n; yield* walk(n - 1) } } [...walk(3)]", "result: [3,2,1]"),
    ("async function* g() { yield 1; yield 2 } let s = 0; for await (const x of g()) s += x; s", "result: 3"),
    (
        "const o = {async *[Symbol.asyncIterator]() { yield 'a' }}; const l = []; for await (const x of o) l.push(x); l",
        r#"result: ["a"]"#,
    ),
    (
        "const p = new Proxy({}, {get: (t, k) => `got ${String(k)}`, has: () => true}); [p.x, 'y' in p]",
        r#"result: ["got x",true]"#,
    ),
    ("Reflect.ownKeys(Reflect.construct(class { a = 1 }, []))", r#"result: ["a"]"#),
    ("const w = new WeakRef({a: 1}); w.deref().a", "result: 1"),
    ("const s = Symbol('k'); ({[s]: 1})[s] + Symbol.for('a').description", r#"result: "1a""#),
    ("label: for (let i = 0; ; i++) { for (;;) { if (i > 2) break label; continue label } } 'out'", r#"result: "out""#),
    ("let r; try { null.x } catch ({name}) { r = name } finally { r += '!' } r", r#"result: "TypeError!""#),
    ("new Error('a', {cause: 'b'}).cause", r#"result: "b""#),
    (
        "try { await Promise.any([Promise.reject(1)]) } catch (e) { console.log(e.name, e.errors) }",
        "AggregateError [ 1 ]\n",
    ),
    (
        "await Promise.allSettled([1, Promise.reject('no')])",
        r#"result: [{"status":"fulfilled","value":1},{"status":"rejected","reason":"no"}]"#,
    ),
    ("new Set([1, 2, 2]).size + new Map([[1, 2]]).get(1)", "result: 4"),
    ("new Uint8Array([1, 300]).with(0, 7)", "result: Uint8Array(2) [ 7, 44 ]"),
    ("new DataView(new Uint8Array([1, 2]).buffer).getUint16(0)", "result: 258"),
    ("BigInt.asUintN(8, 257n) + BigInt(2) ** 64n", "result: 18446744073709551617n"),
    ("Math.max(...[1, 2], 3) + Math.hypot(3, 4) + Math.trunc(-1.5) + Math.clz32(1)", "result: 38"),
    (
        "JSON.stringify({a: [1, {b: undefined}], d: new Date(0)}) + JSON.parse('[1]', (k, v) => v)[0]",
        r#"result: "{\"a\":[1,{}],\"d\":\"1970-01-01T00:00:00.000Z\"}1""#,
    ),
    ("eval('1 + 2') + new Function('a', 'return a * 2')(4)", "result: 11"),
    ("'abc'.substr(1, 1) + escape('ü')", r#"result: "b%FC""#),
    ("typeof Intl", r#"result: "undefined""#),
    ("globalThis === this", "result: true"),
    ("'ß'.localeCompare('s') !== 0 && 'é'.normalize('NFD').length", "result: 2"),
    ("Array.from({length: 3}, (_, i) => i ** 2).flatMap(x => [x, x]).includes(4)", "result: true"),
    ("Object.groupBy?.([1, 2, 3], x => x % 2 ? 'odd' : 'even')?.odd", "result: [1,3]"),
    // Promises and timers
    (
        "const order = []; setTimeout(() => order.push('timer'), 0); Promise.resolve().then(() => order.push('promise')); \
      queueMicrotask(() => order.push('micro')); order.push('now'); await new Promise(r => setTimeout(r, 1)); order",
        r#"result: ["now","promise","micro","timer"]"#,
    ),
    (
        "const l = []; const t = setInterval(() => { l.push(l.length); if (l.length === 3) clearInterval(t) }, 1); l",
        "result: [0,1,2]",
    ),
    ("const t = setTimeout(() => console.log('never'), 1); clearTimeout(t)", "(no output; the result is undefined)"),
    (
        "const a = performance.now(); await new Promise(r => setTimeout(r, 20)); performance.now() - a >= 19",
        "result: true",
    ),
    ("setTimeout((a, b) => console.log(a + b), 1, 'x', 'y'); 1", "xy\nresult: 1"),
    ("setTimeout(() => console.log('b'), 20); setTimeout(() => console.log('a'), 1); null", "a\nb\nresult: null"),
    // The web's globals
    ("new TextDecoder().decode(new TextEncoder().encode('aé€'))", r#"result: "aé€""#),
    ("[btoa('hi'), atob('aGk=')]", r#"result: ["aGk=","hi"]"#),
    (
        "const o = {d: new Date(0), m: new Map([[1, new Set([2])]])}; o.o = o; const c = structuredClone(o); \
      [c !== o, c.o === c, c.d.getTime(), c.m.get(1).has(2)]",
        "result: [true,true,0,true]",
    ),
    ("try { structuredClone(() => 1) } catch (e) { e.name }", r#"result: "DataCloneError""#),
    (
        "const u = new URL('../b?x=1#h', 'https://ex.org:8443/a/c'); u.searchParams.append('y', 'ü'); [u.href, u.host, u.pathname]",
        r#"result: ["https://ex.org:8443/b?x=1&y=%C3%BC#h","ex.org:8443","/b"]"#,
    ),
    (
        "[...new URLSearchParams('a=1&b=2&a=3')].length + new URLSearchParams({q: 'a b'}).toString()",
        r#"result: "3q=a+b""#,
    ),
    ("URL.canParse('no url')", "result: false"),
    ("[process.cwd(), process.argv, typeof process.exit]", r#"result: ["/work",["js","/work/[code]"],"undefined"]"#),
    ("[typeof require('path').join, require('node:fs').existsSync('nothing')]", r#"result: ["function",false]"#),
    (
        "const path = require('path'); [path.join('a', '..', 'b/./c'), path.resolve('x'), path.basename('/a/b.js', '.js'), \
      path.extname('a.b.c'), path.dirname('/a/b'), path.relative('/a/b', '/a/c/d'), path.normalize('/../a//b/')]",
        r#"result: ["b/c","/work/x","b",".c","/a","../c/d","/a/b/"]"#,
    ),
];

#[tokio::test]
async fn programs_say_what_they_should() {
    let mut wrong = Vec::new();
    for (code, expected) in PROGRAMS {
        let said = run(code).await;
        if said != Said::succeeded(expected) {
            wrong.push(format!("{code}\n  expected {expected:?}\n  {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), PROGRAMS.len(), wrong.join("\n"));
}
