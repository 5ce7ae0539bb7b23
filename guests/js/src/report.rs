//! What a model reads of a program: its output, its result, or why it ended early.

use boa_engine::error::EngineError;
use boa_engine::property::PropertyKey;
use boa_engine::value::JsVariant;
use boa_engine::{Context, JsError, JsObject, JsValue, js_string};
use kit::{Failure, Output, counted};

use crate::console::Console;
use crate::globals::Host;
use crate::inspect::{inspect_nested, shape};
use crate::modules::HOME;
use crate::program::CODE;

/// A longer result is cut: with what the console keeps it stays well within what a call may return.
const MAX_RESULT_BYTES: usize = 1 << 20;

/// JSON that is no longer stands on one line.
const LINE_CHARS: usize = 100;

/// Lists within lists that are shown as JSON; deeper values are inspected.
const MAX_DEPTH: usize = 64;

/// Characters of a result that a person sees in the summary.
const SUMMARY_CHARS: usize = 80;

/// Returns what is said of a program that ran to its end. `result` is shown already.
pub fn ran(console: &Console, result: Option<String>) -> Output {
    let text = match &result {
        Some(result) => format!("{}result: {}", console.text(), cut(result)),
        None if console.lines() == 0 => "(no output; the result is undefined)".to_owned(),
        None => console.text(),
    };
    let summary = match result {
        Some(result) => format!("result: {}", first_line(&result)),
        None => format!("{} of output", counted(console.lines(), "line")),
    };
    Output { text, summary }
}

/// Returns what is said of a program that ended with an uncaught error.
pub fn ended(console: &Console, error: &str) -> Failure {
    let printed = match console.lines() {
        0 => String::new(),
        _ => format!("\n\nconsole output until then:\n{}", console.text()),
    };
    Failure::rejected(format!("Uncaught {error}\n\nNothing was changed.{printed}"))
}

fn cut(text: &str) -> String {
    match text.len() {
        0..=MAX_RESULT_BYTES => text.to_owned(),
        bytes => {
            format!("{}\n(cut; the result has {bytes} bytes)", &text[..text.floor_char_boundary(MAX_RESULT_BYTES)])
        }
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(SUMMARY_CHARS) {
        Some((index, _)) => format!("{}…", &line[..index]),
        None => line.to_owned(),
    }
}

/// Returns `value` as JSON where that says everything, else inspected; nothing for undefined.
pub fn result(value: &JsValue, context: &mut Context) -> Option<String> {
    if value.is_undefined() {
        return None;
    }
    let json = is_json(value, &mut Vec::new(), context).then(|| json(value, context)).flatten();
    Some(json.unwrap_or_else(|| inspect_nested(value, context)))
}

/// Tells whether JSON says everything of `value`: plain objects and lists of text, finite numbers, truth and null.
/// `above` holds it: what holds itself is no JSON.
fn is_json(value: &JsValue, above: &mut Vec<JsObject>, context: &mut Context) -> bool {
    match value.variant() {
        JsVariant::Null | JsVariant::Boolean(_) | JsVariant::String(_) | JsVariant::Integer32(_) => true,
        JsVariant::Float64(number) => number.is_finite() && !(number == 0.0 && number.is_sign_negative()),
        JsVariant::Object(object) => {
            let is_new = above.len() < MAX_DEPTH && !above.iter().any(|other| JsObject::equals(other, &object));
            above.push(object.clone());
            let is_json = is_new
                && members(&object, context)
                    .is_some_and(|members| members.iter().all(|member| is_json(member, above, context)));
            above.pop();
            is_json
        }
        _ => false,
    }
}

/// Returns what a plain object or list holds, when it holds nothing that JSON would leave out.
fn members(object: &JsObject, context: &mut Context) -> Option<Vec<JsValue>> {
    let is_array = !shape::is_proxy(object) && object.is_array();
    let constructors = context.intrinsics().constructors();
    let expected = if is_array { constructors.array() } else { constructors.object() }.prototype();
    let is_plain = object.prototype().is_none_or(|prototype| JsObject::equals(&prototype, &expected));
    if !is_plain || !(is_array || object.is_ordinary()) {
        return None;
    }
    let mut keys = object.own_property_keys(context).ok()?;
    if is_array {
        keys.retain(|key| *key != PropertyKey::from(js_string!("length")));
        let is_dense = keys.len() == shape::length(object) as usize;
        let is_list = is_dense && keys.iter().all(|key| matches!(key, PropertyKey::Index(_)));
        is_list.then_some(())?;
    }
    let member = |key: &PropertyKey| {
        let property = shape::own(object, key).filter(|property| property.enumerable() == Some(true))?;
        property.value().filter(|_| !matches!(key, PropertyKey::Symbol(_))).cloned()
    };
    keys.iter().map(member).collect()
}

/// Returns `value` as the language itself writes JSON: on one line where it is short.
fn json(value: &JsValue, context: &mut Context) -> Option<String> {
    let line = stringify(value, &[], context)?;
    if line.chars().count() <= LINE_CHARS {
        return Some(line);
    }
    stringify(value, &[JsValue::null(), 2.into()], context)
}

fn stringify(value: &JsValue, layout: &[JsValue], context: &mut Context) -> Option<String> {
    let stringify = context.intrinsics().objects().json().get(js_string!("stringify"), context).ok()?;
    let arguments: Vec<_> = std::iter::once(value.clone()).chain(layout.iter().cloned()).collect();
    let text = stringify.as_callable()?.call(&JsValue::undefined(), &arguments, context).ok()?;
    text.as_string().map(|text| text.to_std_string_lossy())
}

/// Returns what an uncaught error says: itself, where it happened, and what else the program put on it.
pub fn uncaught(error: JsError, context: &mut Context) -> Result<String, Failure> {
    match error.as_engine() {
        Some(EngineError::RuntimeLimit(_)) => {
            return Ok(with_lines("RangeError: Maximum call stack size exceeded", &error.to_string(), context));
        }
        Some(EngineError::Panic(panic)) => return Err(Failure::Internal(format!("the engine failed: {panic}"))),
        _ => {}
    }
    let text = match error.into_opaque(context) {
        Ok(thrown) => inspect_nested(&thrown, context),
        Err(error) => error.to_string(),
    };
    Ok(cut(&text))
}

/// Returns the text of an error's stack: what it says, and where it was.
pub fn stack(error: &JsObject, context: &mut Context) -> String {
    let name = shape::text(error, js_string!("name")).unwrap_or_else(|| "Error".into());
    let class = shape::name(error).filter(|_| name == "Error");
    let name = class.unwrap_or(name);
    let message = shape::text(error, js_string!("message")).unwrap_or_default();
    let says = if message.is_empty() { name } else { format!("{name}: {message}") };
    if let Some(own) = shape::own_text(error, js_string!("stack")) {
        return own.to_std_string_lossy();
    }
    // Without the error's own text: it may be long, and its lines may look like places.
    let bare = JsError::from_opaque(error.clone().into()).to_string();
    with_lines(&says, &bare, context)
}

fn with_lines(says: &str, trace: &str, context: &Context) -> String {
    let insertion = context.get_data::<std::rc::Rc<Host>>().and_then(|host| host.insertion.get());
    // What the libraries and the engine do among themselves is not the program's.
    let is_inner = |line: &str| line.contains("(js:") || line.starts_with("    at  (");
    let lines = trace.lines().filter(|line| line.starts_with("    at ") && !is_inner(line));
    let mut text = says.to_owned();
    for line in lines {
        text.push('\n');
        text.push_str(&written(line, insertion));
    }
    text
}

/// Returns a line of a stack with its place as the person wrote it.
fn written(line: &str, insertion: Option<crate::source::Insertion>) -> String {
    let line = line.replace(&format!("({HOME}/"), "(").replace(":?:?)", ")");
    let place = |line: &str| {
        let (before, place) = line.split_once(&format!("({CODE}:"))?;
        let (row, column) = place.strip_suffix(')')?.split_once(':')?;
        let (row, column) = (row.parse().ok()?, column.parse().ok()?);
        let column = insertion?.written_column(row, column);
        Some(format!("{before}({CODE}:{row}:{column})"))
    };
    place(&line).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use boa_engine::Source;

    fn shown(code: &str) -> Option<String> {
        let context = &mut Context::default();
        let value = context.eval(Source::from_bytes(code)).unwrap();
        result(&value, context)
    }

    #[test]
    fn a_result_is_json_where_that_says_everything() {
        for (code, expected) in [
            ("({a: [1, 'b', null, true]})", r#"{"a":[1,"b",null,true]}"#),
            ("const a = {}; [a, a]", "[{},{}]"),
            ("Object.create(null)", "{}"),
            ("[1, , 2]", "[ 1, <1 empty item>, 2 ]"),
            ("[undefined]", "[ undefined ]"),
            ("({a() {}})", "{ a: [Function: a] }"),
            ("({get a() { return 1 }})", "{ a: [Getter] }"),
            ("({[Symbol.iterator]: 1})", "{ [Symbol(Symbol.iterator)]: 1 }"),
            ("Object.assign([1], {a: 2})", "[ 1, a: 2 ]"),
            ("new (class A { x = 1 })", "A { x: 1 }"),
            ("new Date(0)", "1970-01-01T00:00:00.000Z"),
            ("new Proxy([1], {})", "[Proxy]"),
            ("[Infinity]", "[ Infinity ]"),
            ("1n", "1n"),
        ] {
            assert_eq!(shown(code).as_deref(), Some(expected), "{code}");
        }
        assert_eq!(shown("undefined"), None);
        assert_eq!(shown("({a: 'x'.repeat(100)})"), Some(format!("{{\n  \"a\": \"{}\"\n}}", "x".repeat(100))));
    }

    #[test]
    fn deep_and_circular_values_are_inspected() {
        let nested = |depth: usize| format!("let a = []; for (let i = 1; i < {depth}; i++) a = [a]; a");
        assert!(shown(&nested(MAX_DEPTH)).unwrap().starts_with("[\n  [\n    ["));
        assert_eq!(shown(&nested(MAX_DEPTH + 1)).as_deref(), Some("[ [ [ [ [ [Array] ] ] ] ] ]"));
        assert_eq!(shown("const a = []; a.push(a); a").as_deref(), Some("<ref *1> [ [Circular *1] ]"));
    }

    #[test]
    fn a_long_result_is_cut() {
        let text = cut(&"é".repeat(MAX_RESULT_BYTES));
        let bytes = 2 * MAX_RESULT_BYTES;
        assert_eq!(text, format!("{}\n(cut; the result has {bytes} bytes)", "é".repeat(MAX_RESULT_BYTES / 2)));
    }

    #[test]
    fn places_are_where_the_person_wrote_them() {
        let (_, insertion) = crate::source::export_last("let a;\na.b.c").unwrap();
        for (line, expected) in [
            ("    at <main> (/work/[code]:2:18)", "    at <main> ([code]:2:3)"),
            ("    at <main> (/work/[code]:1:18)", "    at <main> ([code]:1:18)"),
            ("    at f (/work/lib/a.js:2:18)", "    at f (lib/a.js:2:18)"),
            ("    at <main> (/work/[code]:?:?)", "    at <main> ([code])"),
        ] {
            assert_eq!(written(line, Some(insertion)), expected);
        }
    }
}
