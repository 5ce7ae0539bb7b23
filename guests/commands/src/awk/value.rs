//! Values: numbers, texts, and texts from outside that look like numbers.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use crate::format::{Conversion, leading_float, truncated};

#[derive(Clone, Debug, Default)]
pub(super) enum Value {
    #[default]
    Unset,
    Number(f64),
    Text(Rc<[u8]>),
    /// It came from outside, and compares as a number.
    Numeric(Rc<[u8]>, f64),
}

pub(super) type Array = Rc<RefCell<HashMap<Vec<u8>, Value>>>;

/// What a variable holds.
#[derive(Clone)]
pub(super) enum Cell {
    /// Nothing yet; the array is the one that it becomes if it is used as one.
    Unset(Array),
    Scalar(Value),
    Array(Array),
}

impl Default for Cell {
    fn default() -> Self {
        Self::Unset(Array::default())
    }
}

impl Value {
    pub(super) fn text(bytes: impl Into<Rc<[u8]>>) -> Self {
        Self::Text(bytes.into())
    }

    /// Returns the value of text that came from outside.
    pub(super) fn outside(bytes: impl Into<Rc<[u8]>>) -> Self {
        let bytes: Rc<[u8]> = bytes.into();
        match looks_numeric(&bytes) {
            Some(number) => Self::Numeric(bytes, number),
            None => Self::Text(bytes),
        }
    }

    pub(super) fn truth(is: bool) -> Self {
        Self::Number(if is { 1.0 } else { 0.0 })
    }

    pub(super) fn number(&self) -> f64 {
        match self {
            Self::Unset => 0.0,
            Self::Number(number) | Self::Numeric(_, number) => *number,
            Self::Text(text) => plain_number(text),
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Unset => false,
            Self::Number(number) | Self::Numeric(_, number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
        }
    }

    /// Returns the text of a value; `format` is for numbers that are not whole.
    pub(super) fn bytes(&self, format: &[u8]) -> Rc<[u8]> {
        match self {
            Self::Unset => Rc::from(&b""[..]),
            Self::Number(number) => number_text(*number, format).into(),
            Self::Text(text) | Self::Numeric(text, _) => text.clone(),
        }
    }

    fn is_number(&self) -> bool {
        !matches!(self, Self::Text(_))
    }

    /// Compares as numbers where both are, as texts otherwise; none where one is not a number.
    pub(super) fn compare(&self, other: &Self, format: &[u8]) -> Option<Ordering> {
        if self.is_number() && other.is_number() {
            return self.number().partial_cmp(&other.number());
        }
        Some(self.bytes(format).cmp(&other.bytes(format)))
    }
}

/// Text counts as its leading number; names of numbers that are none (`nan`, `inf`) do not count.
fn plain_number(text: &[u8]) -> f64 {
    let begins = text.trim_ascii_start().iter().find(|byte| !matches!(byte, b'+' | b'-'));
    if begins.is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') { leading_float(text).0 } else { 0.0 }
}

fn looks_numeric(text: &[u8]) -> Option<f64> {
    let trimmed = text.trim_ascii();
    let begins = trimmed.iter().find(|byte| !matches!(byte, b'+' | b'-'))?;
    if !begins.is_ascii_digit() && *begins != b'.' {
        return None;
    }
    let (number, length) = leading_float(trimmed);
    (length == trimmed.len() && length > 0).then_some(number)
}

/// Whole numbers beyond these are written by the format.
const MAX_WHOLE: f64 = 1e18;

pub(super) fn number_text(number: f64, format: &[u8]) -> Vec<u8> {
    if number.fract() == 0.0 && number.abs() < MAX_WHOLE {
        return truncated(number).to_string().into_bytes();
    }
    if number.is_nan() {
        return if number.is_sign_negative() { b"-nan".to_vec() } else { b"nan".to_vec() };
    }
    match Conversion::parse(format.strip_prefix(b"%").unwrap_or(b".6g")) {
        Some((conversion, _)) => conversion.float(number),
        None => number.to_string().into_bytes(),
    }
}
