//! Arithmetic as in `$(( ))`: 64-bit integers that wrap, C's operators and precedence. Reads and evaluates at once.

use crate::shell::Shell;
use crate::stop::{Complaint, Run, Stop};
use crate::variables::is_name;

/// Variables that stand for expressions that name variables, and parentheses: deeper is a circle or an attack.
const MAX_DEPTH: u32 = 64;

/// An expression under way. While `skip` is set it is read but has no effect: the branch of `&&`, `||` or `?` not taken.
struct Evaluation<'a> {
    shell: &'a mut Shell,
    text: &'a str,
    chars: Vec<char>,
    at: usize,
    skip: bool,
    depth: u32,
}

/// What an assignment goes to.
#[derive(Debug, Clone)]
struct Place {
    name: String,
    subscript: Option<String>,
}

type Evaluated<T> = Result<T, Complaint>;

/// Operators of two operands, from the weakest binding to the strongest, without the assignments.
const BINARY: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

const ASSIGNMENTS: [&str; 11] = ["=", "*=", "/=", "%=", "+=", "-=", "<<=", ">>=", "&=", "^=", "|="];

impl Shell {
    /// Returns the value of `text`; an error is said and ends the command.
    pub fn arithmetic(&mut self, text: &str) -> Run<i64> {
        self.evaluate(text).map_err(|error| {
            self.complain(&error);
            Stop::Abort
        })
    }

    /// Returns the value of `text`, or what is wrong with it.
    pub fn evaluate(&mut self, text: &str) -> Evaluated<i64> {
        evaluate_at(self, text, 0)
    }
}

fn evaluate_at(shell: &mut Shell, text: &str, depth: u32) -> Evaluated<i64> {
    if depth > MAX_DEPTH {
        return Err(Complaint(format!("{text}: expression recursion level exceeded")));
    }
    let mut evaluation = Evaluation { shell, text, chars: text.chars().collect(), at: 0, skip: false, depth };
    evaluation.space();
    if evaluation.at == evaluation.chars.len() {
        return Ok(0);
    }
    let value = evaluation.comma()?;
    evaluation.space();
    if evaluation.at < evaluation.chars.len() {
        return Err(evaluation.wrong("syntax error in expression"));
    }
    Ok(value)
}

impl Evaluation<'_> {
    fn wrong(&self, what: &str) -> Complaint {
        let rest: String = self.chars[self.at.min(self.chars.len())..].iter().collect();
        Complaint(format!("{}: {what} (error token is \"{rest}\")", self.text.trim_start()))
    }

    fn space(&mut self) {
        while self.chars.get(self.at).is_some_and(|char| char.is_whitespace()) {
            self.at += 1;
        }
    }

    fn sees(&self, token: &str) -> bool {
        token.chars().enumerate().all(|(index, char)| self.chars.get(self.at + index) == Some(&char))
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        let seen = self.sees(token);
        self.at += if seen { token.len() } else { 0 };
        seen
    }

    fn comma(&mut self) -> Evaluated<i64> {
        let mut value = self.assignment()?;
        while self.take(",") {
            value = self.assignment()?;
        }
        Ok(value)
    }

    fn assignment(&mut self) -> Evaluated<i64> {
        self.deeper(Self::assign)
    }

    /// Runs `read` one level deeper, which parentheses and right-hand sides are.
    fn deeper(&mut self, read: fn(&mut Self) -> Evaluated<i64>) -> Evaluated<i64> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("expression recursion level exceeded"));
        }
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn assign(&mut self) -> Evaluated<i64> {
        let start = self.at;
        if let Some(place) = self.place()? {
            self.space();
            if let Some(operator) = self.assignment_operator() {
                self.at += operator.len();
                let right = self.assignment()?;
                let value = match operator.strip_suffix('=').expect("each ends so") {
                    "" => right,
                    operator => {
                        let left = self.load(&place)?;
                        self.apply(operator, left, right)?
                    }
                };
                self.store(&place, value)?;
                return Ok(value);
            }
        }
        self.at = start;
        self.conditional()
    }

    fn assignment_operator(&self) -> Option<&'static str> {
        ASSIGNMENTS.into_iter().find(|operator| self.sees(operator) && !(*operator == "=" && self.sees("==")))
    }

    fn conditional(&mut self) -> Evaluated<i64> {
        let condition = self.binary(0)?;
        if !self.take("?") {
            return Ok(condition);
        }
        let yes = self.unless(condition == 0, Self::comma)?;
        if !self.take(":") {
            return Err(self.wrong("`:' expected for conditional expression"));
        }
        let no = self.unless(condition != 0, Self::assignment)?;
        Ok(if condition != 0 { yes } else { no })
    }

    /// Reads an operand, without effect when `skip` says so.
    fn unless(&mut self, skip: bool, read: impl FnOnce(&mut Self) -> Evaluated<i64>) -> Evaluated<i64> {
        let before = self.skip;
        self.skip |= skip;
        let value = read(self);
        self.skip = before;
        value
    }

    fn binary(&mut self, level: usize) -> Evaluated<i64> {
        let Some(operators) = BINARY.get(level) else { return self.power() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.binary_operator(operators) {
            self.at += operator.len();
            let decided = (operator == "&&" && left == 0) || (operator == "||" && left != 0);
            let right = self.unless(decided, |evaluation| evaluation.binary(level + 1))?;
            left = self.apply(operator, left, right)?;
        }
        Ok(left)
    }

    fn binary_operator(&mut self, operators: &[&'static str]) -> Option<&'static str> {
        self.space();
        let longer = |operator: &str| {
            let next = self.chars.get(self.at + operator.len());
            let assigns = next == Some(&'=') && !matches!(operator, "==" | "!=" | "<=" | ">=" | "||" | "&&");
            let doubled =
                matches!(operator, "|" | "&" | "<" | ">" | "*") && next.is_some_and(|next| operator.starts_with(*next));
            assigns || doubled
        };
        operators.iter().copied().find(|operator| self.sees(operator) && !longer(operator))
    }

    fn power(&mut self) -> Evaluated<i64> {
        let base = self.unary()?;
        if !self.take("**") {
            return Ok(base);
        }
        let exponent = self.deeper(Self::power)?;
        if exponent < 0 {
            return if self.skip { Ok(0) } else { Err(self.wrong("exponent less than 0")) };
        }
        Ok(wrapping_power(base, exponent))
    }

    fn unary(&mut self) -> Evaluated<i64> {
        self.space();
        for (token, step) in [("++", 1), ("--", -1)] {
            let start = self.at;
            if self.take(token) {
                if let Some(place) = self.place()? {
                    let value = self.load(&place)?.wrapping_add(step);
                    self.store(&place, value)?;
                    return Ok(value);
                }
                self.at = start;
            }
        }
        let Some(sign) = self.chars.get(self.at).copied().filter(|char| "+-!~".contains(*char)) else {
            return self.postfix();
        };
        self.at += 1;
        let value = self.deeper(Self::unary)?;
        Ok(match sign {
            '-' => value.wrapping_neg(),
            '!' => i64::from(value == 0),
            '~' => !value,
            _ => value,
        })
    }

    fn postfix(&mut self) -> Evaluated<i64> {
        if self.take("(") {
            let value = self.deeper(Self::comma)?;
            return if self.take(")") { Ok(value) } else { Err(self.wrong("missing `)'")) };
        }
        let Some(place) = self.place()? else { return self.number() };
        let value = self.load(&place)?;
        for (token, step) in [("++", 1), ("--", -1)] {
            if self.take(token) {
                self.store(&place, value.wrapping_add(step))?;
                break;
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Evaluated<i64> {
        let start = self.at;
        while self.chars.get(self.at).is_some_and(|char| char.is_ascii_alphanumeric() || "#@_".contains(*char)) {
            self.at += 1;
        }
        let digits: String = self.chars[start..self.at].iter().collect();
        if digits.is_empty() {
            return Err(self.wrong("syntax error: operand expected"));
        }
        constant(&digits).ok_or_else(|| {
            Complaint(format!("{}: value too great for base (error token is \"{digits}\")", self.text.trim()))
        })
    }

    /// Reads a variable's name, and a subscript as it is written.
    fn place(&mut self) -> Evaluated<Option<Place>> {
        self.space();
        let start = self.at;
        let mut end = start;
        while self.chars.get(end).is_some_and(|char| char.is_ascii_alphanumeric() || *char == '_') {
            end += 1;
        }
        let name: String = self.chars[start..end].iter().collect();
        if !is_name(&name) {
            return Ok(None);
        }
        self.at = end;
        let subscript = if self.sees("[") { Some(self.subscript()?) } else { None };
        Ok(Some(Place { name, subscript }))
    }

    fn subscript(&mut self) -> Evaluated<String> {
        let (start, mut depth) = (self.at + 1, 0_u32);
        loop {
            match self.chars.get(self.at) {
                Some('[') => depth += 1,
                Some(']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.wrong("bad array subscript")),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(self.chars[start..self.at - 1].iter().collect());
            }
        }
    }

    /// Returns a variable's value; what it holds is an expression again.
    fn load(&mut self, place: &Place) -> Evaluated<i64> {
        if self.skip {
            return Ok(0);
        }
        let text = self.shell.fetch(&place.name, place.subscript.as_deref())?;
        match text.parse() {
            Ok(value) => Ok(value),
            Err(_) => evaluate_at(self.shell, &text, self.depth + 1),
        }
    }

    fn store(&mut self, place: &Place, value: i64) -> Evaluated<()> {
        if self.skip {
            return Ok(());
        }
        self.shell.store(&place.name, place.subscript.as_deref(), value.to_string())
    }

    fn apply(&self, operator: &str, left: i64, right: i64) -> Evaluated<i64> {
        Ok(match operator {
            "||" => i64::from(left != 0 || right != 0),
            "&&" => i64::from(left != 0 && right != 0),
            "|" => left | right,
            "^" => left ^ right,
            "&" => left & right,
            "==" => i64::from(left == right),
            "!=" => i64::from(left != right),
            "<=" => i64::from(left <= right),
            ">=" => i64::from(left >= right),
            "<" => i64::from(left < right),
            ">" => i64::from(left > right),
            "<<" => left.wrapping_shl(shift(right)),
            ">>" => left.wrapping_shr(shift(right)),
            "+" => left.wrapping_add(right),
            "-" => left.wrapping_sub(right),
            "*" => left.wrapping_mul(right),
            _ if right == 0 && self.skip => 0,
            _ if right == 0 => {
                return Err(Complaint(format!("{}: division by 0 (error token is \"0\")", self.text.trim())));
            }
            "/" => left.wrapping_div(right),
            _ => left.wrapping_rem(right),
        })
    }
}

/// Returns a shift's width as the processor takes it: its low six bits.
fn shift(width: i64) -> u32 {
    u32::try_from(width & 63).expect("six bits")
}

fn wrapping_power(base: i64, exponent: i64) -> i64 {
    let (mut value, mut base, mut exponent) = (1_i64, base, exponent);
    while exponent > 0 {
        if exponent & 1 == 1 {
            value = value.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        exponent >>= 1;
    }
    value
}

/// Returns the value of a number as it is written: decimal, `0x`, octal with a leading 0, or `base#digits`.
fn constant(text: &str) -> Option<i64> {
    if let Some((base, digits)) = text.split_once('#') {
        let base = base.parse::<u32>().ok().filter(|base| (2..=64).contains(base))?;
        return based(digits, base);
    }
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => based(digits, 16),
        None if text.len() > 1 && text.starts_with('0') => based(&text[1..], 8),
        None => based(text, 10),
    }
}

fn based(digits: &str, base: u32) -> Option<i64> {
    digits.chars().try_fold(0_i64, |value, char| {
        let digit = digit(char, base).filter(|digit| *digit < base)?;
        Some(value.wrapping_mul(i64::from(base)).wrapping_add(i64::from(digit)))
    })
}

/// Returns a digit's value: letters are 10 on, and above base 36 the upper case ones follow the lower case ones.
fn digit(char: char, base: u32) -> Option<u32> {
    match char {
        '@' => Some(62),
        '_' => Some(63),
        'A'..='Z' if base > 36 => Some(u32::from(char) - u32::from('A') + 36),
        _ => char.to_digit(36),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_bind_as_in_c() {
        let mut shell = Shell::for_tests();
        for (text, value) in [
            ("", 0),
            ("1+2*3", 7),
            ("(1+2)*3", 9),
            ("2**3**2", 512),
            ("-7/2", -3),
            ("-7%3", -1),
            ("1<<4|1", 17),
            ("5>3 && 2!=2 || 7", 1),
            ("0x1f + 010 + 2#101 + 36#z", 31 + 8 + 5 + 35),
            ("1 ? 2 : 3", 2),
            ("!5 + ~0", -1),
            ("a=5, a++ + ++a", 12),
            ("a+=3", 10),
            ("9223372036854775807 + 1", i64::MIN),
            ("0 && (b=9)", 0),
            ("b", 0),
        ] {
            assert_eq!(shell.evaluate(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut shell = Shell::for_tests();
        for (text, message) in [
            ("1/0", "division by 0"),
            ("1+", "operand expected"),
            ("08", "value too great for base"),
            ("1 2", "syntax error"),
            ("(1", "missing `)'"),
        ] {
            assert!(shell.evaluate(text).unwrap_err().0.contains(message), "{text}");
        }
        assert_eq!(shell.evaluate("0 && 1/0"), Ok(0));
    }

    #[test]
    fn a_circle_of_variables_ends() {
        let mut shell = Shell::for_tests();
        shell.assign_text("x", "y".into()).unwrap();
        shell.assign_text("y", "x".into()).unwrap();
        assert!(shell.evaluate("x").unwrap_err().0.contains("recursion"));
        assert!(shell.evaluate(&"(".repeat(5000)).is_err());
    }
}
