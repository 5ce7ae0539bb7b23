//! Values that are no objects.

use std::fmt::Write as _;

use boa_engine::value::JsVariant;
use boa_engine::{JsString, JsValue};

/// Characters of one string inside an object that are shown.
const MAX_STRING_CHARS: usize = 10_000;

/// Returns a value that is no object as it is shown inside one.
pub(super) fn show(value: &JsValue) -> String {
    match value.variant() {
        JsVariant::String(text) => quote(&text),
        JsVariant::BigInt(number) => format!("{number}n"),
        JsVariant::Symbol(symbol) => symbol.descriptive_string().to_std_string_lossy(),
        JsVariant::Float64(number) if number == 0.0 && number.is_sign_negative() => "-0".into(),
        _ => value.display().to_string(),
    }
}

/// Returns `text` in quotes: single ones, or others where it holds those.
pub(super) fn quote(text: &JsString) -> String {
    let text = text.to_std_string_lossy();
    let quote = ['\'', '"', '`'].into_iter().find(|quote| !text.contains(*quote)).unwrap_or('\'');
    let cut = text.char_indices().nth(MAX_STRING_CHARS).map(|(index, _)| index);
    let mut quoted = String::from(quote);
    for letter in text[..cut.unwrap_or(text.len())].chars() {
        match letter {
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\\' => quoted.push_str("\\\\"),
            letter if letter == quote => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                write!(quoted, "\\x{:02X}", u32::from(letter)).expect("a string takes text");
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push(quote);
    match cut {
        Some(cut) => format!("{quoted}... {} more characters", text[cut..].chars().count()),
        None => quoted,
    }
}

/// Tells whether `name` needs no quotes as a property's name.
pub(super) fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    let is_first = |letter: char| letter.is_alphabetic() || letter == '_' || letter == '$';
    letters.next().is_some_and(is_first) && letters.all(|letter| is_first(letter) || letter.is_ascii_digit())
}
