//! The functions that awk has.

use std::rc::Rc;

use crate::format::{Conversion, truncated};
use crate::pattern::{Pattern, Span};
use crate::report::Stop;

use super::FAILED;
use super::interpret::{Machine, count_number};
use super::records::FieldEnd;
use super::syntax::{Builtin, Expression, FS, Name, RLENGTH, RSTART};
use super::value::Value;

impl Machine<'_> {
    pub(super) fn builtin(&mut self, builtin: Builtin, arguments: &[Expression]) -> Result<Value, Stop> {
        let (least, most) = count_of(builtin);
        if arguments.len() < least || arguments.len() > most {
            return Err(Stop::code(FAILED, format!("wrong number of arguments in call to {builtin:?}").to_lowercase()));
        }
        match builtin {
            Builtin::Atan2 => {
                let (y, x) = (self.number(&arguments[0])?, self.number(&arguments[1])?);
                Ok(Value::Number(y.atan2(x)))
            }
            Builtin::Cos => self.math(arguments, f64::cos),
            Builtin::Exp => self.math(arguments, f64::exp),
            Builtin::Int => self.math(arguments, f64::trunc),
            Builtin::Log => self.math(arguments, f64::ln),
            Builtin::Sin => self.math(arguments, f64::sin),
            Builtin::Sqrt => self.math(arguments, f64::sqrt),
            Builtin::Rand => Ok(Value::Number(self.random.fraction())),
            Builtin::Srand => self.srand(arguments),
            Builtin::Systime => Ok(Value::Number(crate::clock::seconds())),
            Builtin::Close => {
                let name = self.text(&arguments[0])?;
                Ok(Value::Number(self.streams.close(&name)))
            }
            Builtin::Fflush => {
                self.streams.flush()?;
                Ok(Value::Number(0.0))
            }
            Builtin::System => {
                let line = self.text(&arguments[0])?;
                self.streams.flush()?;
                Ok(Value::Number(f64::from(self.streams.system(&line, b""))))
            }
            Builtin::Index => {
                let (text, part) = (self.text(&arguments[0])?, self.text(&arguments[1])?);
                Ok(Value::Number(count_number(position(&text, &part))))
            }
            Builtin::Length => self.length(arguments),
            Builtin::Match => self.match_text(arguments),
            Builtin::Split => self.split_text(arguments),
            Builtin::Sprintf => Ok(Value::text(self.formatted(arguments)?)),
            Builtin::Sub => self.substitute(arguments, false),
            Builtin::Gsub => self.substitute(arguments, true),
            Builtin::Gensub => self.general_substitute(arguments),
            Builtin::Substr => self.substr(arguments),
            Builtin::Tolower => self.cased(arguments, str::to_lowercase, <[u8]>::to_ascii_lowercase),
            Builtin::Toupper => self.cased(arguments, str::to_uppercase, <[u8]>::to_ascii_uppercase),
        }
    }

    fn math(&mut self, arguments: &[Expression], function: fn(f64) -> f64) -> Result<Value, Stop> {
        Ok(Value::Number(function(self.number(&arguments[0])?)))
    }

    fn srand(&mut self, arguments: &[Expression]) -> Result<Value, Stop> {
        let seed = match arguments.first() {
            Some(seed) => self.number(seed)?,
            None => crate::clock::seconds(),
        };
        self.random = crate::numbers::Random::seeded(seed.to_bits());
        Ok(Value::Number(std::mem::replace(&mut self.seed, seed)))
    }

    fn length(&mut self, arguments: &[Expression]) -> Result<Value, Stop> {
        let Some(argument) = arguments.first() else {
            return Ok(Value::Number(count_number(characters(&self.record))));
        };
        if let Expression::Variable(name) = argument
            && let Some(length) = self.array_length(*name)
        {
            return Ok(Value::Number(count_number(length)));
        }
        let text = self.text(argument)?;
        Ok(Value::Number(count_number(characters(&text))))
    }

    fn cased(
        &mut self,
        arguments: &[Expression],
        text: fn(&str) -> String,
        bytes: fn(&[u8]) -> Vec<u8>,
    ) -> Result<Value, Stop> {
        let of = self.text(&arguments[0])?;
        Ok(Value::text(std::str::from_utf8(&of).map_or_else(|_| bytes(&of), |of| text(of).into_bytes())))
    }

    /// Characters count from one; what lies outside is cut off, as POSIX rounds it.
    fn substr(&mut self, arguments: &[Expression]) -> Result<Value, Stop> {
        let text = self.text(&arguments[0])?;
        let start = round_even(self.number(&arguments[1])?);
        let end = match arguments.get(2) {
            Some(length) => start + round_even(self.number(length)?),
            None => f64::INFINITY,
        };
        let count = characters(&text);
        let from = truncated(start.max(1.0)).clamp(1, i64::MAX);
        let to = truncated(end.min(count_number(count) + 1.0));
        let (Ok(from), Ok(to)) = (usize::try_from(from - 1), usize::try_from(to - 1)) else {
            return Ok(Value::text(&b""[..]));
        };
        if from >= to || end.is_nan() {
            return Ok(Value::text(&b""[..]));
        }
        let offset = |index: usize| byte_offset(&text, index);
        Ok(Value::text(&text[offset(from)..offset(to)]))
    }

    fn match_text(&mut self, arguments: &[Expression]) -> Result<Value, Stop> {
        let text = self.text(&arguments[0])?;
        let pattern = self.pattern(&arguments[1])?;
        let groups = pattern.groups_at(&text, 0);
        if let Some(Expression::Variable(array)) = arguments.get(2) {
            let array = self.array(*array)?;
            array.borrow_mut().clear();
            for (index, group) in groups.iter().flatten().enumerate() {
                if let Some((from, to)) = group {
                    array.borrow_mut().insert(index.to_string().into_bytes(), Value::outside(&text[*from..*to]));
                }
            }
        }
        let whole = groups.and_then(|groups| groups[0]);
        let (start, length) = match whole {
            Some((from, to)) => {
                (count_number(characters(&text[..from]) + 1), count_number(characters(&text[from..to])))
            }
            None => (0.0, -1.0),
        };
        self.set(Name::Global(RSTART), Value::Number(start))?;
        self.set(Name::Global(RLENGTH), Value::Number(length))?;
        Ok(Value::Number(start))
    }

    fn split_text(&mut self, arguments: &[Expression]) -> Result<Value, Stop> {
        let text = self.text(&arguments[0])?;
        let Expression::Variable(array) = &arguments[1] else { return Err(Stop::code(FAILED, "split needs an array")) };
        let end = match arguments.get(2) {
            Some(Expression::Regex(pattern)) => FieldEnd::Matching((**pattern).clone()),
            Some(separator) => FieldEnd::of(&self.text(separator)?)?,
            None => FieldEnd::of(&self.global_text(FS))?,
        };
        let parts = end.split(&text, false);
        let array = self.array(*array)?;
        let mut array = array.borrow_mut();
        array.clear();
        let count = parts.len();
        array.extend(
            parts.into_iter().enumerate().map(|(at, part)| ((at + 1).to_string().into_bytes(), Value::outside(part))),
        );
        Ok(Value::Number(count_number(count)))
    }

    fn substitute(&mut self, arguments: &[Expression], global: bool) -> Result<Value, Stop> {
        let pattern = self.pattern(&arguments[0])?;
        let replacement = self.text(&arguments[1])?;
        let record = Expression::Field(Box::new(Expression::Number(0.0)));
        let place = arguments.get(2).unwrap_or(&record);
        let text = self.text(place)?;
        let mut replace = |groups: &[Option<Span>], output: &mut Vec<u8>| {
            let (from, to) = groups[0].expect("the whole match is always there");
            expand(&replacement, &text[from..to], output);
        };
        let (changed, count) = replaced(&text, &pattern, 1, global, &mut replace);
        if count > 0 {
            self.assign(place, Value::text(changed))?;
        }
        Ok(Value::Number(count_number(count)))
    }

    /// gawk's `gensub`: groups in the replacement, and the result is returned.
    fn general_substitute(&mut self, arguments: &[Expression]) -> Result<Value, Stop> {
        let pattern = self.pattern(&arguments[0])?;
        let replacement = self.text(&arguments[1])?;
        let how = self.text(&arguments[2])?;
        let text = match arguments.get(3) {
            Some(text) => self.text(text)?,
            None => self.record.clone(),
        };
        let global = matches!(how.first(), Some(b'g' | b'G'));
        let number =
            if global { 1 } else { usize::try_from(truncated(Value::outside(how).number())).unwrap_or(1).max(1) };
        let mut replace = |groups: &[Option<Span>], output: &mut Vec<u8>| {
            let mut bytes = replacement.iter();
            let group =
                |index: usize| groups.get(index).copied().flatten().map_or(&b""[..], |(from, to)| &text[from..to]);
            while let Some(byte) = bytes.next() {
                match byte {
                    b'&' => output.extend(group(0)),
                    b'\\' => match bytes.next() {
                        Some(digit) if digit.is_ascii_digit() => output.extend(group(usize::from(digit - b'0'))),
                        Some(other) => output.push(*other),
                        None => output.push(b'\\'),
                    },
                    other => output.push(*other),
                }
            }
        };
        let (changed, _) = replaced(&text, &pattern, number, global, &mut replace);
        Ok(Value::text(changed))
    }

    /// Returns what `printf` and `sprintf` make of their arguments.
    pub(super) fn formatted(&mut self, arguments: &[Expression]) -> Result<Vec<u8>, Stop> {
        let format = self.text(&arguments[0])?;
        let mut values = Vec::with_capacity(arguments.len());
        for argument in &arguments[1..] {
            values.push(self.value(argument)?);
        }
        let mut values = values.into_iter();
        let mut output = Vec::new();
        let mut at = 0;
        while at < format.len() {
            let byte = format[at];
            at += 1;
            if byte != b'%' {
                output.push(byte);
                continue;
            }
            if format.get(at) == Some(&b'%') {
                output.push(b'%');
                at += 1;
                continue;
            }
            let Some((mut conversion, length)) = Conversion::parse(&format[at..]) else {
                output.push(b'%');
                continue;
            };
            conversion.settle(|| values.next().map_or(0, |value| truncated(value.number())));
            match self.converted(&conversion, values.next().unwrap_or_default()) {
                Some(text) => output.extend(text),
                None => output.extend([b"%", &format[at..at + length]].concat()),
            }
            at += length;
        }
        Ok(output)
    }

    fn converted(&self, conversion: &Conversion, value: Value) -> Option<Vec<u8>> {
        Some(match conversion.kind {
            b'd' | b'i' => {
                let number = value.number();
                if number.is_finite() { conversion.integer(truncated(number)) } else { conversion.float(number) }
            }
            b'o' | b'x' | b'X' | b'u' => conversion.unsigned(truncated(value.number()).cast_unsigned()),
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => conversion.float(value.number()),
            b'c' => conversion.text(&self.character(value)),
            b's' => conversion.text(&self.text_of(&value)),
            _ => return None,
        })
    }

    fn character(&self, value: Value) -> Vec<u8> {
        match value {
            Value::Number(number) | Value::Numeric(_, number) => {
                let character = u32::try_from(truncated(number)).ok().and_then(char::from_u32);
                character.map(|character| character.to_string().into_bytes()).unwrap_or_default()
            }
            other => {
                let text = self.text_of(&other);
                text[..byte_offset(&text, 1)].to_vec()
            }
        }
    }
}

/// Returns how many arguments a function takes, at least and at most.
fn count_of(builtin: Builtin) -> (usize, usize) {
    match builtin {
        Builtin::Rand | Builtin::Systime => (0, 0),
        Builtin::Length | Builtin::Srand | Builtin::Fflush => (0, 1),
        Builtin::Atan2 | Builtin::Index => (2, 2),
        Builtin::Match | Builtin::Split | Builtin::Sub | Builtin::Gsub | Builtin::Substr => (2, 3),
        Builtin::Gensub => (3, 4),
        Builtin::Sprintf => (1, usize::MAX),
        _ => (1, 1),
    }
}

fn round_even(number: f64) -> f64 {
    number.round_ties_even()
}

/// Returns the number of characters; bytes that are none count each.
fn characters(text: &[u8]) -> usize {
    if text.is_ascii() { text.len() } else { String::from_utf8_lossy(text).chars().count() }
}

/// Returns where the character of this index begins.
fn byte_offset(text: &[u8], index: usize) -> usize {
    if text.is_ascii() {
        return index.min(text.len());
    }
    match std::str::from_utf8(text) {
        Ok(text) => text.char_indices().nth(index).map_or(text.len(), |(at, _)| at),
        Err(_) => index.min(text.len()),
    }
}

/// Returns where `part` begins in characters from one, or zero.
fn position(text: &[u8], part: &[u8]) -> usize {
    if part.is_empty() {
        return 0;
    }
    let found = text.windows(part.len()).position(|window| window == part);
    found.map_or(0, |at| characters(&text[..at]) + 1)
}

/// Appends the replacement of `sub`: `&` is the match, `\&` is not.
fn expand(replacement: &Rc<[u8]>, matched: &[u8], output: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = replacement.get(at) {
        match (byte, replacement.get(at + 1)) {
            (b'\\', Some(next @ (b'&' | b'\\'))) => {
                output.push(*next);
                at += 1;
            }
            (b'&', _) => output.extend(matched),
            (byte, _) => output.push(*byte),
        }
        at += 1;
    }
}

/// Appends what stands for a match, which is given by its groups.
type Replace<'r> = dyn FnMut(&[Option<Span>], &mut Vec<u8>) + 'r;

/// Replaces matches from the `number`th on, and returns how many there were.
fn replaced(
    text: &[u8],
    pattern: &Pattern,
    number: usize,
    global: bool,
    replace: &mut Replace<'_>,
) -> (Vec<u8>, usize) {
    let mut output = Vec::new();
    let (mut at, mut copied, mut seen, mut count) = (0, 0, 0, 0);
    let mut last_end = None;
    while at <= text.len() {
        let Some(groups) = pattern.groups_at(text, at) else { break };
        let (from, to) = groups[0].expect("the whole match is always there");
        if from == to && last_end == Some(from) {
            at = to + 1;
            continue;
        }
        last_end = Some(to);
        seen += 1;
        if seen >= number {
            output.extend(&text[copied..from]);
            replace(&groups, &mut output);
            copied = to;
            count += 1;
            if !global {
                break;
            }
        }
        at = if to > from { to } else { to + 1 };
    }
    output.extend(&text[copied..]);
    (output, count)
}
