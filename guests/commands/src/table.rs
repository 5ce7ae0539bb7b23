//! Which name is which command.

use crate::report::{Outcome, settle};
use crate::{Command, Invocation};
use crate::{fields, grep, sort, test, text, tr, words};

/// Makes a command of a function that returns an [`Outcome`].
macro_rules! command {
    ($function:path) => {
        |invocation: &mut Invocation<'_>| {
            let function: fn(&mut Invocation<'_>) -> Outcome = $function;
            let outcome = function(invocation);
            settle(outcome, invocation)
        }
    };
}

const COMMANDS: &[(&str, Command)] = &[
    ("[", command!(test::bracket)),
    ("basename", command!(words::basename)),
    ("cat", command!(text::cat)),
    ("comm", command!(fields::comm)),
    ("cut", command!(fields::cut)),
    ("dirname", command!(words::dirname)),
    ("echo", command!(words::echo)),
    ("egrep", command!(grep::grep)),
    ("factor", command!(words::factor)),
    ("false", command!(words::fail)),
    ("fgrep", command!(grep::grep)),
    ("grep", command!(grep::grep)),
    ("head", command!(text::head)),
    ("join", command!(fields::join)),
    ("nl", command!(text::nl)),
    ("paste", command!(fields::paste)),
    ("printf", command!(words::printf)),
    ("pwd", command!(words::pwd)),
    ("rev", command!(text::rev)),
    ("seq", command!(words::seq)),
    ("shuf", command!(sort::shuf)),
    ("sort", command!(sort::sort)),
    ("tac", command!(text::tac)),
    ("tail", command!(text::tail)),
    ("tee", command!(text::tee)),
    ("test", command!(test::test)),
    ("tr", command!(tr::tr)),
    ("true", command!(words::succeed)),
    ("tsort", command!(sort::tsort)),
    ("uniq", command!(sort::uniq)),
    ("wc", command!(text::wc)),
    ("yes", command!(words::yes)),
];

/// Returns the command of this name.
pub fn lookup(name: &str) -> Option<Command> {
    let at = COMMANDS.binary_search_by_key(&name, |(known, _)| known).ok()?;
    Some(COMMANDS[at].1)
}

/// Returns the names of all commands, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, _)| *name)
}
