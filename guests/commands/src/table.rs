//! Which name is which command.

use crate::report::{Outcome, settle};
use crate::{Command, Invocation};
use crate::{
    archive, awk, compare, date, encode, expr, fields, files, find, grep, hash, jq, layout, sed, sort, system, test,
    text, tr, words,
};

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
    ("awk", command!(awk::awk)),
    ("b2sum", command!(hash::sum)),
    ("base32", command!(encode::base)),
    ("base64", command!(encode::base)),
    ("basename", command!(words::basename)),
    ("cat", command!(text::cat)),
    ("chmod", command!(files::chmod)),
    ("cksum", command!(hash::cksum)),
    ("cmp", command!(compare::cmp)),
    ("column", command!(layout::column)),
    ("comm", command!(fields::comm)),
    ("cp", command!(files::cp)),
    ("cut", command!(fields::cut)),
    ("date", command!(date::date)),
    ("diff", command!(compare::diff)),
    ("dirname", command!(words::dirname)),
    ("du", command!(files::du)),
    ("echo", command!(words::echo)),
    ("egrep", command!(grep::grep)),
    ("env", command!(system::env)),
    ("envsubst", command!(system::envsubst)),
    ("expand", command!(layout::expand)),
    ("expr", command!(expr::expr)),
    ("factor", command!(words::factor)),
    ("false", command!(words::fail)),
    ("fgrep", command!(grep::grep)),
    ("find", command!(find::find)),
    ("fmt", command!(layout::fmt)),
    ("fold", command!(layout::fold)),
    ("gawk", command!(awk::awk)),
    ("grep", command!(grep::grep)),
    ("gunzip", command!(archive::gzip)),
    ("gzip", command!(archive::gzip)),
    ("head", command!(text::head)),
    ("hostname", command!(system::hostname)),
    ("id", command!(system::id)),
    ("join", command!(fields::join)),
    ("jq", command!(jq::jq)),
    ("ln", command!(files::ln)),
    ("ls", command!(files::ls)),
    ("mawk", command!(awk::awk)),
    ("md5sum", command!(hash::sum)),
    ("mkdir", command!(files::mkdir)),
    ("mktemp", command!(files::mktemp)),
    ("mv", command!(files::mv)),
    ("nl", command!(text::nl)),
    ("nohup", command!(system::nohup)),
    ("nproc", command!(system::nproc)),
    ("od", command!(encode::od)),
    ("paste", command!(fields::paste)),
    ("printenv", command!(system::printenv)),
    ("printf", command!(words::printf)),
    ("pwd", command!(words::pwd)),
    ("readlink", command!(files::readlink)),
    ("realpath", command!(files::realpath)),
    ("rev", command!(text::rev)),
    ("rm", command!(files::rm)),
    ("rmdir", command!(files::rmdir)),
    ("sed", command!(sed::sed)),
    ("seq", command!(words::seq)),
    ("sha1sum", command!(hash::sum)),
    ("sha224sum", command!(hash::sum)),
    ("sha256sum", command!(hash::sum)),
    ("sha384sum", command!(hash::sum)),
    ("sha512sum", command!(hash::sum)),
    ("shuf", command!(sort::shuf)),
    ("sleep", command!(system::sleep)),
    ("sort", command!(sort::sort)),
    ("split", command!(layout::split)),
    ("stat", command!(files::stat)),
    ("strings", command!(encode::strings)),
    ("tac", command!(text::tac)),
    ("tail", command!(text::tail)),
    ("tar", command!(archive::tar)),
    ("tee", command!(text::tee)),
    ("test", command!(test::test)),
    ("timeout", command!(system::timeout)),
    ("touch", command!(files::touch)),
    ("tr", command!(tr::tr)),
    ("true", command!(words::succeed)),
    ("truncate", command!(files::truncate)),
    ("tsort", command!(sort::tsort)),
    ("uname", command!(system::uname)),
    ("unexpand", command!(layout::unexpand)),
    ("uniq", command!(sort::uniq)),
    ("wc", command!(text::wc)),
    ("which", command!(system::which)),
    ("whoami", command!(system::whoami)),
    ("xargs", command!(system::xargs)),
    ("xxd", command!(encode::xxd)),
    ("yes", command!(words::yes)),
    ("zcat", command!(archive::gzip)),
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
