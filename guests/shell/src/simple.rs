//! Simple commands: assignments, functions, built-ins, commands and script files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, Cursor, Read as _, Write};

use brush_parser::ast::{
    Assignment, AssignmentName, AssignmentValue, CommandPrefixOrSuffixItem, IoRedirect, SimpleCommand,
    SourceLocation as _, Word,
};
use commands::{Invocation, Runner};

use crate::builtins::{self, Argument};
use crate::quote;
use crate::redirect::reason;
use crate::shell::{Frame, Function, Shell};
use crate::stop::{Complaint, Run, Stop};
use crate::streams::{Descriptors, PIPE_BYTES, Sink, Source};
use crate::variables::{Attribute, Subscript, Value, Variable};

/// Folders whose programs are this shell's commands.
const PROGRAM_FOLDERS: [&str; 4] = ["/bin/", "/usr/bin/", "/usr/local/bin/", "/sbin/"];

/// Bytes of a script file.
const MAX_SCRIPT_BYTES: u64 = 4 << 20;

/// A simple command taken apart.
#[derive(Default)]
struct Parts<'a> {
    assignments: Vec<&'a Assignment>,
    redirects: Vec<&'a IoRedirect>,
    words: Vec<&'a Word>,
    /// What stands behind a declaration's name.
    arguments: Vec<Item<'a>>,
}

enum Item<'a> {
    Word(&'a Word),
    Assignment(&'a Assignment),
}

impl<'a> Parts<'a> {
    fn of(command: &'a SimpleCommand) -> Option<Self> {
        let mut parts = Self::default();
        for item in command.prefix.iter().flat_map(|prefix| &prefix.0) {
            match item {
                CommandPrefixOrSuffixItem::AssignmentWord(assignment, _) => parts.assignments.push(assignment),
                CommandPrefixOrSuffixItem::IoRedirect(redirect) => parts.redirects.push(redirect),
                CommandPrefixOrSuffixItem::Word(word) => parts.words.push(word),
                CommandPrefixOrSuffixItem::ProcessSubstitution(..) => return None,
            }
        }
        parts.words.extend(&command.word_or_name);
        for item in command.suffix.iter().flat_map(|suffix| &suffix.0) {
            match item {
                CommandPrefixOrSuffixItem::IoRedirect(redirect) => parts.redirects.push(redirect),
                CommandPrefixOrSuffixItem::Word(word) => {
                    parts.words.push(word);
                    parts.arguments.push(Item::Word(word));
                }
                CommandPrefixOrSuffixItem::AssignmentWord(assignment, word) => {
                    parts.words.push(word);
                    parts.arguments.push(Item::Assignment(assignment));
                }
                CommandPrefixOrSuffixItem::ProcessSubstitution(..) => return None,
            }
        }
        Some(parts)
    }
}

impl Shell {
    /// Runs a simple command and returns its exit code.
    pub fn simple(&mut self, command: &SimpleCommand) -> Run<i32> {
        if let Some(span) = command.location() {
            self.line = span.start.line;
        }
        let Some(parts) = Parts::of(command) else {
            self.complain("process substitution is not supported: write to a file below /tmp and read that");
            return Err(Stop::Abort);
        };
        self.substituted = None;
        let is_declaration = parts.words.first().is_some_and(|word| builtins::is_declaration(&word.value));
        if is_declaration {
            return self.declaration(&parts);
        }
        let words = self.words(parts.words.iter().copied())?;
        if words.is_empty() {
            return self.assignments_only(&parts);
        }
        self.trace(&words);
        let keeps = words[0] == "exec" && words.len() == 1;
        self.with_redirects(&parts.redirects, keeps, |shell| shell.with_assignments(&parts.assignments, &words))
    }

    fn declaration(&mut self, parts: &Parts<'_>) -> Run<i32> {
        let name = parts.words[0].value.as_str();
        let mut arguments = Vec::new();
        for item in &parts.arguments {
            match item {
                Item::Assignment(assignment) => arguments.push(Argument::Assignment(Cow::Borrowed(*assignment))),
                Item::Word(word) => {
                    arguments.extend(self.words([*word])?.into_iter().map(Argument::of_word));
                }
            }
        }
        self.with_redirects(&parts.redirects, false, |shell| shell.declare(name, &arguments))
    }

    fn assignments_only(&mut self, parts: &Parts<'_>) -> Run<i32> {
        self.with_redirects(&parts.redirects, false, |shell| {
            for assignment in &parts.assignments {
                shell.assign(assignment)?;
            }
            Ok(shell.substituted.unwrap_or(0))
        })
    }

    fn trace(&mut self, words: &[String]) {
        if self.is_set("xtrace") {
            let words: Vec<_> = words.iter().map(|word| quote::word(word)).collect();
            let prefix = self.text("PS4").unwrap_or_else(|| "+ ".to_owned());
            self.error(&format!("{prefix}{}\n", words.join(" ")));
        }
    }

    /// Runs `inner` with `redirects` in force; `exec` without a command keeps them.
    fn with_redirects(
        &mut self,
        redirects: &[&IoRedirect],
        keeps: bool,
        inner: impl FnOnce(&mut Self) -> Run<i32>,
    ) -> Run<i32> {
        if redirects.is_empty() {
            return inner(self);
        }
        let before = self.state.descriptors.clone();
        let run = match self.redirect(redirects.iter().copied()) {
            Ok(true) => inner(self),
            Ok(false) => Ok(1),
            Err(stop) => Err(stop),
        };
        self.state.descriptors.flush();
        if !(keeps && run == Ok(0)) {
            self.state.descriptors = before;
        }
        run
    }

    /// Runs `words` with assignments that hold for this command alone.
    fn with_assignments(&mut self, assignments: &[&Assignment], words: &[String]) -> Run<i32> {
        if assignments.is_empty() {
            return self.dispatch(words);
        }
        let mut before = Vec::new();
        for assignment in assignments {
            let name = assigned_name(assignment);
            before.push((name.to_owned(), self.state.variables.get_own(name).cloned()));
            self.assign(assignment)?;
            self.state.variables.attributes_mut(name).insert(Attribute::Exported);
        }
        let run = self.dispatch(words);
        for (name, variable) in before.into_iter().rev() {
            self.restore(&name, variable);
        }
        run
    }

    /// Makes a variable what it was.
    pub fn restore(&mut self, name: &str, variable: Option<Variable>) {
        match variable {
            Some(variable) => self.state.variables.put(name, variable),
            None => drop(self.state.variables.remove(name)),
        }
    }

    /// Runs a command by its name.
    pub fn dispatch(&mut self, words: &[String]) -> Run<i32> {
        if let Some(function) = self.state.functions.get(&words[0]).cloned() {
            return self.call(&function, words);
        }
        self.dispatch_command(words)
    }

    /// Runs a command by its name, functions left aside.
    pub fn dispatch_command(&mut self, words: &[String]) -> Run<i32> {
        let status = match builtins::lookup(&words[0]) {
            Some(builtin) => builtin(self, words)?,
            None => self.external(words)?,
        };
        let sink = self.state.descriptors.sink(1);
        if sink.is_broken() { Err(Stop::Exit(141)) } else { Ok(status) }
    }

    /// Runs a command of the crate `commands`, or a script file.
    pub fn external(&mut self, words: &[String]) -> Run<i32> {
        let Some(command) = commands::lookup(program(&words[0])) else {
            return if words[0].contains('/') { self.file(words) } else { Ok(self.not_found(&words[0])) };
        };
        let source = self.state.descriptors.source(0);
        let (mut stdin, mut stdout, mut stderr) =
            (source.take(), self.state.descriptors.sink(1), self.state.descriptors.sink(2));
        let (env, cwd) = (self.state.variables.environment(), self.state.cwd.clone());
        let status = command(&mut Invocation {
            args: words,
            env: &env,
            cwd: &cwd,
            stdin: &mut stdin,
            stdout: &mut stdout,
            stderr: &mut stderr,
            runner: self,
        });
        source.put_back(stdin);
        // A failed write shows when the file is next written or read.
        let _ = (stdout.flush(), stderr.flush());
        Ok(status)
    }

    fn not_found(&mut self, name: &str) -> i32 {
        self.complain(format!("{name}: command not found"));
        127
    }

    /// Runs a script file.
    fn file(&mut self, words: &[String]) -> Run<i32> {
        let text = match self.read_script(&words[0]) {
            Ok(text) => text,
            Err((reason, status)) => {
                self.complain(format!("{}: {reason}", words[0]));
                return Ok(status);
            }
        };
        if let Some(interpreter) = foreign(&text) {
            self.complain(format!("{}: {interpreter}: bad interpreter: only shell scripts run here", words[0]));
            return Ok(126);
        }
        self.fresh(&words[0], &words[1..], |shell| shell.script(&text))
    }

    /// Returns the text of a script file, or why not with the exit code that says so.
    pub fn read_script(&self, name: &str) -> Result<String, (Complaint, i32)> {
        let path = self.state.cwd.join(name);
        let found = fs::metadata(&path).map_err(|error| (Complaint(reason(&error)), 127))?;
        if found.is_dir() {
            return Err(("Is a directory".into(), 126));
        }
        if found.len() > MAX_SCRIPT_BYTES {
            return Err((Complaint(format!("longer than {MAX_SCRIPT_BYTES} bytes")), 126));
        }
        let bytes = fs::read(&path).map_err(|error| (Complaint(reason(&error)), 126))?;
        if bytes.iter().take(1024).any(|byte| *byte == 0) {
            return Err(("cannot execute binary file".into(), 126));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Runs `inner` as a new shell would: with what is exported, and nothing else of this one.
    pub fn fresh(&mut self, name: &str, positional: &[String], inner: impl FnOnce(&mut Self) -> i32) -> Run<i32> {
        self.deeper()?;
        let before = (self.name.clone(), self.line, self.last_job.take(), self.conditions, self.status);
        let status = self.subshell(|shell| {
            let exported = shell.state.variables.iter().filter(|(_, variable)| variable.has(Attribute::Exported));
            let exported = exported.map(|(name, variable)| (name.clone(), variable.clone())).collect();
            shell.state.variables = crate::variables::Variables::from_map(exported);
            shell.state.functions = std::rc::Rc::default();
            shell.state.frames.clear();
            shell.state.traps.clear();
            shell.state.options = crate::shell::default_options();
            shell.state.positional = positional.to_vec();
            shell.state.subshells = 0;
            shell.conditions = 0;
            shell.status = 0;
            name.clone_into(&mut shell.name);
            inner(shell)
        });
        (self.name, self.line, self.last_job, self.conditions, _) = before;
        self.depth -= 1;
        Ok(status)
    }

    /// Calls a function.
    fn call(&mut self, function: &Function, words: &[String]) -> Run<i32> {
        self.deeper()?;
        let positional = std::mem::replace(&mut self.state.positional, words[1..].to_vec());
        let source = std::mem::replace(&mut self.source, function.source.clone());
        let loops = std::mem::replace(&mut self.state.loops, 0);
        self.state.frames.push(Frame { function: words[0].clone(), hidden: BTreeMap::new() });
        let body = &function.definition.body;
        let run = self.redirected(body.1.as_ref(), |shell| shell.compound(&body.0));
        for (name, variable) in self.state.frames.pop().map(|frame| frame.hidden).unwrap_or_default() {
            self.restore(&name, variable);
        }
        self.state.positional = positional;
        self.source = source;
        self.state.loops = loops;
        self.depth -= 1;
        match run {
            Err(Stop::Return(status)) => Ok(status),
            run => run,
        }
    }

    /// Carries out an assignment; one that fails ends the line.
    pub fn assign(&mut self, assignment: &Assignment) -> Run<()> {
        let assigned = match &assignment.value {
            AssignmentValue::Scalar(word) => {
                let text = self.value(&word.value)?;
                self.assign_scalar(assignment, text)?
            }
            AssignmentValue::Array(elements) => self.assign_array(assignment, elements)?,
        };
        assigned.map_err(|Complaint(reason)| {
            self.complain(&reason);
            Stop::Abort
        })
    }

    fn assign_scalar(&mut self, assignment: &Assignment, text: String) -> Run<Result<(), Complaint>> {
        let name = assigned_name(assignment);
        let subscript = match &assignment.name {
            AssignmentName::VariableName(_) => None,
            AssignmentName::ArrayElementName(name, index) => {
                let index = self.single(index)?;
                match self.subscript(name, &index) {
                    Ok(subscript) => Some(subscript),
                    Err(error) => return Ok(Err(error)),
                }
            }
        };
        let text = if assignment.append { self.appended(name, subscript.as_ref(), &text) } else { text };
        Ok(match subscript {
            None => self.assign_text(name, text),
            Some(subscript) => self.assign_element(name, subscript, text),
        })
    }

    /// Returns what `+=` makes of a variable: a sum for integers, else one text behind the other.
    fn appended(&mut self, name: &str, subscript: Option<&Subscript>, text: &str) -> String {
        let variable = self.state.variables.get(name);
        let before = match subscript {
            None => variable.and_then(Variable::text),
            Some(subscript) => variable.and_then(|variable| variable.element(subscript)),
        };
        let before = before.unwrap_or_default();
        if variable.is_some_and(|variable| variable.has(Attribute::Integer)) {
            return format!("({before}) + ({text})");
        }
        format!("{before}{text}")
    }

    fn assign_array(
        &mut self,
        assignment: &Assignment,
        elements: &[(Option<Word>, Word)],
    ) -> Run<Result<(), Complaint>> {
        let name = assigned_name(assignment);
        let before = self.state.variables.get(name).cloned().unwrap_or_default();
        let is_associative = before.is_associative();
        let mut variable = if assignment.append { before.clone() } else { Variable { value: None, ..before.clone() } };
        if is_associative {
            variable.associative();
        } else {
            variable.indexed();
        }
        let mut next =
            variable.subscripts().last().and_then(|last| last.parse::<usize>().ok()).map_or(0, |last| last + 1);
        let mut key: Option<String> = None;
        for (subscript, word) in elements {
            if is_associative && subscript.is_none() {
                // `(k1 v1 k2 v2)`
                for text in self.words([word])? {
                    match key.take() {
                        None => key = Some(text),
                        Some(key) => variable.set_element(Subscript::Key(key), text),
                    }
                }
                continue;
            }
            let Some(subscript) = subscript else {
                for text in self.words([word])? {
                    variable.set_element(Subscript::Index(next), text);
                    next += 1;
                }
                continue;
            };
            let index = self.single(&subscript.value)?;
            let text = self.value(&word.value)?;
            let subscript = if is_associative { Ok(Subscript::Key(index)) } else { self.subscript(name, &index) };
            match subscript {
                Ok(subscript) => {
                    next = if let Subscript::Index(index) = &subscript { index + 1 } else { next };
                    variable.set_element(subscript, text);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        if let (true, Some(Value::Indexed(values))) = (variable.has(Attribute::Integer), &mut variable.value) {
            for text in values.values_mut() {
                *text = self.arithmetic(text)?.to_string();
            }
        }
        Ok(self.state.variables.get_mut(name).map(|place| *place = variable))
    }
}

impl Runner for Shell {
    fn run(
        &mut self,
        argv: &[String],
        env: &BTreeMap<String, String>,
        stdin: &mut dyn BufRead,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> i32 {
        let Some(name) = argv.first() else { return 0 };
        if let Some(command) = commands::lookup(program(name)) {
            let cwd = self.state.cwd.clone();
            return command(&mut Invocation { args: argv, env, cwd: &cwd, stdin, stdout, stderr, runner: self });
        }
        self.nested(argv, env, stdin, stdout, stderr)
    }
}

impl Shell {
    /// Runs what only the interpreter can run, `bash -c` say, for a command: its streams are copied, because they belong
    /// to the command.
    fn nested(
        &mut self,
        argv: &[String],
        env: &BTreeMap<String, String>,
        stdin: &mut dyn BufRead,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> i32 {
        let mut input = Vec::new();
        // What cannot be read is not there; the limit is that of a pipe.
        let _ = stdin.take(PIPE_BYTES as u64).read_to_end(&mut input);
        let (out, err) = (Sink::memory(PIPE_BYTES), Sink::memory(PIPE_BYTES));
        let before = self.state.descriptors.clone();
        self.state.descriptors = Descriptors::new(Source::new(Cursor::new(input)), out.clone(), err.clone());
        let status = self.subshell(|shell| {
            for (name, text) in env {
                let mut variable = Variable::scalar(text);
                variable.attributes.insert(Attribute::Exported);
                shell.state.variables.put(name, variable);
            }
            let run = shell.dispatch_command(argv);
            shell.settle(run)
        });
        self.state.descriptors = before;
        // Whoever reads them has enough, or the command says so with its next write.
        let _ = (stdout.write_all(&out.take_bytes()), stderr.write_all(&err.take_bytes()));
        status
    }
}

/// Returns the name of the program at a usual place.
fn program(name: &str) -> &str {
    let found = PROGRAM_FOLDERS.iter().find_map(|folder| name.strip_prefix(folder));
    found.filter(|name| !name.contains('/')).unwrap_or(name)
}

/// Returns the interpreter of a script for another one.
fn foreign(text: &str) -> Option<String> {
    let line = text.strip_prefix("#!")?.lines().next()?.trim();
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let name = if first.ends_with("/env") { words.next().unwrap_or_default() } else { first };
    let is_shell = matches!(name.rsplit('/').next(), Some("sh" | "bash" | "dash"));
    (!is_shell).then(|| name.to_owned())
}

pub fn assigned_name(assignment: &Assignment) -> &str {
    match &assignment.name {
        AssignmentName::VariableName(name) | AssignmentName::ArrayElementName(name, _) => name,
    }
}
