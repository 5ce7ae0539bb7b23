//! What a program is.

use std::collections::HashMap;

use crate::pattern::Pattern;

/// Variables that mean something, at their places among the globals.
pub(super) const SPECIAL: [&str; 16] = [
    "NF", "NR", "FNR", "FS", "OFS", "ORS", "RS", "FILENAME", "SUBSEP", "RSTART", "RLENGTH", "CONVFMT", "OFMT",
    "ENVIRON", "ARGC", "ARGV",
];
pub(super) const NF: usize = 0;
pub(super) const NR: usize = 1;
pub(super) const FNR: usize = 2;
pub(super) const FS: usize = 3;
pub(super) const OFS: usize = 4;
pub(super) const ORS: usize = 5;
pub(super) const RS: usize = 6;
pub(super) const FILENAME: usize = 7;
pub(super) const SUBSEP: usize = 8;
pub(super) const RSTART: usize = 9;
pub(super) const RLENGTH: usize = 10;
pub(super) const CONVFMT: usize = 11;
pub(super) const OFMT: usize = 12;
pub(super) const ENVIRON: usize = 13;
pub(super) const ARGC: usize = 14;
pub(super) const ARGV: usize = 15;

#[derive(Default)]
pub(super) struct Program {
    pub(super) begin: Vec<Vec<Statement>>,
    pub(super) end: Vec<Vec<Statement>>,
    pub(super) rules: Vec<Rule>,
    pub(super) functions: Vec<Function>,
    pub(super) globals: HashMap<String, usize>,
}

impl Program {
    /// Returns the place of a global variable.
    pub(super) fn global(&mut self, name: &str) -> usize {
        let next = self.globals.len();
        *self.globals.entry(name.to_owned()).or_insert(next)
    }
}

#[derive(Clone, Default)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) parameters: usize,
    pub(super) body: Option<Vec<Statement>>,
}

pub(super) struct Rule {
    pub(super) pattern: RulePattern,
    /// None prints the record.
    pub(super) body: Option<Vec<Statement>>,
}

pub(super) enum RulePattern {
    Always,
    When(Expression),
    Range(Expression, Expression),
}

#[derive(Clone)]
pub(super) enum Statement {
    Block(Vec<Statement>),
    Do(Expression),
    Print(Vec<Expression>, Option<Redirection>),
    Printf(Vec<Expression>, Option<Redirection>),
    If(Expression, Box<Statement>, Option<Box<Statement>>),
    While(Expression, Box<Statement>),
    DoWhile(Box<Statement>, Expression),
    For(Option<Box<Statement>>, Option<Expression>, Option<Box<Statement>>, Box<Statement>),
    ForIn(Name, Name, Box<Statement>),
    Next,
    NextFile,
    Exit(Option<Expression>),
    Return(Option<Expression>),
    Break,
    Continue,
    Delete(Name, Option<Vec<Expression>>),
}

#[derive(Clone)]
pub(super) struct Redirection {
    pub(super) kind: RedirectionKind,
    pub(super) to: Expression,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RedirectionKind {
    Write,
    Append,
    Pipe,
}

/// A variable: a global one, or one of the function's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Global(usize),
    Local(usize),
}

#[derive(Clone)]
pub(super) enum Expression {
    Number(f64),
    Text(Vec<u8>),
    Regex(Box<Pattern>),
    Variable(Name),
    Field(Box<Expression>),
    Element(Name, Vec<Expression>),
    Assign(Box<Expression>, Option<Arithmetic>, Box<Expression>),
    Choose(Box<Expression>, Box<Expression>, Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Negate(Box<Expression>),
    Plus(Box<Expression>),
    In(Vec<Expression>, Name),
    /// Text, pattern, and whether it must not match.
    Match(Box<Expression>, Box<Expression>, bool),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Concat(Box<Expression>, Box<Expression>),
    Binary(Arithmetic, Box<Expression>, Box<Expression>),
    /// What is changed, by how much, and whether the value before is meant.
    Step(Box<Expression>, f64, bool),
    Call(usize, Vec<Expression>),
    Builtin(Builtin, Vec<Expression>),
    Getline(Option<Box<Expression>>, Source),
    /// `(a, b)`, which only `print` and `in` know.
    List(Vec<Expression>),
    Group(Box<Expression>),
}

#[derive(Clone)]
pub(super) enum Source {
    Main,
    File(Box<Expression>),
    Command(Box<Expression>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Builtin {
    Atan2,
    Close,
    Cos,
    Exp,
    Fflush,
    Gensub,
    Gsub,
    Index,
    Int,
    Length,
    Log,
    Match,
    Rand,
    Sin,
    Split,
    Sprintf,
    Sqrt,
    Srand,
    Sub,
    Substr,
    System,
    Systime,
    Tolower,
    Toupper,
}

impl Builtin {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "atan2" => Self::Atan2,
            "close" => Self::Close,
            "cos" => Self::Cos,
            "exp" => Self::Exp,
            "fflush" => Self::Fflush,
            "gensub" => Self::Gensub,
            "gsub" => Self::Gsub,
            "index" => Self::Index,
            "int" => Self::Int,
            "length" => Self::Length,
            "log" => Self::Log,
            "match" => Self::Match,
            "rand" => Self::Rand,
            "sin" => Self::Sin,
            "split" => Self::Split,
            "sprintf" => Self::Sprintf,
            "sqrt" => Self::Sqrt,
            "srand" => Self::Srand,
            "sub" => Self::Sub,
            "substr" => Self::Substr,
            "system" => Self::System,
            "systime" => Self::Systime,
            "tolower" => Self::Tolower,
            "toupper" => Self::Toupper,
            _ => return None,
        })
    }
}
