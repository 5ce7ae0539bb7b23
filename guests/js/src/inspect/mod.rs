//! Values as people read them, in the manner of Node's `util.inspect`.
//!
//! No code of the program runs for it: getters are named, not called, and a proxy is shown as one.

mod entries;
mod primitive;
pub(crate) mod shape;

use boa_engine::value::JsVariant;
use boa_engine::{Context, JsObject, JsValue};

/// Objects within objects that are shown; a deeper one is `[Object]`. Node shows two, and readers of logs ask for more.
const MAX_DEPTH: usize = 4;

/// A list of entries is put on one line when it fits into so many characters.
const LINE_CHARS: usize = 76;

/// Entries of a list that are no longer than this share lines.
const SHORT_CHARS: usize = 20;

/// Entries of one array, map, set or object that are shown.
const MAX_ENTRIES: usize = 100;

/// Returns `value` as `console.log` prints it: a string as it is.
pub fn inspect(value: &JsValue, context: &mut Context) -> String {
    match value.variant() {
        JsVariant::String(text) => text.to_std_string_lossy(),
        _ => inspect_nested(value, context),
    }
}

/// Returns `value` as it is shown inside another: a string in quotes.
pub fn inspect_nested(value: &JsValue, context: &mut Context) -> String {
    let mut printer = Printer { context, above: Vec::new(), is_circular: false };
    let text = printer.value(value);
    if printer.is_circular { format!("<ref *1> {text}") } else { text }
}

/// One inspection under way.
struct Printer<'a> {
    context: &'a mut Context,
    /// The objects that hold the one that is shown now.
    above: Vec<JsObject>,
    is_circular: bool,
}

/// What stands in front of an object's brackets, which brackets, and what is in them.
struct Shown {
    prefix: String,
    brackets: Brackets,
    entries: Vec<String>,
}

/// What encloses an object's entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brackets {
    Square,
    Curly,
    /// Curly ones, and none where there are no entries: the prefix says it all.
    Optional,
}

impl Brackets {
    fn letters(self) -> (char, char) {
        if self == Self::Square { ('[', ']') } else { ('{', '}') }
    }
}

impl Printer<'_> {
    fn value(&mut self, value: &JsValue) -> String {
        match value.variant() {
            JsVariant::Object(object) => self.object(&object),
            _ => primitive::show(value),
        }
    }

    fn object(&mut self, object: &JsObject) -> String {
        if self.above.iter().any(|other| JsObject::equals(other, object)) {
            self.is_circular = true;
            return "[Circular *1]".into();
        }
        if let Some(text) = self.leaf(object) {
            return text;
        }
        if self.above.len() > MAX_DEPTH {
            return format!("[{}]", shape::name(object).unwrap_or_else(|| "Object".into()));
        }
        self.above.push(object.clone());
        let shown = self.shown(object);
        self.above.pop();
        layout(&shown)
    }
}

/// Puts the entries on one line where they fit, else on one each.
fn layout(shown: &Shown) -> String {
    let Shown { prefix, brackets, entries } = shown;
    if entries.is_empty() && *brackets == Brackets::Optional {
        return prefix.clone();
    }
    let (open, close) = brackets.letters();
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix} ") };
    if entries.is_empty() {
        return format!("{prefix}{open}{close}");
    }
    let chars: usize = entries.iter().map(|entry| entry.chars().count() + 2).sum();
    let is_flat = entries.iter().all(|entry| !entry.contains('\n'));
    if is_flat && chars + prefix.chars().count() <= LINE_CHARS {
        return format!("{prefix}{open} {} {close}", entries.join(", "));
    }
    let is_short = |entry: &String| entry.chars().count() <= SHORT_CHARS;
    let is_list = *brackets == Brackets::Square && is_flat && entries.iter().all(is_short);
    let lines = if is_list { filled(entries) } else { entries.clone() };
    let lines: Vec<_> = lines.iter().map(|line| format!("  {}", line.replace('\n', "\n  "))).collect();
    format!("{prefix}{open}\n{}\n{close}", lines.join(",\n"))
}

/// Puts as many short entries on each line as fit.
fn filled(entries: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for entry in entries {
        match lines.last_mut() {
            Some(line) if line.chars().count() + entry.chars().count() + 2 <= LINE_CHARS => {
                line.push_str(", ");
                line.push_str(entry);
            }
            _ => lines.push(entry.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use boa_engine::Source;

    fn shown(code: &str) -> String {
        let context = &mut Context::default();
        let value = context.eval(Source::from_bytes(code)).unwrap();
        inspect_nested(&value, context)
    }

    #[test]
    fn values_are_shown_as_node_shows_them() {
        for (code, expected) in [
            ("undefined", "undefined"),
            ("null", "null"),
            ("-0", "-0"),
            ("0.1", "0.1"),
            ("1e21", "1e+21"),
            ("NaN", "NaN"),
            ("12n", "12n"),
            ("'a'", "'a'"),
            ("\"it's\"", "\"it's\""),
            ("'a\\nb\\\\'", "'a\\nb\\\\'"),
            ("Symbol('s')", "Symbol(s)"),
            ("[]", "[]"),
            ("({})", "{}"),
            ("[1, 'a', , undefined,,,]", "[ 1, 'a', <1 empty item>, undefined, <2 empty items> ]"),
            ("({a: 1, 'b-c': [2], 3: 4})", "{ '3': 4, a: 1, 'b-c': [ 2 ] }"),
            (
                "({get a() { return 1 }, set a(_) {}, get b() { return 1 }, set c(_) {}})",
                "{ a: [Getter/Setter], b: [Getter], c: [Setter] }",
            ),
            ("({[Symbol('k')]: 1})", "{ [Symbol(k)]: 1 }"),
            ("Object.assign([1], {a: 2})", "[ 1, a: 2 ]"),
            ("Object.create(null)", "[Object: null prototype] {}"),
            ("class A { x = 1; #y = 2 }; new A", "A { x: 1 }"),
            ("class B {}; new B", "B {}"),
            ("class C extends Array {}; C.from([1])", "C(1) [ 1 ]"),
            ("new Map([['a', {b: 1}]])", "Map(1) { 'a' => { b: 1 } }"),
            ("new Set([1, 2])", "Set(2) { 1, 2 }"),
            ("new WeakMap", "WeakMap { <items unknown> }"),
            ("new Date(0)", "1970-01-01T00:00:00.000Z"),
            ("new Date(NaN)", "Invalid Date"),
            ("/a/gi", "/a/gi"),
            ("(function f() {})", "[Function: f]"),
            ("(() => 1)", "[Function (anonymous)]"),
            ("async function g() {}; g", "[AsyncFunction: g]"),
            ("function* h() {}; h", "[GeneratorFunction: h]"),
            ("class D {}; D", "[class D]"),
            ("class E {}; class F extends E {}; F", "[class F extends E]"),
            ("Object.assign(function f() {}, {a: 1})", "[Function: f] { a: 1 }"),
            ("Math.max", "[Function: max]"),
            ("new Uint8Array([1, 2])", "Uint8Array(2) [ 1, 2 ]"),
            ("new ArrayBuffer(2)", "ArrayBuffer { byteLength: 2 }"),
            ("Promise.resolve(1)", "Promise { 1 }"),
            ("new Promise(() => {})", "Promise { <pending> }"),
            ("new Proxy({a: 1}, {})", "[Proxy]"),
            ("let o = {a: {}}; o.a.b = o; o", "<ref *1> { a: { b: [Circular *1] } }"),
            ("({a: {b: {c: {d: {e: {}}}}}})", "{ a: { b: { c: { d: { e: [Object] } } } } }"),
            ("new String('s')", "[String: 's']"),
            ("new Number(3)", "[Number: 3]"),
            ("(function () { return arguments })(1, 2)", "[Arguments] [ 1, 2 ]"),
            ("[[[[[[1]]]]]]", "[ [ [ [ [ [Array] ] ] ] ] ]"),
            ("globalThis.Math", "Object [Math] {}"),
        ] {
            assert_eq!(shown(code), expected, "{code}");
        }
    }

    #[test]
    fn long_objects_take_a_line_for_each_entry() {
        let expected = format!("{{\n  a: '{0}',\n  b: {{\n    c: '{0}',\n    d: '{0}'\n  }}\n}}", "x".repeat(40));
        assert_eq!(shown("let x = 'x'.repeat(40); ({a: x, b: {c: x, d: x}})"), expected);
    }

    #[test]
    fn long_lists_are_filled_and_cut() {
        let text = shown("Array.from({length: 120}, (_, i) => i)");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            (lines[0], lines[lines.len() - 2], lines[lines.len() - 1]),
            ("[", "  98, 99, ... 20 more items", "]")
        );
        assert!(lines[1].starts_with("  0, 1, 2, 3,") && lines.iter().all(|line| line.len() <= 79), "{text}");
        assert_eq!(lines.len(), 8, "{text}");
    }

    #[test]
    fn no_code_of_the_program_runs() {
        let code = "let ran = false; const o = {get a() { ran = true }, toString() { ran = true }};
            const p = new Proxy({}, {ownKeys() { ran = true; return [] }, get() { ran = true }}); [o, p]";
        let context = &mut Context::default();
        let value = context.eval(Source::from_bytes(code)).unwrap();
        inspect_nested(&value, context);
        assert_eq!(context.eval(Source::from_bytes("ran")).unwrap(), false.into());
    }
}
