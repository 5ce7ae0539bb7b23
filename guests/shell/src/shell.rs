//! The shell's state, and what every part of the interpreter asks of it: variables, messages, subshells.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use brush_parser::ast::FunctionDefinition;

use crate::parse::{Parsed, Source};
use crate::stop::Complaint;
use crate::streams::{Descriptors, Sink};
use crate::variables::{Attribute, MAX_INDEX, Subscript, Value, Variable, Variables};

/// A function: its definition, and its text so that it can be kept for the next call.
pub struct Function {
    pub definition: FunctionDefinition,
    /// The script that it stands in.
    pub source: Rc<Source>,
    pub text: String,
}

/// The switches of `set` and `shopt`, by their long names.
pub type Options = BTreeSet<&'static str>;

/// What a subshell copies and its parent gets back as it was.
#[derive(Clone)]
pub struct State {
    pub variables: Variables,
    pub functions: Rc<BTreeMap<String, Rc<Function>>>,
    pub cwd: PathBuf,
    pub options: Options,
    /// `$1` on.
    pub positional: Vec<String>,
    pub descriptors: Descriptors,
    /// Scripts by signal; only `EXIT` is ever raised.
    pub traps: BTreeMap<String, String>,
    /// What `local` hid, for each function that runs.
    pub frames: Vec<Frame>,
    /// Loops around the command that runs, in this function.
    pub loops: u32,
    /// Where the shell stands inside of others.
    pub subshells: u32,
}

/// One function that runs.
#[derive(Clone)]
pub struct Frame {
    pub function: String,
    /// What the variables were that the function made its own.
    pub hidden: BTreeMap<String, Option<Variable>>,
}

/// The interpreter.
pub struct Shell {
    pub state: State,
    pub parsed: Parsed,
    /// The script that runs.
    pub source: Rc<Source>,
    /// `$?`
    pub status: i32,
    /// `$LINENO`
    pub line: usize,
    /// `$0`
    pub name: String,
    /// Conditions around the command that runs, in which `set -e` waits.
    pub conditions: u32,
    /// Calls of functions, files and substitutions inside each other.
    pub depth: u32,
    /// Files that `source` is in.
    pub sourced: u32,
    /// Exit codes of what `&` started, by the number that `$!` gave.
    pub jobs: BTreeMap<u32, i32>,
    pub last_job: Option<u32>,
    /// The exit code of the last command substitution of a command.
    pub substituted: Option<i32>,
    /// State of `$RANDOM`.
    pub random: u64,
    pub started: Instant,
    /// Where `getopts` is inside a word.
    pub option_at: usize,
}

impl Shell {
    /// Returns a shell in `cwd` with the given streams.
    pub fn new(cwd: PathBuf, variables: Variables, descriptors: Descriptors) -> Self {
        let state = State {
            variables,
            functions: Rc::default(),
            cwd,
            options: default_options(),
            positional: Vec::new(),
            descriptors,
            traps: BTreeMap::new(),
            frames: Vec::new(),
            loops: 0,
            subshells: 0,
        };
        Self {
            state,
            parsed: Parsed::default(),
            source: Rc::default(),
            status: 0,
            line: 1,
            name: "bash".to_owned(),
            conditions: 0,
            depth: 0,
            sourced: 0,
            jobs: BTreeMap::new(),
            last_job: None,
            substituted: None,
            random: seed(),
            started: Instant::now(),
            option_at: 0,
        }
    }

    pub fn is_set(&self, option: &str) -> bool {
        self.state.options.contains(option)
    }

    /// Says what went wrong, as bash does.
    pub fn complain(&mut self, message: impl std::fmt::Display) {
        let text = format!("{}: line {}: {message}\n", self.name, self.line);
        self.error(&text);
    }

    /// Writes `text` to standard error.
    pub fn error(&mut self, text: &str) {
        // There is nowhere to say that standard error cannot be written.
        let _ = self.state.descriptors.sink(2).write_all(text.as_bytes());
    }

    /// Writes `text` to standard output, and returns the exit code of a command that does.
    pub fn print(&mut self, text: &str) -> i32 {
        match self.state.descriptors.sink(1).write_all(text.as_bytes()) {
            Ok(()) => 0,
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 141,
            Err(error) => {
                self.complain(format!("write error: {error}"));
                1
            }
        }
    }

    /// Returns a fresh random number of 15 bits.
    pub fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) & 0x7fff
    }

    /// Returns the characters that split words.
    pub fn separators(&self) -> String {
        self.state.variables.get("IFS").map_or(" \t\n", |ifs| ifs.text().unwrap_or_default()).to_owned()
    }

    /// Returns the value of the variable `name`, the shell's own ones included.
    pub fn text(&mut self, name: &str) -> Option<String> {
        if let Some(text) = self.state.variables.get(name).and_then(Variable::text) {
            return Some(text.to_owned());
        }
        Some(match self.state.variables.resolve(name) {
            "RANDOM" => self.next_random().to_string(),
            "LINENO" => self.line.to_string(),
            "SECONDS" => self.started.elapsed().as_secs().to_string(),
            "FUNCNAME" => self.state.frames.last()?.function.clone(),
            "BASHPID" => "1".to_owned(),
            "EPOCHSECONDS" => {
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs().to_string()
            }
            "SHELLOPTS" => self.state.options.iter().copied().collect::<Vec<_>>().join(":"),
            _ => return None,
        })
    }

    /// Returns every element of the variable `name`.
    pub fn elements(&mut self, name: &str) -> Vec<String> {
        match self.state.variables.get(name) {
            Some(variable) => variable.elements(),
            None if name == "FUNCNAME" => self.state.frames.iter().rev().map(|frame| frame.function.clone()).collect(),
            None => self.text(name).into_iter().collect(),
        }
    }

    /// Returns what `subscript`, expanded, selects of `name`.
    pub fn subscript(&mut self, name: &str, subscript: &str) -> Result<Subscript, Complaint> {
        let variable = self.state.variables.get(name);
        if variable.is_some_and(Variable::is_associative) {
            return Ok(Subscript::Key(subscript.to_owned()));
        }
        let end = variable.map_or(0, last_index);
        let index = self.evaluate(subscript)?;
        let index = if index < 0 { index + i64::try_from(end).unwrap_or(i64::MAX) } else { index };
        let index = usize::try_from(index).ok().filter(|index| *index <= MAX_INDEX);
        index.map(Subscript::Index).ok_or_else(|| Complaint(format!("{name}[{subscript}]: bad array subscript")))
    }

    /// Returns what arithmetic reads: the value of a variable or element, empty when there is none.
    pub fn fetch(&mut self, name: &str, subscript: Option<&str>) -> Result<String, Complaint> {
        let text = match subscript {
            None => self.text(name),
            Some(subscript) => {
                let subscript = self.subscript(name, subscript)?;
                self.state.variables.get(name).and_then(|variable| variable.element(&subscript)).map(str::to_owned)
            }
        };
        match text {
            None if self.is_set("nounset") => Err(Complaint(format!("{name}: unbound variable"))),
            text => Ok(text.unwrap_or_default()),
        }
    }

    /// Stores what arithmetic or a built-in computed.
    pub fn store(&mut self, name: &str, subscript: Option<&str>, text: String) -> Result<(), Complaint> {
        match subscript {
            None => self.assign_text(name, text),
            Some(subscript) => {
                let subscript = self.subscript(name, subscript)?;
                self.assign_element(name, subscript, text)
            }
        }
    }

    /// Sets a variable, as its attributes want it.
    pub fn assign_text(&mut self, name: &str, text: String) -> Result<(), Complaint> {
        match name {
            "RANDOM" => {
                self.random = text.parse().unwrap_or(0);
                return Ok(());
            }
            "OPTIND" => self.option_at = 0,
            _ => {}
        }
        let text = self.shaped(name, text)?;
        let exports = self.is_set("allexport");
        let variable = self.state.variables.get_mut(name)?;
        variable.set_text(text);
        if exports {
            variable.attributes.insert(Attribute::Exported);
        }
        Ok(())
    }

    pub fn assign_element(&mut self, name: &str, subscript: Subscript, text: String) -> Result<(), Complaint> {
        let text = self.shaped(name, text)?;
        self.state.variables.get_mut(name)?.set_element(subscript, text);
        Ok(())
    }

    /// Sets an indexed array.
    pub fn assign_list(&mut self, name: &str, elements: Vec<String>) -> Result<(), Complaint> {
        let variable = self.state.variables.get_mut(name)?;
        variable.value = Some(Value::Indexed(elements.into_iter().enumerate().collect()));
        Ok(())
    }

    /// Returns `text` as the attributes of `name` change it.
    fn shaped(&mut self, name: &str, text: String) -> Result<String, Complaint> {
        let Some(variable) = self.state.variables.get(name) else { return Ok(text) };
        if variable.has(Attribute::Integer) {
            return self.evaluate(&text).map(|value| value.to_string());
        }
        Ok(match (variable.has(Attribute::Upper), variable.has(Attribute::Lower)) {
            (true, _) => text.to_uppercase(),
            (_, true) => text.to_lowercase(),
            _ => text,
        })
    }

    /// Runs `inner` in a copy of this shell, of which only the exit code comes back.
    pub fn subshell(&mut self, inner: impl FnOnce(&mut Self) -> i32) -> i32 {
        let saved = self.state.clone();
        let (jobs, conditions) = (self.jobs.clone(), self.conditions);
        self.state.subshells += 1;
        self.state.loops = 0;
        self.state.traps.remove("EXIT");
        let status = inner(self);
        self.state.descriptors.flush();
        self.state = saved;
        (self.jobs, self.conditions) = (jobs, conditions);
        self.status = status;
        status
    }

    /// Runs `inner` and returns what it wrote to standard output, at most `most` bytes.
    pub fn capture(&mut self, most: usize, inner: impl FnOnce(&mut Self) -> i32) -> (Vec<u8>, i32) {
        let sink = Sink::memory(most);
        let before = self.state.descriptors.clone();
        self.state.descriptors.set_sink(1, sink.clone());
        let status = inner(self);
        self.state.descriptors = before;
        if sink.is_broken() {
            self.complain(format!("a command's output was cut off at {most} bytes"));
        }
        (sink.take_bytes(), status)
    }

    #[cfg(test)]
    pub fn for_tests() -> Self {
        use crate::streams::Source;
        let descriptors = Descriptors::new(Source::empty(), Sink::memory(1 << 20), Sink::memory(1 << 20));
        Self::new(PathBuf::from("/"), Variables::default(), descriptors)
    }
}

/// Returns the switches that are on from the start. Extended patterns always are.
pub fn default_options() -> Options {
    Options::from(["braceexpand", "extglob"])
}

/// Returns the index behind the last one.
fn last_index(variable: &Variable) -> usize {
    match &variable.value {
        Some(Value::Indexed(elements)) => elements.last_key_value().map_or(0, |(index, _)| index + 1),
        Some(Value::Scalar(_)) => 1,
        _ => 0,
    }
}

/// Returns where `$RANDOM` begins.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}
