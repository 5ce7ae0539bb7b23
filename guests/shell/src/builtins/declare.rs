//! `declare`, `local`, `export`, `readonly` and `unset`.
#![expect(clippy::unnecessary_wraps, reason = "every built-in has the same type")]

use std::borrow::Cow;
use std::rc::Rc;

use brush_parser::ast::{Assignment, AssignmentName, AssignmentValue, Word};

use super::Argument;
use crate::shell::Shell;
use crate::simple::assigned_name;
use crate::stop::{Complaint, Run, Stop};
use crate::transform::declaration;
use crate::variables::{Attribute, Value, is_name};

/// What the letters of a declaration ask for.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a letter of its own")]
struct Request {
    add: Vec<Attribute>,
    remove: Vec<Attribute>,
    indexed: bool,
    associative: bool,
    print: bool,
    functions: bool,
    names_only: bool,
    global: bool,
}

impl Request {
    /// Reads a cluster of letters; returns the one that is unknown.
    fn letters(&mut self, letters: &str, adds: bool) -> Result<(), char> {
        for letter in letters.chars() {
            let attribute = match letter {
                'i' => Attribute::Integer,
                'l' => Attribute::Lower,
                'n' => Attribute::Reference,
                'r' => Attribute::Readonly,
                'u' => Attribute::Upper,
                'x' => Attribute::Exported,
                'a' => {
                    self.indexed = adds;
                    continue;
                }
                'A' => {
                    self.associative = adds;
                    continue;
                }
                'p' => {
                    self.print = true;
                    continue;
                }
                'f' => {
                    self.functions = true;
                    continue;
                }
                'F' => {
                    (self.functions, self.names_only) = (true, true);
                    continue;
                }
                'g' => {
                    self.global = true;
                    continue;
                }
                't' | 'I' => continue,
                _ => return Err(letter),
            };
            if adds { self.add.push(attribute) } else { self.remove.push(attribute) }
        }
        Ok(())
    }
}

/// Runs a declaration whose name was an expansion, or stood behind `command`.
pub fn declare_words(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let arguments: Vec<_> = words[1..].iter().cloned().map(Argument::of_word).collect();
    shell.declare(&words[0], &arguments)
}

impl Argument<'_> {
    /// Returns what an expanded word says.
    pub fn of_word(word: String) -> Self {
        match assignment(&word) {
            Some(assignment) => Self::Assignment(Cow::Owned(assignment)),
            None => Self::Word(word),
        }
    }
}

/// Returns the assignment that `word`, which is expanded already, spells.
fn assignment(word: &str) -> Option<Assignment> {
    let (name, text) = word.split_once('=')?;
    let (name, append) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
    if !is_name(name) {
        return None;
    }
    let value = AssignmentValue::Scalar(Word::from(crate::quote::single(text)));
    Some(Assignment {
        name: AssignmentName::VariableName(name.to_owned()),
        value,
        append,
        loc: brush_parser::SourceSpan::default(),
    })
}

impl Shell {
    /// Runs a declaration.
    pub fn declare(&mut self, name: &str, arguments: &[Argument<'_>]) -> Run<i32> {
        let mut request = Request::default();
        match name {
            "export" => request.add.push(Attribute::Exported),
            "readonly" => request.add.push(Attribute::Readonly),
            "local" if self.state.frames.is_empty() => {
                self.complain("local: can only be used in a function");
                return Ok(1);
            }
            _ => {}
        }
        let mut rest = arguments;
        while let [Argument::Word(word), after @ ..] = rest {
            let (letters, adds) = match (word.strip_prefix('-'), word.strip_prefix('+')) {
                (Some("-"), _) => {
                    rest = after;
                    break;
                }
                (Some(letters), _) if !letters.is_empty() => (letters, true),
                (_, Some(letters)) if !letters.is_empty() => (letters, false),
                _ => break,
            };
            // `export -n` takes the export away.
            let letters = if name == "export" && letters == "n" { ("x", false) } else { (letters, adds) };
            if letters == ("x", false) {
                request.add.clear();
            }
            if let Err(letter) = request.letters(letters.0, letters.1) {
                self.complain(format!("{name}: -{letter}: invalid option"));
                return Ok(2);
            }
            rest = after;
        }
        if request.functions {
            return Ok(self.declare_functions(&request, rest));
        }
        if request.print || rest.is_empty() {
            return Ok(self.print_declarations(name, &request, rest));
        }
        let mut status = 0;
        for argument in rest {
            if !self.declare_one(name, &request, argument)? {
                status = 1;
            }
        }
        Ok(status)
    }

    fn declare_one(&mut self, declarator: &str, request: &Request, argument: &Argument<'_>) -> Run<bool> {
        let name = match argument {
            Argument::Word(word) => word.split('[').next().unwrap_or_default(),
            Argument::Assignment(assignment) => assigned_name(assignment),
        };
        if !is_name(name) {
            self.complain(format!("{declarator}: `{name}': not a valid identifier"));
            return Ok(false);
        }
        let is_assigned = matches!(argument, Argument::Assignment(_));
        let own = self.state.variables.get_own(name);
        let is_local = matches!(declarator, "local" | "declare" | "typeset") && !request.global;
        let is_fixed = own.is_some_and(|own| own.has(Attribute::Readonly));
        if is_fixed && (is_assigned || request.remove.contains(&Attribute::Readonly)) {
            self.complain(format!("{declarator}: {name}: readonly variable"));
            return Ok(false);
        }
        let name = name.to_owned();
        if is_local {
            self.hide(&name);
        }
        self.shape(&name, request);
        if let Argument::Assignment(assignment) = argument {
            match self.assign(assignment) {
                Err(Stop::Abort) => return Ok(false),
                run => run?,
            }
        }
        let attributes = self.state.variables.attributes_mut(&name);
        attributes.extend(
            request.add.iter().copied().filter(|add| matches!(add, Attribute::Readonly | Attribute::Reference)),
        );
        Ok(true)
    }

    /// Makes a variable the running function's own, until it returns.
    fn hide(&mut self, name: &str) {
        let Some(frame) = self.state.frames.last_mut() else { return };
        if frame.hidden.contains_key(name) {
            return;
        }
        let before = self.state.variables.remove(name);
        frame.hidden.insert(name.to_owned(), before);
    }

    /// Gives a variable its kind and attributes; what keeps it from being set comes after the value.
    fn shape(&mut self, name: &str, request: &Request) {
        let attributes = self.state.variables.attributes_mut(name);
        for attribute in &request.remove {
            attributes.remove(attribute);
        }
        for attribute in &request.add {
            match attribute {
                Attribute::Upper => drop(attributes.remove(&Attribute::Lower)),
                Attribute::Lower => drop(attributes.remove(&Attribute::Upper)),
                Attribute::Readonly | Attribute::Reference => continue,
                Attribute::Integer | Attribute::Exported => {}
            }
            attributes.insert(*attribute);
        }
        if let Ok(variable) = self.state.variables.get_mut(name) {
            if request.associative {
                variable.associative();
            } else if request.indexed && !variable.is_array() {
                variable.indexed();
            }
        }
    }

    fn print_declarations(&mut self, name: &str, request: &Request, arguments: &[Argument<'_>]) -> i32 {
        let wanted = |attributes: &std::collections::BTreeSet<Attribute>| {
            request.add.iter().all(|attribute| attributes.contains(attribute))
        };
        if arguments.is_empty() {
            let fits = |value: &Option<Value>| {
                (!request.indexed || matches!(value, Some(Value::Indexed(_))))
                    && (!request.associative || matches!(value, Some(Value::Associative(_))))
            };
            let variables = self.state.variables.iter();
            let shown = variables.filter(|(_, variable)| wanted(&variable.attributes) && fits(&variable.value));
            let lines: String = shown.map(|(name, variable)| declaration(name, variable) + "\n").collect();
            return self.print(&lines);
        }
        let mut status = 0;
        for argument in arguments {
            let Argument::Word(wanted) = argument else { continue };
            if let Some(line) = self.state.variables.get_own(wanted).map(|variable| declaration(wanted, variable)) {
                {
                    self.print(&(line + "\n"));
                }
            } else {
                self.complain(format!("{name}: {wanted}: not found"));
                status = 1;
            }
        }
        status
    }

    /// `declare -f` and `-F`.
    fn declare_functions(&mut self, request: &Request, arguments: &[Argument<'_>]) -> i32 {
        let functions = self.state.functions.clone();
        let mut names: Vec<&str> = functions.keys().map(String::as_str).collect();
        if !arguments.is_empty() {
            names = arguments
                .iter()
                .filter_map(|word| if let Argument::Word(word) = word { Some(word.as_str()) } else { None })
                .collect();
        }
        let mut status = 0;
        for name in names {
            let Some(function) = functions.get(name) else {
                status = 1;
                continue;
            };
            let line = match (request.names_only, arguments.is_empty()) {
                (true, true) => format!("declare -f {name}\n"),
                (true, false) => format!("{name}\n"),
                (false, _) => format!("{}\n", function.text),
            };
            self.print(&line);
        }
        status
    }
}

/// `unset`
pub fn unset(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let (mut functions, mut own, mut variables, mut status) = (false, false, false, 0);
    for word in &words[1..] {
        match word.as_str() {
            "-f" => functions = true,
            "-v" => variables = true,
            "-n" => own = true,
            _ if functions => drop(Rc::make_mut(&mut shell.state.functions).remove(word)),
            _ => {
                if let Err(reason) = unset_one(shell, word, own, !variables) {
                    shell.complain(format!("unset: {reason}"));
                    status = 1;
                }
            }
        }
    }
    Ok(status)
}

fn unset_one(shell: &mut Shell, word: &str, own: bool, or_function: bool) -> Result<(), Complaint> {
    if let Some((name, subscript)) = word.strip_suffix(']').and_then(|word| word.split_once('[')) {
        if matches!(subscript, "@" | "*") {
            drop(shell.state.variables.remove(name));
            return Ok(());
        }
        let subscript = shell.subscript(name, subscript)?;
        let variable = shell.state.variables.get_mut(name).map_err(|reason| reason.0)?;
        variable.remove_element(&subscript);
        return Ok(());
    }
    if !is_name(word) {
        return Err(Complaint(format!("`{word}': not a valid identifier")));
    }
    let name = if own { word.to_owned() } else { shell.state.variables.resolve(word).to_owned() };
    match shell.state.variables.get_own(&name) {
        Some(variable) if variable.has(Attribute::Readonly) => {
            Err(Complaint(format!("{name}: cannot unset: readonly variable")))
        }
        Some(_) => {
            shell.state.variables.remove(&name);
            Ok(())
        }
        None => {
            if or_function {
                Rc::make_mut(&mut shell.state.functions).remove(word);
            }
            Ok(())
        }
    }
}
