//! One program, from its text to its result.

use std::path::Path;
use std::rc::Rc;

use boa_engine::builtins::promise::PromiseState;
use boa_engine::{Context, JsError, JsNativeError, JsResult, JsValue, Module, Script, Source, js_string};
use kit::{Failure, Output};

use crate::events::EventLoop;
use crate::globals::{Host, install};
use crate::modules::{HOME, Loader};
use crate::report;
use crate::source::{export_last, looks_like_module};

/// What code that is no file is called in stacks.
pub const CODE: &str = "[code]";

/// Calls within calls. Each takes some of the engine's own stack only where it goes through a function of the engine
/// (a getter, `map`, `sort`); such a chain ends earlier, at the sandbox's limit of the stack.
const MAX_CALLS: usize = 10_000;

/// Values on the engine's stack: about fifty for each of [`MAX_CALLS`].
const MAX_STACK_VALUES: usize = 500_000;

/// Calls that an error's stack names.
const MAX_STACK_LINES: usize = 10;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// This text.
    Code(String),
    /// The module at this place, absolute.
    File(String),
}

impl Program {
    /// Runs the program to its end.
    pub fn run(&self, args: &serde_json::Value) -> Result<Output, Failure> {
        let mut engine = Engine::new(self, args).map_err(|error| Failure::Internal(error.to_string()))?;
        match engine.evaluate(self) {
            Ok(value) => {
                let result = report::result(&value, &mut engine.context);
                Ok(report::ran(&engine.host.console.borrow(), result))
            }
            Err(error) => {
                let error = report::uncaught(error, &mut engine.context)?;
                Err(report::ended(&engine.host.console.borrow(), &error))
            }
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Code(_) => format!("{HOME}/{CODE}"),
            Self::File(path) => path.clone(),
        }
    }
}

struct Engine {
    context: Context,
    host: Rc<Host>,
    loader: Rc<Loader>,
}

/// What a text is.
enum Parsed {
    Script(Script),
    Module(Module),
}

impl Engine {
    fn new(program: &Program, args: &serde_json::Value) -> JsResult<Self> {
        let events = Rc::new(EventLoop::default());
        let loader = Rc::new(Loader::default());
        let host = Rc::new(Host::new(events.clone()));
        let mut context = Context::builder()
            .host_hooks(events.hooks())
            .job_executor(events)
            .module_loader(loader.clone())
            .can_block(false)
            .build()?;
        let limits = context.runtime_limits_mut();
        limits.set_recursion_limit(MAX_CALLS);
        limits.set_stack_size_limit(MAX_STACK_VALUES);
        limits.set_backtrace_limit(MAX_STACK_LINES);
        context.insert_data(host.clone());
        install(&program.path(), args, &mut context)?;
        Ok(Self { context, host, loader })
    }

    /// Returns the program's value, after everything that it left waiting is done.
    fn evaluate(&mut self, program: &Program) -> JsResult<JsValue> {
        let value = match program {
            Program::Code(text) => match self.parse(text)? {
                Parsed::Script(script) => {
                    let value = script.evaluate(&mut self.context)?;
                    self.context.run_jobs()?;
                    value
                }
                Parsed::Module(module) => self.module(&module)?,
            },
            Program::File(path) => {
                let module = self.loader.file(path, false, &mut self.context)?;
                self.module(&module)?
            }
        };
        settled(value)
    }

    /// Parses `text` as what it looks like, and as the other when it is not.
    fn parse(&mut self, text: &str) -> JsResult<Parsed> {
        if !looks_like_module(text) {
            return self.parse_script(text);
        }
        match self.parse_module(text) {
            Ok(module) => Ok(module),
            Err(error) => self.parse_script(text).map_err(|_| error),
        }
    }

    fn parse_script(&mut self, text: &str) -> JsResult<Parsed> {
        let path = format!("{HOME}/{CODE}");
        let source = Source::from_bytes(text).with_path(Path::new(&path));
        Script::parse(source, None, &mut self.context).map(Parsed::Script)
    }

    fn parse_module(&mut self, text: &str) -> JsResult<Parsed> {
        let path = format!("{HOME}/{CODE}");
        if let Some((exporting, insertion)) = export_last(text) {
            let source = Source::from_bytes(&exporting).with_path(Path::new(&path));
            if let Ok(module) = Module::parse(source, None, &mut self.context) {
                self.host.insertion.set(Some(insertion));
                return Ok(Parsed::Module(module));
            }
        }
        let source = Source::from_bytes(text).with_path(Path::new(&path));
        Module::parse(source, None, &mut self.context).map(Parsed::Module)
    }

    /// Runs a module and returns its default export.
    fn module(&mut self, module: &Module) -> JsResult<JsValue> {
        let promise = module.load_link_evaluate(&mut self.context);
        self.context.run_jobs()?;
        settled(promise.into())?;
        let exports = module.namespace(&mut self.context);
        let name = js_string!("default");
        if exports.has_own_property(name.clone(), &mut self.context)? {
            return exports.get(name, &mut self.context);
        }
        Ok(JsValue::undefined())
    }
}

/// Returns what `value` came to, when it is a promise; the loop has run to its end.
fn settled(value: JsValue) -> JsResult<JsValue> {
    match value.as_promise().map(|promise| promise.state()) {
        None => Ok(value),
        Some(PromiseState::Fulfilled(value)) => Ok(value),
        Some(PromiseState::Rejected(reason)) => Err(JsError::from_opaque(reason)),
        Some(PromiseState::Pending) => {
            let message = "the program waits for a promise that nothing settles any more";
            Err(JsNativeError::error().with_message(message).into())
        }
    }
}
