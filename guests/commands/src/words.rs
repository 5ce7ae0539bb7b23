//! Commands that make words: `echo`, `printf`, `seq`, `yes`, `basename`, `dirname`, `factor`, `true`, `false`.

use crate::Invocation;
use crate::escape::{self, Octal};
use crate::format::{self, Conversion};
use crate::options::Spec;
use crate::report::{Outcome, Stop, complain};

#[expect(clippy::unnecessary_wraps, reason = "it is a command like the others")]
pub(crate) fn succeed(_: &mut Invocation<'_>) -> Outcome {
    Ok(0)
}

#[expect(clippy::unnecessary_wraps, reason = "it is a command like the others")]
pub(crate) fn fail(_: &mut Invocation<'_>) -> Outcome {
    Ok(1)
}

/// `echo` of bash: `-n`, `-e` and `-E`, and anything else is a word.
pub(crate) fn echo(invocation: &mut Invocation<'_>) -> Outcome {
    let mut words = invocation.args.get(1..).unwrap_or_default();
    let (mut newline, mut escapes) = (true, false);
    while let Some(letters) = words.first().and_then(|word| echo_option(word)) {
        for letter in letters.chars() {
            match letter {
                'n' => newline = false,
                letter => escapes = letter == 'e',
            }
        }
        words = &words[1..];
    }
    let mut text = words.join(" ").into_bytes();
    if escapes {
        let (expanded, stopped) = escape::expand(&text, Octal::Zero);
        text = expanded;
        newline &= !stopped;
    }
    if newline {
        text.push(b'\n');
    }
    invocation.stdout.write_all(&text)?;
    Ok(0)
}

fn echo_option(word: &str) -> Option<&str> {
    let letters = word.strip_prefix('-')?;
    (!letters.is_empty() && letters.chars().all(|letter| "neE".contains(letter))).then_some(letters)
}

pub(crate) fn printf(invocation: &mut Invocation<'_>) -> Outcome {
    let mut words = invocation.args.get(1..).unwrap_or_default();
    if words.first().is_some_and(|word| word == "--") {
        words = &words[1..];
    }
    let Some((format, arguments)) = words.split_first() else {
        return Err(Stop::code(2, "usage: printf [-v var] format [arguments]"));
    };
    let mut printing = Printing { arguments, used: 0, wrong: Vec::new(), output: Vec::new() };
    let outcome = printing.all(format.as_bytes());
    let Printing { output, wrong, .. } = printing;
    invocation.stdout.write_all(&output)?;
    for text in &wrong {
        complain(invocation, text);
    }
    outcome?;
    Ok(i32::from(!wrong.is_empty()))
}

struct Printing<'a> {
    arguments: &'a [String],
    used: usize,
    wrong: Vec<String>,
    output: Vec<u8>,
}

impl<'a> Printing<'a> {
    /// Uses the format until the arguments are used up, and once at least.
    fn all(&mut self, format: &[u8]) -> Result<(), Stop> {
        loop {
            let before = self.used;
            let go_on = self.once(format)?;
            if !go_on || self.used == before || self.used >= self.arguments.len() {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.arguments.get(self.used);
        self.used += 1;
        word.map(String::as_str)
    }

    /// Returns whether the format may be used again.
    fn once(&mut self, format: &[u8]) -> Result<bool, Stop> {
        let mut at = 0;
        while at < format.len() {
            let byte = format[at];
            at += 1;
            let rest = &format[at..];
            match byte {
                b'\\' => {
                    let (escape, length) = escape::read(rest, Octal::Plain);
                    if escape == escape::Escape::Stop {
                        return Ok(false);
                    }
                    escape::push(&escape, &mut self.output);
                    at += length;
                }
                b'%' if rest.first() == Some(&b'%') => {
                    self.output.push(b'%');
                    at += 1;
                }
                b'%' => {
                    let (conversion, length) =
                        Conversion::parse(rest).ok_or_else(|| Stop::failed("`%': missing format character"))?;
                    at += length;
                    if !self.convert(conversion)? {
                        return Ok(false);
                    }
                }
                byte => self.output.push(byte),
            }
        }
        Ok(true)
    }

    fn convert(&mut self, mut conversion: Conversion) -> Result<bool, Stop> {
        conversion.settle(|| self.integer());
        let text = match conversion.kind {
            b'd' | b'i' => conversion.integer(self.integer()),
            b'u' | b'o' | b'x' | b'X' => conversion.unsigned(self.integer().cast_unsigned()),
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => conversion.float(self.float()),
            b'c' => {
                let word = self.next().unwrap_or_default();
                conversion.text(&word.as_bytes()[..word.chars().next().map_or(0, char::len_utf8)])
            }
            b's' => conversion.text(self.next().unwrap_or_default().as_bytes()),
            b'q' => conversion.text(quoted(self.next().unwrap_or_default()).as_bytes()),
            b'b' => {
                let word = self.next().unwrap_or_default();
                let (expanded, stopped) = escape::expand(word.as_bytes(), Octal::Zero);
                self.output.extend(conversion.text(&expanded));
                return Ok(!stopped);
            }
            other => {
                let text = format!("`{}': invalid format character", char::from(other));
                return Err(Stop::failed(text));
            }
        };
        self.output.extend(text);
        Ok(true)
    }

    fn integer(&mut self) -> i64 {
        let word = self.next().unwrap_or_default();
        if let Some(code) = character_code(word) {
            return code;
        }
        let (number, whole) = leading_integer(word);
        if !whole && !word.is_empty() {
            self.wrong.push(format!("{word}: invalid number"));
        }
        number
    }

    fn float(&mut self) -> f64 {
        let word = self.next().unwrap_or_default();
        if let Some(code) = character_code(word).and_then(|code| u32::try_from(code).ok()) {
            return f64::from(code);
        }
        let (number, length) = format::leading_float(word.as_bytes());
        if length < word.len() {
            self.wrong.push(format!("{word}: invalid number"));
        }
        number
    }
}

/// `'A` is the code of the letter.
fn character_code(word: &str) -> Option<i64> {
    let rest = word.strip_prefix(['\'', '"'])?;
    Some(rest.chars().next().map_or(0, |character| i64::from(u32::from(character))))
}

/// Returns the integer that a word begins with, in C's spelling, and whether that is all of it.
fn leading_integer(word: &str) -> (i64, bool) {
    let trimmed = word.trim_start();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let (base, digits) = if let Some(rest) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        (16, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(base)).count();
    let magnitude = u64::from_str_radix(&digits[..length], base).unwrap_or(if length == 0 { 0 } else { u64::MAX });
    let number = if negative { 0_i64.saturating_sub_unsigned(magnitude) } else { magnitude.cast_signed() };
    (number, length > 0 && length == digits.len())
}

/// Returns a word as bash's `%q` quotes it.
pub(crate) fn quoted(word: &str) -> String {
    if word.is_empty() {
        return "''".to_owned();
    }
    if word.chars().any(char::is_control) {
        return format!("$'{}'", word.chars().map(control_quoted).collect::<String>());
    }
    let is_plain = |character: char| character.is_alphanumeric() || "%+-./:=@_^".contains(character);
    word.chars()
        .map(|character| if is_plain(character) { character.to_string() } else { format!("\\{character}") })
        .collect()
}

fn control_quoted(character: char) -> String {
    match character {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        '\r' => "\\r".to_owned(),
        '\'' | '\\' => format!("\\{character}"),
        control if control.is_control() => format!("\\{:03o}", u32::from(control)),
        other => other.to_string(),
    }
}

pub(crate) fn yes(invocation: &mut Invocation<'_>) -> Outcome {
    let words = invocation.args.get(1..).unwrap_or_default();
    let line = if words.is_empty() { "y\n".to_owned() } else { format!("{}\n", words.join(" ")) };
    // Many lines at once: a write for each would cost the reader more than the lines.
    let block = line.repeat(8_192 / line.len().min(8_192));
    loop {
        invocation.stdout.write_all(block.as_bytes())?;
    }
}

const SEQ: Spec = Spec::new("f/format= s/separator= w/equal-width").operand_ends();

pub(crate) fn seq(invocation: &mut Invocation<'_>) -> Outcome {
    // A negative number is no option.
    let is_number = |word: &String| {
        word.starts_with('-') && word.as_bytes().get(1).is_some_and(|byte| b"0123456789.".contains(byte))
    };
    let first = invocation.args.iter().position(is_number).unwrap_or(invocation.args.len());
    let options = SEQ.parse(&invocation.args[..first])?;
    let mut numbers = options.operands.clone();
    numbers.extend(invocation.args[first..].iter().map(String::as_str));
    let (from, step, to) = match numbers.as_slice() {
        [] => return Err(SEQ.wrong("seq", "missing operand")),
        [to] => ("1", "1", *to),
        [from, to] => (*from, "1", *to),
        [from, step, to] => (*from, *step, *to),
        [_, _, _, extra, ..] => return Err(SEQ.wrong("seq", &format!("extra operand '{extra}'"))),
    };
    let sequence = Sequence::new(from, step, to)?;
    let line = SequenceFormat::new(&options, from, step, &sequence)?;
    let separator = options.value("s").unwrap_or("\n");
    let mut shown = false;
    let mut index = 0_u32;
    while let Some(number) = sequence.at(index) {
        if shown {
            invocation.stdout.write_all(separator.as_bytes())?;
        }
        invocation.stdout.write_all(&line.show(number))?;
        shown = true;
        index = index.checked_add(1).ok_or_else(|| Stop::failed("more numbers than can be counted"))?;
    }
    if shown {
        invocation.stdout.write_all(b"\n")?;
    }
    Ok(0)
}

struct Sequence {
    from: f64,
    step: f64,
    to: f64,
}

impl Sequence {
    fn new(from: &str, step: &str, to: &str) -> Result<Self, Stop> {
        let number = |word: &str| {
            let (number, length) = format::leading_float(word.as_bytes());
            let fits = length == word.len() && !word.is_empty();
            fits.then_some(number)
                .ok_or_else(|| SEQ.wrong("seq", &format!("invalid floating point argument: '{word}'")))
        };
        let sequence = Self { from: number(from)?, step: number(step)?, to: number(to)? };
        if sequence.step == 0.0 {
            return Err(SEQ.wrong("seq", &format!("invalid Zero increment value: '{step}'")));
        }
        Ok(sequence)
    }

    fn at(&self, index: u32) -> Option<f64> {
        let number = self.from + f64::from(index) * self.step;
        // A sum of tenths is a little off; the last of them still counts.
        let tolerance = self.step.abs() * 1e-9;
        let inside = if self.step > 0.0 { number <= self.to + tolerance } else { number >= self.to - tolerance };
        inside.then_some(number)
    }
}

struct SequenceFormat {
    before: Vec<u8>,
    conversion: Conversion,
    after: Vec<u8>,
}

impl SequenceFormat {
    fn new(options: &crate::options::Options<'_>, from: &str, step: &str, sequence: &Sequence) -> Result<Self, Stop> {
        if let Some(format) = options.value("f") {
            return Self::given(format);
        }
        let decimals = |word: &str| word.split_once('.').map_or(0, |(_, digits)| digits.len());
        let precision = decimals(from).max(decimals(step));
        let width = |number: f64| format!("{number:.precision$}").len();
        let wide = if options.has("w") { width(sequence.from).max(width(sequence.to)) } else { 0 };
        let conversion = Conversion {
            zero: true,
            width: Some(format::Count::Is(wide)),
            precision: Some(format::Count::Is(precision)),
            kind: b'f',
            ..Conversion::default()
        };
        Ok(Self { before: Vec::new(), conversion, after: Vec::new() })
    }

    fn given(format: &str) -> Result<Self, Stop> {
        let wrong = || Stop::failed(format!("format '{format}' has no % directive"));
        let (before, rest) = format.split_once('%').ok_or_else(wrong)?;
        let (conversion, length) = Conversion::parse(rest.as_bytes()).ok_or_else(wrong)?;
        if !conversion.kind.is_ascii_alphabetic() || !b"efgEFGaA".contains(&conversion.kind) {
            return Err(Stop::failed(format!(
                "format '{format}' has unknown %{} directive",
                char::from(conversion.kind)
            )));
        }
        let after = rest.as_bytes()[length..].to_vec();
        Ok(Self { before: before.as_bytes().to_vec(), conversion, after })
    }

    fn show(&self, number: f64) -> Vec<u8> {
        // Minus zero is how a sum that ends at zero may look.
        let number = if number == 0.0 { 0.0 } else { number };
        [self.before.as_slice(), &self.conversion.float(number), &self.after].concat()
    }
}

const BASENAME: Spec = Spec::new("a/multiple s/suffix= z/zero");

pub(crate) fn basename(invocation: &mut Invocation<'_>) -> Outcome {
    let options = BASENAME.parse(invocation.args)?;
    let end = if options.has("z") { '\0' } else { '\n' };
    let (names, suffix) = match options.operands.as_slice() {
        [] => return Err(BASENAME.wrong("basename", "missing operand")),
        names if options.has("a") || options.has("s") => (names, options.value("s").unwrap_or_default()),
        [name, suffix] => (std::slice::from_ref(name), *suffix),
        [_, _, extra, ..] => return Err(BASENAME.wrong("basename", &format!("extra operand '{extra}'"))),
        names => (names, ""),
    };
    for name in names {
        let base = last_part(name);
        let base = base.strip_suffix(suffix).filter(|rest| !rest.is_empty()).unwrap_or(base);
        write!(invocation.stdout, "{base}{end}")?;
    }
    Ok(0)
}

/// Returns the last part of a path's spelling.
pub(crate) fn last_part(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() && !path.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// Returns the spelling of the folder that holds `path`.
pub(crate) fn folder_part(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return if path.is_empty() { "." } else { "/" };
    }
    match trimmed.rsplit_once('/') {
        None => ".",
        Some((folder, _)) if folder.trim_end_matches('/').is_empty() => "/",
        Some((folder, _)) => folder.trim_end_matches('/'),
    }
}

const DIRNAME: Spec = Spec::new("z/zero");

pub(crate) fn dirname(invocation: &mut Invocation<'_>) -> Outcome {
    let options = DIRNAME.parse(invocation.args)?;
    if options.operands.is_empty() {
        return Err(DIRNAME.wrong("dirname", "missing operand"));
    }
    let end = if options.has("z") { '\0' } else { '\n' };
    for path in &options.operands {
        write!(invocation.stdout, "{}{end}", folder_part(path))?;
    }
    Ok(0)
}

const FACTOR: Spec = Spec::new("h/exponents");

pub(crate) fn factor(invocation: &mut Invocation<'_>) -> Outcome {
    let options = FACTOR.parse(invocation.args)?;
    let from_input = options.operands.is_empty();
    let words: Vec<String> = if from_input {
        let text = crate::input::everything(invocation.stdin)?;
        String::from_utf8_lossy(&text).split_whitespace().map(str::to_owned).collect()
    } else {
        options.operands.iter().map(|word| (*word).to_owned()).collect()
    };
    let mut code = 0;
    for word in words {
        let Ok(number) = word.trim_start_matches('+').parse::<u64>() else {
            complain(invocation, format_args!("'{word}' is not a valid positive integer"));
            code = 1;
            continue;
        };
        let factors: Vec<String> = prime_factors(number).iter().map(u64::to_string).collect();
        let line = format!("{number}: {}", factors.join(" "));
        writeln!(invocation.stdout, "{}", line.trim_end())?;
    }
    Ok(code)
}

/// Returns the prime factors in order. Trial division: the sandbox's fuel ends what takes too long.
fn prime_factors(mut number: u64) -> Vec<u64> {
    let mut factors = Vec::new();
    let mut divisor = 2;
    while divisor <= number / divisor {
        while number.is_multiple_of(divisor) {
            factors.push(divisor);
            number /= divisor;
        }
        divisor += if divisor == 2 { 1 } else { 2 };
    }
    if number > 1 {
        factors.push(number);
    }
    factors
}

pub(crate) fn pwd(invocation: &mut Invocation<'_>) -> Outcome {
    const PWD: Spec = Spec::new("L/logical P/physical");
    let options = PWD.parse(invocation.args)?;
    let shown = if options.has("P") { invocation.cwd.canonicalize().ok() } else { None };
    let shown = shown.unwrap_or_else(|| invocation.cwd.to_owned());
    writeln!(invocation.stdout, "{}", shown.display())?;
    Ok(0)
}
