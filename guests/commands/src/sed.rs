//! `sed`, the stream editor.

mod execute;
mod parse;
mod replace;

use crate::Invocation;
use crate::input;
use crate::options::Spec;
use crate::report::{Outcome, Stop};

const SED: Spec = Spec::new(
    "n/quiet/silent e/expression= f/file= E/r/regexp-extended i/in-place? s/separate z/null-data u/unbuffered \
     l/line-length= posix debug sandbox",
);

pub(crate) fn sed(invocation: &mut Invocation<'_>) -> Outcome {
    let options = SED.parse(invocation.args)?;
    let mut operands = options.operands.iter().map(|operand| (*operand).to_owned());
    let mut parts = Vec::new();
    for found in &options.found {
        match found.name {
            "e" => parts.push(found.text().to_owned()),
            "f" => {
                let mut reader = input::open(invocation.cwd, invocation.stdin, found.text()).map_err(|error| {
                    Stop::failed(format!("couldn't open file {}: {}", found.text(), crate::report::reason(&error)))
                })?;
                let text = input::everything(&mut *reader)?;
                let text = String::from_utf8_lossy(&text).into_owned();
                parts.push(text.strip_suffix('\n').unwrap_or(&text).to_owned());
            }
            _ => {}
        }
    }
    let script = if parts.is_empty() {
        let usage = "Usage: sed [OPTION]... {script-only-if-no-other-script} [input-file]...";
        operands.next().ok_or_else(|| Stop::failed(usage))?
    } else {
        parts.join("\n")
    };
    let quiet = options.has("n") || script.starts_with("#n\n") || script == "#n";
    let program = parse::parse(&script, options.has("E"), options.has("z"))?;
    let inputs: Vec<String> = operands.collect();
    let settings = execute::Settings {
        quiet,
        in_place: options.has("i").then(|| options.value("i").unwrap_or_default().to_owned()),
        separate: options.has("s") || options.has("i"),
        end: if options.has("z") { 0 } else { b'\n' },
    };
    execute::run(invocation, &program, &settings, inputs)
}
