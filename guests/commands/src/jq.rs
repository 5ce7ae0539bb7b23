//! `jq`, on the engine of jaq.

use std::io::Write;

use jaq_core::data::{DataT, HasLut};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Lut, Vars, unwrap_valr};
use jaq_json::write::Pp;
use jaq_json::{Val, read};
use jaq_std::input::{HasInputs, Inputs, RcIter};

use crate::Invocation;
use crate::input;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop, complain, reason};

/// Exit codes of a wrong use, a program that cannot be read, and one that fails.
const USAGE: i32 = 2;
const UNREADABLE: i32 = 3;
const FAILED: i32 = 5;

const JQ: Spec = Spec::new(
    "r/raw-output c/compact-output n/null-input s/slurp e/exit-status S/sort-keys j/join-output a/ascii-output tab indent= \
     R/raw-input M/monochrome-output C/color-output f/from-file= raw-output0 arg argjson slurpfile rawfile args jsonargs",
)
.fails_with(USAGE);

/// What filters may ask for: their table, and further inputs.
struct Kind;

impl DataT for Kind {
    type V<'a> = Val;
    type Data<'a> = Data<'a>;
}

#[derive(Clone)]
struct Data<'a> {
    lut: &'a Lut<Kind>,
    inputs: Inputs<'a, Val>,
}

impl<'a> HasLut<'a, Kind> for Data<'a> {
    fn lut(&self) -> &'a Lut<Kind> {
        self.lut
    }
}

impl<'a> HasInputs<'a, Val> for Data<'a> {
    fn inputs(&self) -> Inputs<'a, Val> {
        self.inputs
    }
}

pub(crate) fn jq(invocation: &mut Invocation<'_>) -> Outcome {
    let (args, variables, positional) = Variables::take(invocation)?;
    let options = JQ.parse(&args)?;
    let mut operands = options.operands.clone();
    let program = match options.value("f") {
        Some(name) => std::fs::read_to_string(invocation.path(name))
            .map_err(|error| Stop::code(USAGE, format!("error: Could not open {name}: {}", reason(&error))))?,
        None if operands.is_empty() => ".".to_owned(),
        None => operands.remove(0).to_owned(),
    };
    let operands = if positional { Vec::new() } else { operands };
    let (inputs, mut code) = read_inputs(invocation, &options, &operands)?;
    let arena = Arena::default();
    let own = jaq_core::load::parse(include_str!("jq/prelude.jq"), |parser| parser.defs())
        .expect("the definitions are tested");
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).chain(own);
    let unreadable =
        || Stop::code(UNREADABLE, "error: syntax error or unknown name in the program\njq: 1 compile error");
    let modules =
        Loader::new(defs).load(&arena, File { code: program.as_str(), path: () }).map_err(|_| unreadable())?;
    let funs = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_std::input::funs().into_vec().into_iter().map(jaq_core::native::run))
        .chain(jaq_json::funs());
    let names: Vec<&str> = variables.0.iter().map(|(name, _)| name.as_str()).collect();
    let filter = Compiler::<_, Kind>::default()
        .with_funs(funs)
        .with_global_vars(names)
        .compile(modules)
        .map_err(|_| unreadable())?;
    let inputs = RcIter::new(inputs.into_iter().map(Ok));
    let data = Data { lut: &filter.lut, inputs: &inputs };
    let shape = Shape::new(&options)?;
    let mut last = None;
    let null = options.has("n").then_some(Ok(Val::Null));
    let rest = if options.has("n") { None } else { Some(&inputs) };
    for input in null.into_iter().chain(rest.into_iter().flatten()) {
        let Ok(input) = input else { continue };
        let values = variables.0.iter().map(|(_, value)| value.clone());
        let ctx = Ctx::<Kind>::new(data.clone(), Vars::new(values));
        for output in filter.id.run((ctx, input)) {
            match unwrap_valr(output) {
                Ok(value) => {
                    shape.write(&value, invocation.stdout)?;
                    last = Some(value);
                }
                Err(error) => {
                    complain(invocation, format_args!("error (at <stdin>:0): {error}"));
                    code = FAILED;
                    break;
                }
            }
        }
    }
    if options.has("e") && code == 0 {
        return Ok(match last {
            None => 4,
            Some(Val::Null | Val::Bool(false)) => 1,
            Some(_) => 0,
        });
    }
    Ok(code)
}

/// What `--arg` and its like define.
struct Variables(Vec<(String, Val)>);

impl Variables {
    /// Takes the options with two values out of the words, and tells whether the operands are positional.
    fn take(invocation: &Invocation<'_>) -> Result<(Vec<String>, Self, bool), Stop> {
        let mut rest = Vec::new();
        let mut variables: Vec<(String, Val)> = Vec::new();
        let mut named = Vec::new();
        let mut words = invocation.args.iter();
        let mut positional = None;
        let mut positions = Vec::new();
        let mut has_program = false;
        while let Some(word) = words.next() {
            let usage = || Stop::code(USAGE, format!("{word} takes two parameters (e.g. {word} varname value)"));
            match word.as_str() {
                "--arg" | "--argjson" | "--slurpfile" | "--rawfile" => {
                    let (name, text) = (words.next().ok_or_else(usage)?, words.next().ok_or_else(usage)?);
                    let value = value_of(invocation, word, name, text)?;
                    named.push((name.clone(), value.clone()));
                    variables.push((format!("${name}"), value));
                }
                "--args" | "--jsonargs" => positional = Some(word == "--jsonargs"),
                _ => {
                    let is_operand = !word.starts_with('-') || word == "-";
                    if let Some(json) = positional.filter(|_| is_operand && has_program) {
                        positions.push(if json { json_value("--jsonargs", word)? } else { Val::from(word.clone()) });
                    } else {
                        has_program |= is_operand && !rest.is_empty();
                        rest.push(word.clone());
                    }
                }
            }
        }
        let object = |pairs: Vec<(String, Val)>| {
            Val::obj(pairs.into_iter().map(|(name, value)| (Val::from(name), value)).collect())
        };
        let env = invocation.env.iter().map(|(name, value)| (name.clone(), Val::from(value.clone()))).collect();
        variables.push(("$ENV".to_owned(), object(env)));
        let list: Val = positions.into_iter().collect();
        variables.push(("$__named".to_owned(), object(named)));
        variables.push(("$__positional".to_owned(), list));
        Ok((rest, Self(variables), positional.is_some()))
    }
}

fn value_of(invocation: &Invocation<'_>, option: &str, name: &str, text: &str) -> Result<Val, Stop> {
    let file = || {
        let failed = |error| {
            Stop::code(USAGE, format!("Bad JSON in {option} {name} {text}: Could not open {text}: {}", reason(&error)))
        };
        std::fs::read(invocation.path(text)).map_err(failed)
    };
    match option {
        "--argjson" => json_value(option, text),
        "--slurpfile" => {
            let values = read::parse_many(&file()?).collect::<Result<Vec<Val>, _>>();
            values
                .map(|values| values.into_iter().collect())
                .map_err(|_| Stop::code(USAGE, format!("Bad JSON in {option} {name} {text}")))
        }
        "--rawfile" => Ok(Val::utf8_str(file()?)),
        _ => Ok(Val::from(text.to_owned())),
    }
}

fn json_value(option: &str, text: &str) -> Result<Val, Stop> {
    read::parse_single(text.as_bytes()).map_err(|_| Stop::code(USAGE, format!("Invalid JSON text passed to {option}")))
}

/// Reads the values of all inputs.
fn read_inputs(
    invocation: &mut Invocation<'_>,
    options: &Options<'_>,
    operands: &[&str],
) -> Result<(Vec<Val>, i32), Stop> {
    let mut values = Vec::new();
    let mut text = Vec::new();
    let mut code = 0;
    let operands = if operands.is_empty() { vec!["-"] } else { operands.to_vec() };
    let by_need = options.has("n") && operands == ["-"];
    for operand in operands {
        match input::open(invocation.cwd, invocation.stdin, operand) {
            Ok(mut reader) => text.extend(input::everything(&mut *reader)?),
            Err(error) => {
                crate::report::say(
                    invocation.stderr,
                    invocation.args,
                    format_args!("error: Could not open {operand}: {}", reason(&error)),
                );
                code = USAGE;
            }
        }
    }
    if options.has("R") {
        if options.has("s") {
            return Ok((vec![Val::utf8_str(text)], code));
        }
        values.extend(input::lines(&text).into_iter().map(|line| Val::utf8_str(line.to_vec())));
        return Ok((values, code));
    }
    for value in read::parse_many(&text) {
        match value {
            Ok(value) => values.push(value),
            Err(_) if by_need => break,
            Err(error) => {
                crate::report::say(invocation.stderr, invocation.args, format_args!("error (at <stdin>:0): {error}"));
                code = USAGE;
                break;
            }
        }
    }
    if options.has("s") {
        values = vec![values.into_iter().collect()];
    }
    Ok((values, code))
}

struct Shape {
    raw: bool,
    end: &'static str,
    ascii: bool,
    style: Pp,
}

impl Shape {
    fn new(options: &Options<'_>) -> Result<Self, Stop> {
        let spaces = match options.value("indent") {
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| *count <= 7)
                .ok_or_else(|| Stop::code(USAGE, "Cannot indent more than 7 characters"))?,
            None => 2,
        };
        let indent = match (options.has("c"), options.has("tab"), spaces) {
            (true, ..) | (_, false, 0) => None,
            (_, true, _) => Some("\t".to_owned()),
            (_, _, spaces) => Some(" ".repeat(spaces)),
        };
        let compact = indent.is_none();
        let end = if options.has("j") {
            ""
        } else if options.has("raw-output0") {
            "\0"
        } else {
            "\n"
        };
        let raw = options.has("r") || options.has("j") || options.has("raw-output0");
        let style = Pp { indent, sort_keys: options.has("S"), sep_space: !compact, ..Pp::default() };
        Ok(Self { raw, end, ascii: options.has("a"), style })
    }

    fn write(&self, value: &Val, writer: &mut dyn Write) -> Result<(), Stop> {
        let mut text = Vec::new();
        match value {
            Val::TStr(content) | Val::BStr(content) if self.raw => text.extend(&content[..]),
            value => jaq_json::write::write(&mut text, &self.style, 0, value)?,
        }
        if self.ascii {
            text = escaped(&text);
        }
        text.extend(self.end.bytes());
        writer.write_all(&text)?;
        Ok(())
    }
}

fn escaped(text: &[u8]) -> Vec<u8> {
    let mut output = String::new();
    for character in String::from_utf8_lossy(text).chars() {
        if character.is_ascii() {
            output.push(character);
        } else {
            output.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    output.into_bytes()
}
