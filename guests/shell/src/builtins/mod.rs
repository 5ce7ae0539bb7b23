//! Built-ins: what only the interpreter can do. Commands that a program could be are in the crate `commands`.

mod declare;
mod flow;
mod options;
mod read;
mod words;

use std::borrow::Cow;

use brush_parser::ast::Assignment;

use crate::shell::Shell;
use crate::stop::Run;

/// A built-in; returns its exit code.
pub type Builtin = fn(&mut Shell, &[String]) -> Run<i32>;

/// What stands behind a declaration's name: an assignment is not split.
pub enum Argument<'a> {
    Word(String),
    Assignment(Cow<'a, Assignment>),
}

const BUILTINS: [(&str, Builtin); 46] = [
    (".", flow::source),
    (":", |_, _| Ok(0)),
    ("[", words::test),
    ("alias", words::alias),
    ("bash", flow::bash),
    ("break", flow::break_loop),
    ("builtin", words::builtin),
    ("cd", words::cd),
    ("command", words::command),
    ("continue", flow::continue_loop),
    ("declare", declare::declare_words),
    ("dirs", words::dirs),
    ("eval", flow::eval),
    ("exec", flow::exec),
    ("exit", flow::exit),
    ("export", declare::declare_words),
    ("getopts", read::getopts),
    ("hash", |_, _| Ok(0)),
    ("jobs", |_, _| Ok(0)),
    ("let", words::let_values),
    ("local", declare::declare_words),
    ("mapfile", read::mapfile),
    ("popd", words::popd),
    ("printf", words::printf),
    ("pushd", words::pushd),
    ("pwd", words::pwd),
    ("read", read::read),
    ("readarray", read::mapfile),
    ("readonly", declare::declare_words),
    ("return", flow::return_code),
    ("set", options::set),
    ("sh", flow::bash),
    ("shift", words::shift),
    ("shopt", options::shopt),
    ("source", flow::source),
    ("test", words::test),
    ("times", words::times),
    ("trap", flow::trap),
    ("type", words::type_of),
    ("typeset", declare::declare_words),
    ("ulimit", |_, _| Ok(0)),
    ("umask", words::umask),
    ("unalias", |_, _| Ok(0)),
    ("unset", declare::unset),
    ("wait", flow::wait),
    ("which", words::which),
];

/// Returns the built-in called `name`.
pub fn lookup(name: &str) -> Option<Builtin> {
    BUILTINS.binary_search_by_key(&name, |(known, _)| known).ok().map(|at| BUILTINS[at].1)
}

/// Tells whether what stands behind `name` is read as assignments.
pub fn is_declaration(name: &str) -> bool {
    matches!(name, "declare" | "export" | "local" | "readonly" | "typeset")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_hides_no_command_by_mistake() {
        assert!(BUILTINS.is_sorted_by_key(|(name, _)| name));
        let hidden: Vec<_> = commands::names().filter(|name| lookup(name).is_some()).collect();
        let wrapped = ["[", "printf", "pwd", "test", "which"];
        assert!(hidden.iter().all(|name| wrapped.contains(name)), "{hidden:?}");
    }
}
