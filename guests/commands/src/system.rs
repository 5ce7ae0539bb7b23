//! Commands that run others, and commands that say where they run: `xargs`, `env`, `printenv`, `timeout`, `sleep`,
//! `nohup`, `which`, `uname`, `whoami`, `id`, `hostname`, `nproc`, `envsubst`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::time::{Duration, Instant};

use crate::Invocation;
use crate::input;
use crate::options::Spec;
use crate::report::{Outcome, Stop, complain, reason, say};

/// The one user of the sandbox.
pub(crate) const USER: &str = "root";
const HOST: &str = "sandbox";
const TIMED_OUT: i32 = 124;

const XARGS: Spec = Spec::new(
    "0/null n/max-args= I= i/replace? d/delimiter= r/no-run-if-empty L/max-lines= l? P/max-procs= t/verbose a/arg-file= E= \
     s/max-chars= x/exit p/interactive",
)
.operand_ends();

pub(crate) fn xargs(invocation: &mut Invocation<'_>) -> Outcome {
    let options = XARGS.parse(invocation.args)?;
    let number = |name: &str| match options.value(name) {
        Some(text) => {
            let wrong = || Stop::failed(format!("invalid number \"{text}\" for -{name} option"));
            text.parse::<usize>().ok().filter(|number| *number > 0).map(Some).ok_or_else(wrong)
        }
        None => Ok(None),
    };
    let (per_command, per_lines) = (number("n")?, number("L")?);
    let replaced = options.value("I").or(options.value("i").map(|text| if text.is_empty() { "{}" } else { text }));
    let words: Vec<String> = if options.operands.is_empty() {
        vec!["echo".into()]
    } else {
        options.operands.iter().map(|word| (*word).to_owned()).collect()
    };
    let delimiter = match (options.has("0"), options.value("d")) {
        (true, _) => Some(0),
        (_, Some(text)) => Some(
            *crate::escape::expand(text.as_bytes(), crate::escape::Octal::Plain)
                .0
                .first()
                .ok_or_else(|| Stop::failed("empty delimiter"))?,
        ),
        _ => None,
    };
    let from_file = match options.value("a") {
        Some(name) => Some(
            input::file(&invocation.path(name))
                .map_err(|error| Stop::failed(format!("Cannot open input file '{name}': {}", reason(&error))))?,
        ),
        None => None,
    };
    let mut run = XargsRun { words, verbose: options.has("t"), code: 0 };
    let text = match from_file {
        Some(mut file) => input::everything(&mut file)?,
        None => input::everything(invocation.stdin)?,
    };
    if let Some(replaced) = replaced {
        if per_command.is_some() {
            let what =
                "options --max-args and --replace/-I/-i are mutually exclusive, ignoring previous --max-args value";
            say(invocation.stderr, invocation.args, format_args!("warning: {what}"));
        }
        for line in items(&text, Some(delimiter.unwrap_or(b'\n')))? {
            let line = if delimiter.is_none() { line.trim_start().to_owned() } else { line };
            if line.is_empty() && delimiter.is_none() {
                continue;
            }
            let argv: Vec<String> = run.words.iter().map(|word| word.replace(replaced, &line)).collect();
            run.one(invocation, &argv)?;
        }
        return Ok(run.code);
    }
    let groups: Vec<Vec<String>> = match per_lines {
        Some(count) => {
            let lines =
                text.split(|byte| *byte == b'\n').map(|line| items(line, delimiter)).collect::<Result<Vec<_>, _>>()?;
            let lines: Vec<Vec<String>> = lines.into_iter().filter(|line| !line.is_empty()).collect();
            lines.chunks(count).map(<[Vec<String>]>::concat).collect()
        }
        None => items(&text, delimiter)?.chunks(per_command.unwrap_or(MAX_WORDS)).map(<[String]>::to_vec).collect(),
    };
    if groups.is_empty() && !options.has("r") {
        let argv = run.words.clone();
        run.one(invocation, &argv)?;
    }
    for group in groups {
        let argv: Vec<String> = run.words.iter().cloned().chain(group).collect();
        run.one(invocation, &argv)?;
    }
    Ok(run.code)
}

/// Words of one command: more than a system's command line takes.
const MAX_WORDS: usize = 4_096;

struct XargsRun {
    words: Vec<String>,
    verbose: bool,
    code: i32,
}

impl XargsRun {
    fn one(&mut self, invocation: &mut Invocation<'_>, argv: &[String]) -> Result<(), Stop> {
        if self.verbose {
            drop(writeln!(invocation.stderr, "{}", argv.join(" ")));
        }
        let code = invocation.runner.run(argv, invocation.env, &mut io::empty(), invocation.stdout, invocation.stderr);
        match code {
            0 => {}
            // The reader of what it writes has gone.
            141 => return Err(Stop::Write(io::ErrorKind::BrokenPipe.into())),
            126 | 127 => return Err(Stop::Quiet(code)),
            255 => {
                complain(invocation, format_args!("{}: exited with status 255; aborting", argv[0]));
                return Err(Stop::Quiet(124));
            }
            _ => self.code = 123,
        }
        Ok(())
    }
}

/// Splits input into words: by one byte, or by blanks with quotes and backslashes.
fn items(text: &[u8], delimiter: Option<u8>) -> Result<Vec<String>, Stop> {
    if let Some(delimiter) = delimiter {
        let mut parts: Vec<&[u8]> = text.split(|byte| *byte == delimiter).collect();
        if parts.last().is_some_and(|last| last.is_empty()) {
            parts.pop();
        }
        return Ok(parts.into_iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect());
    }
    let text = String::from_utf8_lossy(text);
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' => found.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some(end) if end == character => break,
                        None | Some('\n') => {
                            let kind = if character == '"' { "double" } else { "single" };
                            return Err(Stop::failed(format!(
                                "unmatched {kind} quote; by default quotes are special to xargs unless you use the -0 option"
                            )));
                        }
                        Some(other) => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    found.extend(word);
    Ok(found)
}

const ENV: Spec =
    Spec::new("i/ignore-environment u/unset= 0/null C/chdir= S/split-string= v/debug").fails_with(125).operand_ends();

pub(crate) fn env(invocation: &mut Invocation<'_>) -> Outcome {
    let mut args = invocation.args.to_vec();
    if let Some(at) = args.iter().position(|word| word == "-") {
        "-i".clone_into(&mut args[at]);
    }
    let options = ENV.parse(&args)?;
    if options.has("C") || options.has("S") {
        return Err(Stop::code(125, "neither --chdir nor --split-string is supported"));
    }
    let mut variables = if options.has("i") { BTreeMap::new() } else { invocation.env.clone() };
    for found in options.found.iter().filter(|found| found.name == "u") {
        variables.remove(found.text());
    }
    let mut words = options.operands.as_slice();
    while let Some((name, value)) = words.first().and_then(|word| word.split_once('=')) {
        variables.insert(name.to_owned(), value.to_owned());
        words = &words[1..];
    }
    if words.is_empty() {
        let end = if options.has("0") { '\0' } else { '\n' };
        for (name, value) in &variables {
            write!(invocation.stdout, "{name}={value}{end}")?;
        }
        return Ok(0);
    }
    let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    Ok(invocation.runner.run(&command, &variables, invocation.stdin, invocation.stdout, invocation.stderr))
}

const PRINTENV: Spec = Spec::new("0/null").fails_with(2);

pub(crate) fn printenv(invocation: &mut Invocation<'_>) -> Outcome {
    let options = PRINTENV.parse(invocation.args)?;
    let end = if options.has("0") { '\0' } else { '\n' };
    if options.operands.is_empty() {
        for (name, value) in invocation.env {
            write!(invocation.stdout, "{name}={value}{end}")?;
        }
        return Ok(0);
    }
    let mut code = 0;
    for name in &options.operands {
        match invocation.env.get(*name) {
            Some(value) => write!(invocation.stdout, "{value}{end}")?,
            None => code = 1,
        }
    }
    Ok(code)
}

/// Returns the time that `1`, `0.5`, `2m`, `3h` or `infinity` mean.
fn duration(text: &str) -> Option<Duration> {
    const LONG: f64 = 1e9;
    let (number, unit) = match text.char_indices().last()? {
        (at, 's') => (&text[..at], 1.0),
        (at, 'm') => (&text[..at], 60.0),
        (at, 'h') => (&text[..at], 3_600.0),
        (at, 'd') => (&text[..at], 86_400.0),
        _ => (text, 1.0),
    };
    let seconds = if number == "infinity" || number == "inf" { LONG } else { number.parse::<f64>().ok()? * unit };
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LONG)))
}

const SLEEP: Spec = Spec::new("");

/// Sleeps; the deadline of the call wakes everybody.
pub(crate) fn sleep(invocation: &mut Invocation<'_>) -> Outcome {
    let options = SLEEP.parse(invocation.args)?;
    if options.operands.is_empty() {
        return Err(SLEEP.wrong("sleep", "missing operand"));
    }
    let wrong = |text: &str| SLEEP.wrong("sleep", &format!("invalid time interval '{text}'"));
    let times = options.operands.iter().map(|text| duration(text).ok_or_else(|| wrong(text)));
    let total = times.sum::<Result<Duration, Stop>>()?;
    invocation.stdout.flush()?;
    std::thread::sleep(total);
    Ok(0)
}

const TIMEOUT: Spec =
    Spec::new("k/kill-after= s/signal= preserve-status foreground v/verbose").fails_with(125).operand_ends();

/// Runs a command with streams that end when its time is over: nothing here can stop a command that neither reads nor
/// writes. A `sleep` is cut short, because it is what scripts try this with.
pub(crate) fn timeout(invocation: &mut Invocation<'_>) -> Outcome {
    let options = TIMEOUT.parse(invocation.args)?;
    let [time, words @ ..] = options.operands.as_slice() else {
        return Err(TIMEOUT.wrong("timeout", "missing operand"));
    };
    let Some((first, rest)) = words.split_first() else {
        return Err(TIMEOUT.wrong("timeout", &format!("missing operand after '{time}'")));
    };
    let limit = duration(time).ok_or_else(|| TIMEOUT.wrong("timeout", &format!("invalid time interval '{time}'")))?;
    // No time is no limit.
    let deadline = Deadline { start: Instant::now(), limit: if limit.is_zero() { Duration::MAX } else { limit } };
    if *first == "sleep"
        && let [length] = rest
        && duration(length).is_some_and(|length| length > deadline.limit)
    {
        std::thread::sleep(deadline.limit);
        return Ok(TIMED_OUT);
    }
    let argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let mut reader = io::BufReader::new(Timed { inner: &mut *invocation.stdin, deadline });
    let mut writer = Timed { inner: &mut *invocation.stdout, deadline };
    let code = invocation.runner.run(&argv, invocation.env, &mut reader, &mut writer, invocation.stderr);
    let late = deadline.is_over() && !options.has("preserve-status");
    Ok(if late { TIMED_OUT } else { code })
}

#[derive(Clone, Copy)]
struct Deadline {
    start: Instant,
    limit: Duration,
}

impl Deadline {
    fn is_over(&self) -> bool {
        self.start.elapsed() > self.limit
    }
}

/// A stream that ends with its time.
struct Timed<S> {
    inner: S,
    deadline: Deadline,
}

impl Read for Timed<&mut (dyn BufRead + '_)> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.deadline.is_over() { Ok(0) } else { self.inner.read(buffer) }
    }
}

impl Write for Timed<&mut (dyn Write + '_)> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.deadline.is_over() { Err(io::ErrorKind::BrokenPipe.into()) } else { self.inner.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

pub(crate) fn nohup(invocation: &mut Invocation<'_>) -> Outcome {
    let argv = invocation.args.get(1..).unwrap_or_default();
    if argv.is_empty() {
        return Err(Stop::code(125, "missing operand\nTry 'nohup --help' for more information."));
    }
    Ok(invocation.runner.run(argv, invocation.env, invocation.stdin, invocation.stdout, invocation.stderr))
}

const WHICH: Spec = Spec::new("a s");

/// Names of commands have no files here; they are shown where scripts expect them.
pub(crate) fn which(invocation: &mut Invocation<'_>) -> Outcome {
    let options = WHICH.parse(invocation.args)?;
    let mut code = 0;
    for name in &options.operands {
        let is_path = name.contains('/') && crate::facts::is_executable(&invocation.path(name));
        let shown = if is_path { (*name).to_owned() } else { format!("/usr/bin/{name}") };
        if is_path || crate::lookup(name).is_some() {
            if !options.has("s") {
                writeln!(invocation.stdout, "{shown}")?;
            }
        } else {
            code = 1;
        }
    }
    Ok(code)
}

const UNAME: Spec = Spec::new(
    "a/all s/kernel-name n/nodename r/kernel-release v/kernel-version m/machine p/processor i/hardware-platform o/operating-system",
);

pub(crate) fn uname(invocation: &mut Invocation<'_>) -> Outcome {
    const FACTS: [(&str, &str); 6] =
        [("s", "Linux"), ("n", HOST), ("r", "6.0.0-wasi"), ("v", "#1 BoxAgnts"), ("m", "wasm32"), ("o", "WASI")];
    let options = UNAME.parse(invocation.args)?;
    let all = options.has("a");
    let none = options.found.is_empty();
    let wanted = |name: &str| all || options.has(name) || none && name == "s";
    let mut facts: Vec<&str> = FACTS.iter().filter(|(name, _)| wanted(name)).map(|(_, fact)| *fact).collect();
    if options.has("p") || options.has("i") {
        facts.push("wasm32");
    }
    writeln!(invocation.stdout, "{}", facts.join(" "))?;
    Ok(0)
}

pub(crate) fn whoami(invocation: &mut Invocation<'_>) -> Outcome {
    writeln!(invocation.stdout, "{USER}")?;
    Ok(0)
}

const ID: Spec = Spec::new("u/user g/group G/groups n/name r/real z/zero a");

pub(crate) fn id(invocation: &mut Invocation<'_>) -> Outcome {
    let options = ID.parse(invocation.args)?;
    if let Some(user) = options.operands.iter().find(|user| **user != USER && **user != "0") {
        return Err(Stop::failed(format!("'{user}': no such user")));
    }
    let one = ["u", "g", "G"].iter().any(|name| options.has(name));
    let text = match (one, options.has("n")) {
        (true, true) => USER.to_owned(),
        (true, false) => "0".to_owned(),
        _ => format!("uid=0({USER}) gid=0({USER}) groups=0({USER})"),
    };
    writeln!(invocation.stdout, "{text}")?;
    Ok(0)
}

const HOSTNAME: Spec = Spec::new("s/short f/fqdn/long i I d");

pub(crate) fn hostname(invocation: &mut Invocation<'_>) -> Outcome {
    let options = HOSTNAME.parse(invocation.args)?;
    if !options.operands.is_empty() {
        return Err(Stop::failed("you must be root to change the host name"));
    }
    writeln!(invocation.stdout, "{HOST}")?;
    Ok(0)
}

const NPROC: Spec = Spec::new("all ignore=");

pub(crate) fn nproc(invocation: &mut Invocation<'_>) -> Outcome {
    NPROC.parse(invocation.args)?;
    writeln!(invocation.stdout, "1")?;
    Ok(0)
}

const ENVSUBST: Spec = Spec::new("v/variables");

pub(crate) fn envsubst(invocation: &mut Invocation<'_>) -> Outcome {
    let options = ENVSUBST.parse(invocation.args)?;
    let named = options.operands.first().map(|text| variables(text));
    if options.has("v") {
        for name in named.unwrap_or_default() {
            writeln!(invocation.stdout, "{name}")?;
        }
        return Ok(0);
    }
    let mut line = Vec::new();
    while input::record(invocation.stdin, b'\n', &mut line)? {
        let text = String::from_utf8_lossy(&line);
        let value = |name: &str| match &named {
            Some(named) if !named.iter().any(|known| known == name) => None,
            _ => Some(invocation.env.get(name).cloned().unwrap_or_default()),
        };
        let filled = substituted(&text, value);
        invocation.stdout.write_all(filled.as_bytes())?;
    }
    Ok(0)
}

/// Returns the name that follows a dollar sign, and how much of the text it takes.
fn variable(after: &str) -> Option<(&str, usize)> {
    let braced = after.strip_prefix('{');
    let text = braced.unwrap_or(after);
    let length = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let name = &text[..length];
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match braced {
        None => Some((name, length)),
        Some(_) => text[length..].starts_with('}').then_some((name, length + 2)),
    }
}

fn variables(text: &str) -> Vec<String> {
    text.match_indices('$').filter_map(|(at, _)| variable(&text[at + 1..])).map(|(name, _)| name.to_owned()).collect()
}

fn substituted(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some((value, length)) = variable(after).and_then(|(name, length)| Some((value(name)?, length))) {
            filled.push_str(&value);
            rest = &after[length..];
        } else {
            filled.push('$');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}
