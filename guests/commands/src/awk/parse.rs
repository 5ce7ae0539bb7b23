//! Tokens to a program.

use std::collections::HashMap;

use crate::pattern::{Dialect, Pattern, Syntax};
use crate::report::Stop;

use super::lex::{self, Token, wrong};
use super::syntax::{
    Arithmetic, Builtin, Comparison, Expression, Function, Name, Program, Redirection, RedirectionKind, Rule,
    RulePattern, SPECIAL, Source, Statement,
};

/// Deeper expressions than these are an attack on the stack.
const MAX_DEPTH: usize = 100;

pub(super) fn parse(text: &str) -> Result<Program, Stop> {
    let mut program = Program::default();
    for name in SPECIAL {
        program.global(name);
    }
    let mut parser = Parser {
        tokens: lex::tokens(text)?,
        at: 0,
        program,
        functions: HashMap::new(),
        locals: HashMap::new(),
        depth: 0,
        plain_greater: true,
        plain_in: true,
    };
    parser.all()?;
    if let Some(missing) = parser.program.functions.iter().find(|function| function.body.is_none()) {
        return Err(Stop::code(super::FAILED, format!("function {} never defined", missing.name)));
    }
    Ok(parser.program)
}

/// Compiles a pattern as awk spells it.
pub(super) fn pattern(source: &str) -> Result<Pattern, Stop> {
    let dialect = Dialect { controls: true, bracket_escapes: true, ..Dialect::of(Syntax::Extended) };
    Pattern::new(source, dialect)
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    program: Program,
    functions: HashMap<String, usize>,
    locals: HashMap<String, usize>,
    depth: usize,
    /// Whether `>` compares; in `print` it redirects.
    plain_greater: bool,
    /// Whether `in` looks into an array; in the head of a `for` it does not.
    plain_in: bool,
}

type Parsed = Result<Expression, Stop>;

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].0
    }

    fn ahead(&self, count: usize) -> &Token {
        &self.tokens[(self.at + count).min(self.tokens.len() - 1)].0
    }

    fn wrong(&self) -> Stop {
        let (token, line) = &self.tokens[self.at.min(self.tokens.len() - 1)];
        let shown = match token {
            Token::Number(number) => number.to_string(),
            Token::Text(_) => "a string".to_owned(),
            Token::Regex(source) => format!("/{source}/"),
            Token::Name(name) | Token::Called(name) => name.clone(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Newline => "end of line".to_owned(),
            Token::End => "end of file".to_owned(),
        };
        wrong(*line, &format!("syntax error at or near {shown}"))
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(name) | Token::Called(name) if name == word)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Stop> {
        if self.take(sign) { Ok(()) } else { Err(self.wrong()) }
    }

    fn newlines(&mut self) {
        while *self.peek() == Token::Newline {
            self.at += 1;
        }
    }

    fn separators(&mut self) {
        while *self.peek() == Token::Newline || self.is(";") {
            self.at += 1;
        }
    }

    fn all(&mut self) -> Result<(), Stop> {
        self.separators();
        while *self.peek() != Token::End {
            self.item()?;
            self.separators();
        }
        Ok(())
    }

    fn item(&mut self) -> Result<(), Stop> {
        if self.is_word("function") || self.is_word("func") {
            return self.function();
        }
        for word in ["BEGIN", "END"] {
            if self.take_word(word) {
                self.newlines();
                let body = self.block()?;
                if word == "BEGIN" {
                    self.program.begin.push(body);
                } else {
                    self.program.end.push(body);
                }
                return Ok(());
            }
        }
        let pattern = if self.is("{") {
            RulePattern::Always
        } else {
            let first = self.expression()?;
            if self.take(",") {
                self.newlines();
                RulePattern::Range(first, self.expression()?)
            } else {
                RulePattern::When(first)
            }
        };
        let body = if self.is("{") { Some(self.block()?) } else { None };
        self.program.rules.push(Rule { pattern, body });
        Ok(())
    }

    fn function_index(&mut self, name: &str) -> usize {
        if let Some(index) = self.functions.get(name) {
            return *index;
        }
        let index = self.program.functions.len();
        self.program.functions.push(Function { name: name.to_owned(), ..Function::default() });
        self.functions.insert(name.to_owned(), index);
        index
    }

    fn function(&mut self) -> Result<(), Stop> {
        self.at += 1;
        let (Token::Name(name) | Token::Called(name)) = self.next() else { return Err(self.wrong()) };
        let index = self.function_index(&name);
        self.expect("(")?;
        self.locals.clear();
        while !self.take(")") {
            let Token::Name(parameter) = self.next() else { return Err(self.wrong()) };
            let place = self.locals.len();
            self.locals.insert(parameter, place);
            if self.take(",") {
                self.newlines();
            }
        }
        self.newlines();
        self.program.functions[index].parameters = self.locals.len();
        let body = self.block()?;
        self.program.functions[index].body = Some(body);
        self.locals.clear();
        Ok(())
    }

    fn block(&mut self) -> Result<Vec<Statement>, Stop> {
        self.expect("{")?;
        let mut statements = Vec::new();
        loop {
            self.separators();
            if self.take("}") {
                return Ok(statements);
            }
            statements.push(self.statement()?);
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::code(super::FAILED, "the program is nested too deeply"));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn statement(&mut self) -> Result<Statement, Stop> {
        self.deeper(Self::statement_here)
    }

    fn statement_here(&mut self) -> Result<Statement, Stop> {
        if self.is("{") {
            return self.block().map(Statement::Block);
        }
        if self.take(";") {
            return Ok(Statement::Block(Vec::new()));
        }
        let word = match self.peek() {
            Token::Name(name) | Token::Called(name) => name.clone(),
            _ => String::new(),
        };
        match word.as_str() {
            "if" => return self.condition(),
            "while" => return self.while_loop(),
            "do" => return self.do_loop(),
            "for" => return self.for_loop(),
            _ => {}
        }
        let statement = self.simple()?;
        self.statement_end()?;
        Ok(statement)
    }

    fn statement_end(&mut self) -> Result<(), Stop> {
        match self.peek() {
            Token::Newline | Token::Sign(";") => {
                self.at += 1;
                Ok(())
            }
            Token::Sign("}") | Token::End => Ok(()),
            _ => Err(self.wrong()),
        }
    }

    fn bracketed(&mut self) -> Parsed {
        self.expect("(")?;
        let found = self.unrestricted(Self::expression)?;
        self.expect(")")?;
        self.newlines();
        Ok(found)
    }

    fn body(&mut self) -> Result<Box<Statement>, Stop> {
        self.newlines();
        self.statement().map(Box::new)
    }

    fn condition(&mut self) -> Result<Statement, Stop> {
        self.at += 1;
        let condition = self.bracketed()?;
        let then = self.body()?;
        let before = self.at;
        self.separators();
        if self.take_word("else") {
            return Ok(Statement::If(condition, then, Some(self.body()?)));
        }
        self.at = before;
        Ok(Statement::If(condition, then, None))
    }

    fn while_loop(&mut self) -> Result<Statement, Stop> {
        self.at += 1;
        let condition = self.bracketed()?;
        Ok(Statement::While(condition, self.body()?))
    }

    fn do_loop(&mut self) -> Result<Statement, Stop> {
        self.at += 1;
        let body = self.body()?;
        self.separators();
        if !self.take_word("while") {
            return Err(self.wrong());
        }
        let condition = self.bracketed()?;
        Ok(Statement::DoWhile(body, condition))
    }

    fn for_loop(&mut self) -> Result<Statement, Stop> {
        self.at += 1;
        self.expect("(")?;
        if let (Token::Name(variable), Token::Name(word), Token::Name(array), Token::Sign(")")) =
            (self.peek().clone(), self.ahead(1).clone(), self.ahead(2).clone(), self.ahead(3).clone())
            && word == "in"
        {
            self.at += 4;
            let (variable, array) = (self.variable(&variable), self.variable(&array));
            return Ok(Statement::ForIn(variable, array, self.body()?));
        }
        let first = if self.is(";") { None } else { Some(Box::new(self.simple()?)) };
        self.expect(";")?;
        self.newlines();
        let condition = if self.is(";") { None } else { Some(self.expression()?) };
        self.expect(";")?;
        self.newlines();
        let step = if self.is(")") { None } else { Some(Box::new(self.simple()?)) };
        self.expect(")")?;
        Ok(Statement::For(first, condition, step, self.body()?))
    }

    fn simple(&mut self) -> Result<Statement, Stop> {
        let word = match self.peek() {
            Token::Name(name) | Token::Called(name) => name.clone(),
            _ => String::new(),
        };
        let statement = match word.as_str() {
            "print" | "printf" => return self.print(&word),
            "next" => Statement::Next,
            "nextfile" => Statement::NextFile,
            "break" => Statement::Break,
            "continue" => Statement::Continue,
            "exit" | "return" => {
                self.at += 1;
                let value = if self.at_end() { None } else { Some(self.expression()?) };
                return Ok(if word == "exit" { Statement::Exit(value) } else { Statement::Return(value) });
            }
            "delete" => return self.delete(),
            _ => return self.expression().map(Statement::Do),
        };
        self.at += 1;
        Ok(statement)
    }

    fn at_end(&self) -> bool {
        matches!(self.peek(), Token::Newline | Token::End | Token::Sign(";" | "}"))
    }

    fn delete(&mut self) -> Result<Statement, Stop> {
        self.at += 1;
        let (Token::Name(name) | Token::Called(name)) = self.next() else { return Err(self.wrong()) };
        let array = self.variable(&name);
        let subscripts = if self.take("[") { Some(self.subscripts()?) } else { None };
        Ok(Statement::Delete(array, subscripts))
    }

    fn subscripts(&mut self) -> Result<Vec<Expression>, Stop> {
        let list = self.unrestricted(|parser| parser.list("]"))?;
        self.expect("]")?;
        Ok(list)
    }

    fn print(&mut self, word: &str) -> Result<Statement, Stop> {
        self.at += 1;
        let greater = std::mem::replace(&mut self.plain_greater, false);
        let ends = |parser: &Self| parser.at_end() || parser.is(">") || parser.is(">>") || parser.is("|");
        let mut list = Vec::new();
        while !ends(self) {
            list.push(self.expression()?);
            if !self.take(",") {
                break;
            }
            self.newlines();
        }
        // Brackets around all of it are no value.
        if let [Expression::List(inner)] = list.as_mut_slice() {
            list = std::mem::take(inner);
        }
        let kind = match self.peek() {
            Token::Sign(">") => Some(RedirectionKind::Write),
            Token::Sign(">>") => Some(RedirectionKind::Append),
            Token::Sign("|") => Some(RedirectionKind::Pipe),
            _ => None,
        };
        let redirection = match kind {
            None => None,
            Some(kind) => {
                self.at += 1;
                Some(Redirection { kind, to: self.concatenation()? })
            }
        };
        self.plain_greater = greater;
        if word == "print" {
            return Ok(Statement::Print(list, redirection));
        }
        if list.is_empty() { Err(self.wrong()) } else { Ok(Statement::Printf(list, redirection)) }
    }

    fn variable(&mut self, name: &str) -> Name {
        match self.locals.get(name) {
            Some(place) => Name::Local(*place),
            None => Name::Global(self.program.global(name)),
        }
    }

    /// Inside brackets of any kind `>` and `in` are what they usually are.
    fn unrestricted<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        let before = (self.plain_greater, self.plain_in);
        (self.plain_greater, self.plain_in) = (true, true);
        let parsed = parse(self);
        (self.plain_greater, self.plain_in) = before;
        parsed
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expression>, Stop> {
        let mut list = Vec::new();
        self.newlines();
        while !self.is(end) {
            list.push(self.expression()?);
            self.newlines();
            if !self.take(",") {
                break;
            }
            self.newlines();
        }
        Ok(list)
    }

    fn expression(&mut self) -> Parsed {
        self.deeper(Self::assignment)
    }

    fn assignment(&mut self) -> Parsed {
        let left = self.choice()?;
        let Token::Sign(sign) = *self.peek() else { return Ok(left) };
        let operator = match sign {
            "=" => None,
            "+=" => Some(Arithmetic::Add),
            "-=" => Some(Arithmetic::Subtract),
            "*=" => Some(Arithmetic::Multiply),
            "/=" => Some(Arithmetic::Divide),
            "%=" => Some(Arithmetic::Remainder),
            "^=" => Some(Arithmetic::Power),
            _ => return Ok(left),
        };
        if !is_place(&left) {
            return Err(self.wrong());
        }
        self.at += 1;
        self.newlines();
        let right = self.expression()?;
        Ok(Expression::Assign(Box::new(left), operator, Box::new(right)))
    }

    fn choice(&mut self) -> Parsed {
        let condition = self.either()?;
        if !self.take("?") {
            return Ok(condition);
        }
        self.newlines();
        let yes = self.expression()?;
        self.newlines();
        self.expect(":")?;
        self.newlines();
        let no = self.expression()?;
        Ok(Expression::Choose(Box::new(condition), Box::new(yes), Box::new(no)))
    }

    fn either(&mut self) -> Parsed {
        let mut left = self.both()?;
        while self.take("||") {
            self.newlines();
            left = Expression::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Parsed {
        let mut left = self.member()?;
        while self.take("&&") {
            self.newlines();
            left = Expression::And(Box::new(left), Box::new(self.member()?));
        }
        Ok(left)
    }

    fn member(&mut self) -> Parsed {
        let mut left = self.matching()?;
        while self.plain_in && self.is_word("in") {
            self.at += 1;
            let (Token::Name(array) | Token::Called(array)) = self.next() else { return Err(self.wrong()) };
            let array = self.variable(&array);
            let subscripts = match left {
                Expression::List(list) => list,
                one => vec![one],
            };
            left = Expression::In(subscripts, array);
        }
        Ok(left)
    }

    fn matching(&mut self) -> Parsed {
        let mut left = self.comparison()?;
        while self.is("~") || self.is("!~") {
            let negated = self.is("!~");
            self.at += 1;
            let right = self.comparison()?;
            left = Expression::Match(Box::new(left), Box::new(right), negated);
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.concatenation()?;
        loop {
            if self.is("|") && matches!(self.ahead(1), Token::Name(name) if name == "getline") {
                self.at += 2;
                let target = self.getline_target()?;
                left = Expression::Getline(target, Source::Command(Box::new(left)));
                continue;
            }
            let comparison = match self.peek() {
                Token::Sign("<") => Comparison::Less,
                Token::Sign("<=") => Comparison::LessOrEqual,
                Token::Sign("==") => Comparison::Equal,
                Token::Sign("!=") => Comparison::NotEqual,
                Token::Sign(">") if self.plain_greater => Comparison::Greater,
                Token::Sign(">=") => Comparison::GreaterOrEqual,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.concatenation()?;
            left = Expression::Compare(comparison, Box::new(left), Box::new(right));
        }
    }

    fn concatenation(&mut self) -> Parsed {
        let mut left = self.sum()?;
        while self.begins_operand() {
            let right = self.sum()?;
            left = Expression::Concat(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn begins_operand(&self) -> bool {
        match self.peek() {
            Token::Number(_) | Token::Text(_) | Token::Regex(_) | Token::Called(_) => true,
            Token::Name(name) => name != "in" && name != "getline",
            Token::Sign(sign) => ["$", "!", "(", "-", "+", "++", "--"].contains(sign),
            _ => false,
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Token::Sign("+") => Arithmetic::Add,
                Token::Sign("-") => Arithmetic::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.product()?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let operator = match self.peek() {
                Token::Sign("*") => Arithmetic::Multiply,
                Token::Sign("/") => Arithmetic::Divide,
                Token::Sign("%") => Arithmetic::Remainder,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.unary()?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Parsed {
        if self.take("!") {
            return self.deeper(Self::unary).map(|operand| Expression::Not(Box::new(operand)));
        }
        if self.take("-") {
            return self.deeper(Self::unary).map(|operand| Expression::Negate(Box::new(operand)));
        }
        if self.take("+") {
            return self.deeper(Self::unary).map(|operand| Expression::Plus(Box::new(operand)));
        }
        self.power()
    }

    fn power(&mut self) -> Parsed {
        let base = self.postfix()?;
        if !self.take("^") {
            return Ok(base);
        }
        // The sign of an exponent binds to it alone.
        let exponent = self.deeper(Self::unary)?;
        Ok(Expression::Binary(Arithmetic::Power, Box::new(base), Box::new(exponent)))
    }

    fn postfix(&mut self) -> Parsed {
        let operand = self.primary()?;
        if is_place(&operand) {
            for (sign, step) in [("++", 1.0), ("--", -1.0)] {
                if self.take(sign) {
                    return Ok(Expression::Step(Box::new(operand), step, true));
                }
            }
        }
        Ok(operand)
    }

    fn primary(&mut self) -> Parsed {
        match self.next() {
            Token::Number(number) => Ok(Expression::Number(number)),
            Token::Text(text) => Ok(Expression::Text(text)),
            Token::Regex(source) => pattern(&source).map(|pattern| Expression::Regex(Box::new(pattern))),
            Token::Sign("$") => {
                let index =
                    if self.is("++") || self.is("--") || self.is("-") { self.unary()? } else { self.primary()? };
                Ok(Expression::Field(Box::new(index)))
            }
            Token::Sign(sign @ ("++" | "--")) => {
                let place = self.primary()?;
                if !is_place(&place) {
                    return Err(self.wrong());
                }
                Ok(Expression::Step(Box::new(place), if sign == "++" { 1.0 } else { -1.0 }, false))
            }
            Token::Sign("-") => self.deeper(Self::unary).map(|operand| Expression::Negate(Box::new(operand))),
            Token::Sign("(") => {
                let mut list = self.unrestricted(|parser| parser.deeper(|parser| parser.list(")")))?;
                self.expect(")")?;
                match list.len() {
                    0 => Err(self.wrong()),
                    1 => Ok(Expression::Group(Box::new(list.remove(0)))),
                    _ => Ok(Expression::List(list)),
                }
            }
            Token::Name(name) => self.named(&name),
            Token::Called(name) => self.call(&name),
            _ => {
                self.at -= 1;
                Err(self.wrong())
            }
        }
    }

    fn named(&mut self, name: &str) -> Parsed {
        if name == "getline" {
            let target = self.getline_target()?;
            if self.take("<") {
                let file = self.primary()?;
                return Ok(Expression::Getline(target, Source::File(Box::new(file))));
            }
            return Ok(Expression::Getline(target, Source::Main));
        }
        if let Some(builtin) = Builtin::named(name) {
            // `length` alone is that of the record.
            return if builtin == Builtin::Length {
                Ok(Expression::Builtin(builtin, Vec::new()))
            } else {
                Err(self.wrong())
            };
        }
        let variable = self.variable(name);
        if self.take("[") {
            return Ok(Expression::Element(variable, self.subscripts()?));
        }
        Ok(Expression::Variable(variable))
    }

    fn getline_target(&mut self) -> Result<Option<Box<Expression>>, Stop> {
        let begins = matches!(self.peek(), Token::Name(name) if name != "in") || self.is("$");
        if !begins {
            return Ok(None);
        }
        let place = self.primary()?;
        if is_place(&place) { Ok(Some(Box::new(place))) } else { Err(self.wrong()) }
    }

    fn call(&mut self, name: &str) -> Parsed {
        self.expect("(")?;
        let arguments = self.unrestricted(|parser| parser.list(")"))?;
        self.expect(")")?;
        if name == "getline" {
            return Err(self.wrong());
        }
        if let Some(builtin) = Builtin::named(name) {
            return Ok(Expression::Builtin(builtin, arguments));
        }
        let index = self.function_index(name);
        Ok(Expression::Call(index, arguments))
    }
}

/// Returns whether something can be assigned to.
fn is_place(expression: &Expression) -> bool {
    matches!(expression, Expression::Variable(_) | Expression::Field(_) | Expression::Element(..))
}
