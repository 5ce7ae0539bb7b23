//! Conversions of C's `printf`, for `printf`, `awk`, `seq` and `stat`.

#![expect(clippy::cast_possible_truncation, reason = "C's conversions are defined by their casts")]

/// Wider or more precise than this is a mistake, or an attack on memory.
const MAX_WIDTH: usize = 1 << 20;
/// No double has more significant digits.
const MAX_PRECISION: usize = 1_100;

/// One conversion: `%-08.3f`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conversion {
    pub(crate) left: bool,
    pub(crate) plus: bool,
    pub(crate) space: bool,
    pub(crate) zero: bool,
    pub(crate) alternate: bool,
    pub(crate) width: Option<Count>,
    pub(crate) precision: Option<Count>,
    /// The letter: `d`, `s`, `f` …
    pub(crate) kind: u8,
}

/// A width or a precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Is(usize),
    /// `*`: the next argument says it.
    Asked,
}

impl Conversion {
    /// Reads what follows a `%`, and returns it with the number of bytes that it has. None where it has no letter.
    pub(crate) fn parse(text: &[u8]) -> Option<(Self, usize)> {
        Self::read(text, b"hlLqjzt")
    }

    /// The same where letters that C skips, such as `h`, mean something.
    pub(crate) fn parse_plain(text: &[u8]) -> Option<(Self, usize)> {
        Self::read(text, b"")
    }

    fn read(text: &[u8], skipped: &[u8]) -> Option<(Self, usize)> {
        let mut conversion = Self::default();
        let mut at = 0;
        while text.get(at).is_some_and(|byte| conversion.take_flag(*byte)) {
            at += 1;
        }
        conversion.width = count(text, &mut at);
        if text.get(at) == Some(&b'.') {
            at += 1;
            conversion.precision = Some(count(text, &mut at).unwrap_or(Count::Is(0)));
        }
        while text.get(at).is_some_and(|byte| skipped.contains(byte)) {
            at += 1;
        }
        conversion.kind = *text.get(at)?;
        Some((conversion, at + 1))
    }

    fn take_flag(&mut self, byte: u8) -> bool {
        let flag = match byte {
            b'-' => &mut self.left,
            b'+' => &mut self.plus,
            b' ' => &mut self.space,
            b'0' => &mut self.zero,
            b'#' => &mut self.alternate,
            b'\'' => return true,
            _ => return false,
        };
        *flag = true;
        true
    }

    /// Fills in what `*` asked for, from `next`.
    pub(crate) fn settle(&mut self, mut next: impl FnMut() -> i64) {
        if self.width == Some(Count::Asked) {
            let width = next();
            self.left |= width < 0;
            self.width = Some(Count::Is(width.unsigned_abs() as usize));
        }
        if self.precision == Some(Count::Asked) {
            self.precision = usize::try_from(next()).ok().map(Count::Is);
        }
    }

    fn wanted(count: Option<Count>) -> Option<usize> {
        match count {
            Some(Count::Is(number)) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn precision(&self) -> Option<usize> {
        Self::wanted(self.precision)
    }

    /// Returns `text`, cut to the precision and brought to the width.
    pub(crate) fn text(&self, text: &[u8]) -> Vec<u8> {
        let length = self.precision().map_or(text.len(), |precision| precision.min(text.len()));
        self.padded(text[..length].to_vec())
    }

    pub(crate) fn integer(&self, number: i64) -> Vec<u8> {
        let sign = self.sign(number < 0);
        self.number(sign, &number.unsigned_abs().to_string())
    }

    pub(crate) fn unsigned(&self, number: u64) -> Vec<u8> {
        let (prefix, digits) = match self.kind {
            b'o' if self.alternate => ("0", format!("{number:o}")),
            b'o' => ("", format!("{number:o}")),
            b'x' if self.alternate && number != 0 => ("0x", format!("{number:x}")),
            b'x' => ("", format!("{number:x}")),
            b'X' if self.alternate && number != 0 => ("0X", format!("{number:X}")),
            b'X' => ("", format!("{number:X}")),
            _ => ("", number.to_string()),
        };
        self.number(prefix, &digits)
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    fn number(&self, sign: &str, digits: &str) -> Vec<u8> {
        let least = self.precision().unwrap_or(1).min(MAX_WIDTH);
        let digits = if self.precision() == Some(0) && digits == "0" { "" } else { digits };
        let digits = format!("{digits:0>least$}");
        self.signed(sign, &digits, self.precision.is_none())
    }

    pub(crate) fn float(&self, number: f64) -> Vec<u8> {
        let sign = self.sign(number.is_sign_negative());
        let upper = self.kind.is_ascii_uppercase();
        let magnitude = number.abs();
        let text = if magnitude.is_nan() {
            "nan".to_owned()
        } else if magnitude.is_infinite() {
            "inf".to_owned()
        } else {
            self.magnitude(magnitude)
        };
        let text = if upper { text.to_uppercase() } else { text };
        self.signed(sign, &text, magnitude.is_finite())
    }

    fn magnitude(&self, number: f64) -> String {
        let precision = self.precision().unwrap_or(6).min(MAX_PRECISION);
        match self.kind.to_ascii_lowercase() {
            b'e' => exponential(number, precision, self.alternate),
            b'g' => general(number, precision.max(1), self.alternate),
            b'a' => hexadecimal(number, self.precision()),
            _ => {
                let point = if self.alternate && precision == 0 { "." } else { "" };
                format!("{number:.precision$}{point}")
            }
        }
    }

    fn signed(&self, sign: &str, digits: &str, zeros: bool) -> Vec<u8> {
        let width = Self::wanted(self.width).unwrap_or(0).min(MAX_WIDTH);
        if self.zero && !self.left && zeros {
            let (sign, digits) = match digits.strip_prefix("0x") {
                Some(rest) if self.kind == b'a' => (format!("{sign}0x"), rest),
                _ => (sign.to_owned(), digits),
            };
            let room = width.saturating_sub(sign.len());
            return format!("{sign}{digits:0>room$}").into_bytes();
        }
        self.padded(format!("{sign}{digits}").into_bytes())
    }

    fn padded(&self, mut text: Vec<u8>) -> Vec<u8> {
        let width = Self::wanted(self.width).unwrap_or(0).min(MAX_WIDTH);
        let shown = String::from_utf8_lossy(&text).chars().count().min(text.len());
        let missing = width.saturating_sub(shown);
        if self.left {
            text.resize(text.len() + missing, b' ');
            return text;
        }
        let mut padded = vec![b' '; missing];
        padded.append(&mut text);
        padded
    }
}

fn count(text: &[u8], at: &mut usize) -> Option<Count> {
    if text.get(*at) == Some(&b'*') {
        *at += 1;
        return Some(Count::Asked);
    }
    let digits = text[*at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&text[*at..*at + digits]).ok()?;
    *at += digits;
    (digits > 0).then(|| Count::Is(number.parse().unwrap_or(MAX_WIDTH)))
}

fn exponential(number: f64, precision: usize, alternate: bool) -> String {
    let text = format!("{number:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let point = if alternate && precision == 0 { "." } else { "" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{point}e{sign}{:02}", exponent.abs())
}

fn general(number: f64, precision: usize, alternate: bool) -> String {
    let rounded = format!("{number:.*e}", precision - 1);
    let exponent: i64 = rounded.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let scientific = exponent < -4 || usize::try_from(exponent).is_ok_and(|exponent| exponent >= precision);
    let least = i64::try_from(precision).expect("precisions are small") - 1;
    let decimals = usize::try_from(least - exponent).unwrap_or(0);
    let text = if scientific { exponential(number, precision - 1, alternate) } else { format!("{number:.decimals$}") };
    if alternate { text } else { without_trailing_zeros(&text) }
}

fn without_trailing_zeros(text: &str) -> String {
    let (mantissa, exponent) = text.find('e').map_or((text, ""), |at| text.split_at(at));
    if !mantissa.contains('.') {
        return text.to_owned();
    }
    format!("{}{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
}

fn hexadecimal(number: f64, precision: Option<usize>) -> String {
    const FRACTION_BITS: u32 = 52;
    if number == 0.0 {
        return "0x0p+0".to_owned();
    }
    let bits = number.to_bits();
    let exponent = ((bits >> FRACTION_BITS) & 0x7FF).cast_signed() - 1023;
    let digits = format!("{:013x}", bits & ((1 << FRACTION_BITS) - 1));
    let digits = match precision {
        Some(precision) => format!("{digits:0<precision$.precision$}"),
        None => digits.trim_end_matches('0').to_owned(),
    };
    let point = if digits.is_empty() { "" } else { "." };
    format!("0x1{point}{digits}p{exponent:+}")
}

/// Returns the number that `text` begins with, as `strtod` does, and the number of bytes that it has.
pub(crate) fn leading_float(text: &[u8]) -> (f64, usize) {
    let blanks = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let rest = &text[blanks..];
    let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
    let digits = |from: usize| rest[from.min(rest.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut fraction = 0;
    if rest.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return named_float(rest, sign).map_or((0.0, 0), |(number, length)| (number, blanks + length));
    }
    if matches!(rest.get(end), Some(b'e' | b'E')) {
        let after = end + 1 + usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(after);
        if exponent > 0 {
            end = after + exponent;
        }
    }
    let number = std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    (number, blanks + end)
}

fn named_float(text: &[u8], sign: usize) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let rest = &text[sign..];
    let is = |name: &str| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()));
    let (number, length) = [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)]
        .into_iter()
        .find(|(name, _)| is(name))
        .map(|(name, number)| (number, name.len()))?;
    Some((if negative { -number } else { number }, sign + length))
}

/// Returns the integer that a double is, or is cut to.
pub(crate) fn truncated(number: f64) -> i64 {
    number as i64
}
