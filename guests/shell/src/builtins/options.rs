//! `set` and `shopt`.
#![expect(clippy::unnecessary_wraps, reason = "every built-in has the same type")]

use crate::quote;
use crate::shell::Shell;
use crate::stop::Run;
use crate::variables::Value;

/// Letters of `set`, and their long names. What there is no use for in the sandbox is taken and does nothing.
const SWITCHES: [(char, &str); 14] = [
    ('a', "allexport"),
    ('b', "notify"),
    ('B', "braceexpand"),
    ('C', "noclobber"),
    ('e', "errexit"),
    ('E', "errtrace"),
    ('f', "noglob"),
    ('h', "hashall"),
    ('m', "monitor"),
    ('P', "physical"),
    ('T', "functrace"),
    ('u', "nounset"),
    ('v', "verbose"),
    ('x', "xtrace"),
];

/// Names of `set -o` that have no letter.
const NAMED: [&str; 3] = ["pipefail", "posix", "ignoreeof"];

/// Names of `shopt`.
const SHOPTS: [&str; 14] = [
    "dotglob",
    "expand_aliases",
    "extglob",
    "failglob",
    "globstar",
    "inherit_errexit",
    "interactive_comments",
    "lastpipe",
    "nocaseglob",
    "nocasematch",
    "nullglob",
    "patsub_replacement",
    "sourcepath",
    "xpg_echo",
];

fn long_name(name: &str) -> Option<&'static str> {
    let named = NAMED.into_iter().find(|known| *known == name);
    named.or_else(|| SWITCHES.iter().find(|(_, known)| *known == name).map(|(_, known)| *known))
}

impl Shell {
    /// Returns `$-`.
    pub fn flags(&self) -> String {
        SWITCHES.iter().filter(|(_, name)| self.is_set(name)).map(|(letter, _)| letter).collect()
    }

    fn switch(&mut self, name: &'static str, on: bool) {
        if on {
            self.state.options.insert(name);
        } else {
            self.state.options.remove(name);
        }
    }
}

/// `set`
pub fn set(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let mut rest = &words[1..];
    if rest.is_empty() {
        return Ok(print_variables(shell));
    }
    while let [word, after @ ..] = rest {
        let on = word.starts_with('-');
        if word == "--" {
            shell.state.positional = after.to_vec();
            return Ok(0);
        }
        let Some(letters) = word.strip_prefix(['-', '+']).filter(|letters| !letters.is_empty()) else { break };
        rest = after;
        for letter in letters.chars() {
            let name = if letter == 'o' {
                let Some((name, after)) = rest.split_first() else { return Ok(print_switches(shell, on)) };
                rest = after;
                long_name(name).ok_or_else(|| format!("{name}: invalid option name"))
            } else {
                let found = SWITCHES.iter().find(|(known, _)| *known == letter).map(|(_, name)| *name);
                found.ok_or_else(|| format!("-{letter}: invalid option"))
            };
            match name {
                Ok(name) => shell.switch(name, on),
                Err(reason) => {
                    shell.complain(format!("set: {reason}"));
                    return Ok(2);
                }
            }
        }
    }
    if !rest.is_empty() {
        shell.state.positional = rest.to_vec();
    }
    Ok(0)
}

fn print_variables(shell: &mut Shell) -> i32 {
    let line = |(name, variable): (&String, &crate::variables::Variable)| match &variable.value {
        Some(Value::Scalar(text)) => Some(format!("{name}={}\n", quote::word(text))),
        Some(_) => crate::transform::declaration(name, variable)
            .split_once(' ')
            .map(|(_, rest)| format!("{}\n", rest.split_once(' ').map_or(rest, |(_, assignment)| assignment))),
        None => None,
    };
    let lines: String = shell.state.variables.iter().filter_map(line).collect();
    shell.print(&lines)
}

/// `set -o` and `set +o`
fn print_switches(shell: &mut Shell, as_table: bool) -> i32 {
    let mut names: Vec<_> = SWITCHES.iter().map(|(_, name)| *name).chain(NAMED).collect();
    names.sort_unstable();
    let line = |name: &str| match (as_table, shell.is_set(name)) {
        (true, on) => format!("{name:<15}\t{}\n", if on { "on" } else { "off" }),
        (false, on) => format!("set {}o {name}\n", if on { '-' } else { '+' }),
    };
    let lines: String = names.into_iter().map(line).collect();
    shell.print(&lines)
}

/// `shopt`
pub fn shopt(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let (letters, names): (Vec<&String>, Vec<&String>) = words[1..].iter().partition(|word| word.starts_with('-'));
    let has = |letter: char| letters.iter().any(|word| word.contains(letter));
    let mut status = 0;
    let wanted: Vec<&str> =
        if names.is_empty() { SHOPTS.to_vec() } else { names.iter().map(|name| name.as_str()).collect() };
    for name in wanted {
        let known = SHOPTS.into_iter().find(|known| *known == name);
        let Some(known) = known.or_else(|| long_name(name).filter(|_| has('o'))) else {
            shell.complain(format!("shopt: {name}: invalid shell option name"));
            status = 1;
            continue;
        };
        if has('s') || has('u') {
            if names.is_empty() {
                continue;
            }
            shell.switch(known, has('s'));
            continue;
        }
        let on = shell.is_set(known);
        if !has('q') {
            shell.print(&format!("{known:<15}\t{}\n", if on { "on" } else { "off" }));
        }
        status |= i32::from(!on && !names.is_empty());
    }
    Ok(status)
}
