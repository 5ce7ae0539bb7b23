//! What a program prints: kept, capped, and given back with the result.

use boa_engine::value::JsVariant;
use boa_engine::{Context, JsArgs as _, JsResult, JsValue};

use crate::inspect::{inspect, inspect_nested};

/// Printed text beyond this is counted, not kept: a model reads pages, and the runtime caps results anyway.
const MAX_PRINTED_BYTES: usize = 256 << 10;

/// Two spaces for each open group, and no more than for this many.
const MAX_GROUPS: usize = 20;

/// What was printed so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Console {
    text: String,
    groups: usize,
    lines_cut: usize,
    bytes_cut: usize,
}

impl Console {
    /// Prints `line`, indented by the open groups.
    pub fn print(&mut self, line: &str) {
        let indent = "  ".repeat(self.groups);
        for part in line.split('\n') {
            self.keep(&indent, part);
        }
    }

    fn keep(&mut self, indent: &str, line: &str) {
        let bytes = indent.len() + line.len() + 1;
        if self.lines_cut > 0 || self.text.len() + bytes > MAX_PRINTED_BYTES {
            self.lines_cut += 1;
            self.bytes_cut += bytes;
            return;
        }
        self.text.push_str(indent);
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Opens a group: what is printed until it is closed stands deeper.
    pub fn open_group(&mut self) {
        self.groups = (self.groups + 1).min(MAX_GROUPS);
    }

    /// Closes the innermost group.
    pub fn close_group(&mut self) {
        self.groups = self.groups.saturating_sub(1);
    }

    /// Returns what was printed, with a note on what was cut.
    pub fn text(&self) -> String {
        if self.lines_cut == 0 {
            return self.text.clone();
        }
        let note =
            format!("({} of console output, {} bytes, were cut)", kit::counted(self.lines_cut, "line"), self.bytes_cut);
        format!("{}{note}\n", self.text)
    }

    /// Returns how many lines were printed.
    pub fn lines(&self) -> usize {
        self.text.lines().count() + self.lines_cut
    }
}

/// Returns the text of one `console.log` of `values`: `%s` and its like filled in, the rest inspected.
pub fn format(values: &[JsValue], context: &mut Context) -> JsResult<String> {
    let pattern = values.first().and_then(JsValue::as_string).filter(|first| first.contains(b'%'));
    let Some(pattern) = pattern.filter(|_| values.len() > 1) else { return Ok(join(values, context)) };
    let (mut text, used) = fill(&pattern.to_std_string_lossy(), &values[1..], context)?;
    let rest = &values[1 + used..];
    if !rest.is_empty() {
        text.push(' ');
        text.push_str(&join(rest, context));
    }
    Ok(text)
}

fn join(values: &[JsValue], context: &mut Context) -> String {
    let shown: Vec<_> = values.iter().map(|value| inspect(value, context)).collect();
    shown.join(" ")
}

/// Returns `pattern` with its marks replaced by `values`, and how many of them it took.
fn fill(pattern: &str, values: &[JsValue], context: &mut Context) -> JsResult<(String, usize)> {
    let (mut text, mut used) = (String::new(), 0);
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        let mark = (letter == '%').then(|| letters.as_str().chars().next()).flatten();
        match mark {
            Some('%') => text.push('%'),
            Some(mark) if "sdifjoOc".contains(mark) && used < values.len() => {
                text.push_str(&filled(mark, values.get_or_undefined(used), context)?);
                used += 1;
            }
            _ => {
                text.push(letter);
                continue;
            }
        }
        letters.next();
    }
    Ok((text, used))
}

fn filled(mark: char, value: &JsValue, context: &mut Context) -> JsResult<String> {
    Ok(match mark {
        // Styles mean nothing here.
        'c' => String::new(),
        's' => match value.variant() {
            JsVariant::Object(_) => inspect_nested(value, context),
            _ => inspect(value, context),
        },
        'd' | 'i' | 'f' if value.is_bigint() || value.is_symbol() || value.is_object() => "NaN".into(),
        'd' | 'f' => inspect(&value.to_number(context)?.into(), context),
        'i' => inspect(&value.to_number(context)?.trunc().into(), context),
        _ => inspect_nested(value, context),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use boa_engine::js_string;

    #[test]
    fn output_beyond_the_cap_is_counted() {
        let mut console = Console::default();
        console.print("first");
        console.print(&"x".repeat(MAX_PRINTED_BYTES));
        console.print("late");
        let note = format!("(2 lines of console output, {} bytes, were cut)\n", MAX_PRINTED_BYTES + 1 + 5);
        assert_eq!((console.text(), console.lines()), (format!("first\n{note}"), 3));
    }

    #[test]
    fn groups_indent() {
        let mut console = Console::default();
        console.open_group();
        console.print("a\nb");
        console.close_group();
        console.close_group();
        console.print("c");
        assert_eq!(console.text(), "  a\n  b\nc\n");
    }

    #[test]
    fn marks_are_filled() {
        let context = &mut Context::default();
        let text = |pattern: &str| JsValue::from(js_string!(pattern));
        for (values, expected) in [
            (vec![text("%s is %d%%"), text("a"), 3.into()], "a is 3%"),
            (vec![text("%i %f"), 3.7.into(), 3.7.into()], "3 3.7"),
            (vec![text("%s"), 1.into(), text("b"), 2.into()], "1 b 2"),
            (vec![text("100%")], "100%"),
            (vec![text("%s %s"), 1.into()], "1 %s"),
            (vec![text("%x"), 1.into()], "%x 1"),
        ] {
            assert_eq!(format(&values, context).unwrap(), expected);
        }
    }
}
