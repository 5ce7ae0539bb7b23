//! What kind of source a text is, and where the value of its last expression is taken.

use std::convert::Infallible;
use std::ops::ControlFlow;

use boa_engine::Source;
use boa_engine::ast::expression::operator::binary::BinaryOp;
use boa_engine::ast::scope::Scope;
use boa_engine::ast::visitor::{VisitWith as _, Visitor};
use boa_engine::ast::{Expression, ModuleItem, Position, Spanned as _, Statement, StatementListItem};
use boa_engine::interner::Interner;
use boa_engine::parser::Parser;

/// Exports the expression that follows.
const EXPORT: &str = "export default ";

/// Text put before the last expression of a module, so that its value can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insertion {
    line: u32,
    column: u32,
}

impl Insertion {
    /// Returns the column of the written text that `column` of the parsed text means.
    pub fn written_column(self, line: u32, column: u32) -> u32 {
        let shift = u32::try_from(EXPORT.len()).expect("a few letters");
        if line == self.line && column >= self.column + shift { column - shift } else { column }
    }
}

/// Tells whether `text` uses a word that only modules know. Inside strings and comments it counts too: a module is also
/// tried as a script.
pub fn looks_like_module(text: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    text.split(|letter| !is_part(letter)).any(|word| matches!(word, "import" | "export" | "await"))
}

/// Returns the module `text` with its last expression exported as the default, where it exports no other.
pub fn export_last(text: &str) -> Option<(String, Insertion)> {
    let position = last_expression(text)?;
    let offset = offset_of(text, position)?;
    let (before, after) = text.split_at(offset);
    let insertion = Insertion { line: position.line_number(), column: position.column_number() };
    Some((format!("{before}{EXPORT}{after}"), insertion))
}

/// Returns where the module's last expression starts, when an export may stand there.
fn last_expression(text: &str) -> Option<Position> {
    let mut interner = Interner::default();
    let module = Parser::new(Source::from_bytes(text)).parse_module(&Scope::new_global(), &mut interner).ok()?;
    let items = module.items();
    let exported = items.exported_names();
    if exported.iter().any(|name| interner.resolve_expect(*name).utf8() == Some("default")) {
        return None;
    }
    let ModuleItem::StatementListItem(StatementListItem::Statement(statement)) = items.items().last()? else {
        return None;
    };
    match &**statement {
        // `export default a, b` is no export.
        Statement::Expression(Expression::Binary(binary)) if binary.op() == BinaryOp::Comma => None,
        Statement::Expression(expression) => Some(start(expression)),
        _ => None,
    }
}

/// Returns where `expression` starts: where the leftmost part of it does. The span of a call is only that of its
/// arguments.
fn start(expression: &Expression) -> Position {
    let mut leftmost = Leftmost(expression.span().start());
    let ControlFlow::Continue(()) = leftmost.visit_expression(expression);
    leftmost.0
}

/// The leftmost position seen.
struct Leftmost(Position);

impl<'ast> Visitor<'ast> for Leftmost {
    type BreakTy = Infallible;

    fn visit_expression(&mut self, expression: &'ast Expression) -> ControlFlow<Infallible> {
        self.0 = self.0.min(expression.span().start());
        expression.visit_with(self)
    }
}

/// Returns the byte at which `position` lies: lines and columns from 1, columns in characters.
fn offset_of(text: &str, position: Position) -> Option<usize> {
    let (mut line, mut column) = (1, 1);
    let mut letters = text.char_indices().peekable();
    while let Some((offset, letter)) = letters.next() {
        if (line, column) == (position.line_number(), position.column_number()) {
            return Some(offset);
        }
        match letter {
            '\r' if letters.peek().is_some_and(|(_, next)| *next == '\n') => {}
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_modules_are_found() {
        for text in ["await f()", "import fs from 'fs'", "let a;export{a}", "x=await(1)"] {
            assert!(looks_like_module(text), "{text}");
        }
        for text in ["1 + 1", "important()", "$await", "exports.a", "awaited"] {
            assert!(!looks_like_module(text), "{text}");
        }
    }

    #[test]
    fn the_last_expression_is_exported() {
        for (text, expected) in [
            ("await f()", "export default await f()"),
            ("let é = 'ü';\r\n  é + (1)\n// end", "let é = 'ü';\r\n  export default é + (1)\n// end"),
            ("let a = 1; ({a})", "let a = 1; export default ({a})"),
            ("await 1; `a\nb`;", "await 1; export default `a\nb`;"),
            ("x = 1;", "export default x = 1;"),
            ("(await f()).b", "export default (await f()).b"),
            ("a?.b", "export default a?.b"),
            ("/x/.test('x')", "export default /x/.test('x')"),
            ("!await a", "export default !await a"),
            ("a ? b : c", "export default a ? b : c"),
            ("[1].map(x => x)", "export default [1].map(x => x)"),
            ("async () => 1", "export default async () => 1"),
            ("let a = 1\na.b.c(d)(e)", "let a = 1\nexport default a.b.c(d)(e)"),
            ("f`x`; new F(1).g", "f`x`; export default new F(1).g"),
            ("f`x${1}`", "export default f`x${1}`"),
            ("i++", "export default i++"),
            ("a?.b?.(c)", "export default a?.b?.(c)"),
            ("await import('x')", "export default await import('x')"),
            ("import.meta.url", "export default import.meta.url"),
        ] {
            assert_eq!(export_last(text).map(|(text, _)| text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_last_expression_is_left_alone() {
        for text in [
            "let a = 1",
            "export default 1; 2",
            "1, 2",
            "if (1) { 2 }",
            "",
            "await (",
            "export { a as default }; let a; a",
        ] {
            assert_eq!(export_last(text), None, "{text}");
        }
    }

    #[test]
    fn columns_behind_the_insertion_are_those_that_were_written() {
        let (_, insertion) = export_last("let a;\n  a.b.c").unwrap();
        let written = [(1, 30), (2, 3), (2, 18), (2, 20)].map(|(line, column)| insertion.written_column(line, column));
        assert_eq!(written, [30, 3, 3, 5]);
    }
}
