//! Compiling a stranger's component: what is compiled at all, and for how long.
//!
//! Compiling happens before any limit of a call applies. Its time and memory follow the input, and for some inputs they
//! explode. What is known to explode is counted and refused before the compiler sees it; the rest runs against the clock.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use wasmparser::{BinaryReaderError, ComponentInstance, FunctionBody, Operator, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::LoadError;

/// How long one component may be compiled: the largest real ones (an interpreter of tens of megabytes, on one slow core)
/// need a minute.
const MAX_COMPILE: Duration = Duration::from_mins(2);

/// Compilations at the same time. One that runs out of time cannot be stopped and counts until it ends, so beyond this
/// loading fails instead of waiting behind what may take hours.
const MAX_COMPILING: usize = 16;

/// Bytes of one function: it is compiled whole, on one thread, with some hundred times its size in memory. The
/// largest function of real engines is a sixth of it.
const MAX_FUNCTION_BYTES: usize = 1 << 20;

/// Places where control flow joins times the locals in use, summed over all functions: the compiler looks for each local
/// at each of them, and remembers it at each loop. The largest JavaScript engine has 6 million, in 12 MB.
const MAX_JOINED_LOCALS: u64 = 30_000_000;

/// What a loop counts for, where other joins count for one: about what it costs more.
const LOOP_WEIGHT: u64 = 8;

/// Places in a component where another is instantiated. The compiler unfolds them, so a chain of components that each
/// instantiate the one before twice doubles with each link. Real tools have one for each interface that they export.
const MAX_INSTANTIATIONS: usize = 16;

/// How deep components and modules nest. Each level is remembered while a component is read.
const MAX_NESTING: usize = 64;

/// Imports of a component; there are not a hundred interfaces.
const MAX_IMPORTS: usize = 1_000;

/// Why a component is not given to the compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    #[error("a function has {0} bytes; the limit is {MAX_FUNCTION_BYTES}")]
    Function(usize),
    #[error("its functions have {0} joins times locals; the limit is {MAX_JOINED_LOCALS}")]
    JoinedLocals(u64),
    #[error("components are instantiated in {0} places; the limit is {MAX_INSTANTIATIONS}")]
    Instantiations(usize),
    #[error("components are nested {0} deep; the limit is {MAX_NESTING}")]
    Nesting(usize),
    #[error("it imports {0} times; the limit is {MAX_IMPORTS}")]
    Imports(usize),
}

/// Compiles components, each for a bounded time.
pub(crate) struct Compiler {
    engine: Engine,
    /// Each clone is a compilation that has not ended.
    running: Arc<()>,
}

impl Compiler {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), running: Arc::new(()) }
    }

    /// Returns the compiled component. Blocks, at most for [`MAX_COMPILE`].
    pub(crate) fn compile(&self, wasm: &[u8]) -> Result<Component, LoadError> {
        survey(wasm)?;
        let (engine, wasm) = (self.engine.clone(), wasm.to_vec());
        self.within(MAX_COMPILE, move || Component::from_binary(&engine, &wasm))?.map_err(LoadError::Invalid)
    }

    /// Runs `work` on a thread of its own, which is left to itself when it takes longer than `limit`.
    fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LoadError> {
        if Arc::strong_count(&self.running) > MAX_COMPILING {
            return Err(LoadError::CompilerBusy);
        }
        let running = self.running.clone();
        let (sender, receiver) = mpsc::channel();
        let work = move || {
            let result = work();
            drop(running);
            // Nobody waits any more when it took too long.
            let _ = sender.send(result);
        };
        std::thread::Builder::new().name("compile".into()).spawn(work).map_err(|_| LoadError::CompilerBusy)?;
        receiver.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => LoadError::TooSlow,
            // The compiler panicked.
            RecvTimeoutError::Disconnected => LoadError::Interrupted,
        })
    }
}

/// Refuses what would explode in the compiler.
fn survey(wasm: &[u8]) -> Result<(), LoadError> {
    let invalid = |error: BinaryReaderError| LoadError::Invalid(wasmtime::Error::new(error));
    let (mut joined_locals, mut instantiations) = (0_u64, 0);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(invalid)? {
            Payload::CodeSectionEntry(body) => {
                within(body.range().len(), MAX_FUNCTION_BYTES, Excess::Function)?;
                joined_locals = joined_locals.saturating_add(joined(&body).map_err(invalid)?);
                within(joined_locals, MAX_JOINED_LOCALS, Excess::JoinedLocals)?;
            }
            Payload::ComponentInstanceSection(instances) => {
                let made = instances.into_iter().filter(|one| matches!(one, Ok(ComponentInstance::Instantiate { .. })));
                instantiations += made.count();
                within(instantiations, MAX_INSTANTIATIONS, Excess::Instantiations)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a component that nests its parts `found` deep.
pub(crate) fn within_nesting(found: usize) -> Result<(), LoadError> {
    within(found, MAX_NESTING, Excess::Nesting)
}

/// Refuses a component with `found` imports.
pub(crate) fn within_imports(found: usize) -> Result<(), LoadError> {
    within(found, MAX_IMPORTS, Excess::Imports)
}

fn within<T: Copy + PartialOrd>(found: T, limit: T, excess: fn(T) -> Excess) -> Result<(), LoadError> {
    if found > limit { Err(LoadError::Excess(excess(found))) } else { Ok(()) }
}

/// Returns the weighted joins of a function times the locals that it uses.
fn joined(body: &FunctionBody<'_>) -> Result<u64, BinaryReaderError> {
    let (mut joins, mut locals) = (0_u64, 0);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        match operators.read()? {
            Operator::Loop { .. } => joins += LOOP_WEIGHT,
            Operator::Block { .. } | Operator::If { .. } => joins += 1,
            Operator::LocalGet { local_index }
            | Operator::LocalSet { local_index }
            | Operator::LocalTee { local_index } => locals = locals.max(u64::from(local_index) + 1),
            _ => {}
        }
    }
    Ok(joins.saturating_mul(locals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_is_left_to_itself_and_counts_until_it_ends() {
        let compiler = Compiler::new(&Engine::default());
        let (release, wait) = mpsc::channel::<()>();
        let short = Duration::from_millis(1);
        let stuck = compiler.within(short, move || wait.recv());
        assert!(matches!(stuck, Err(LoadError::TooSlow)));
        assert_eq!(Arc::strong_count(&compiler.running), 2);
        assert_eq!(compiler.within(Duration::from_secs(10), || 7).unwrap(), 7);
        release.send(()).unwrap();
        while Arc::strong_count(&compiler.running) > 1 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn beyond_so_many_at_once_nothing_is_compiled() {
        let compiler = Compiler::new(&Engine::default());
        let running: Vec<_> = (0..MAX_COMPILING).map(|_| compiler.running.clone()).collect();
        let long = Duration::from_secs(10);
        assert!(matches!(compiler.within(long, || ()), Err(LoadError::CompilerBusy)));
        drop(running);
        assert!(compiler.within(long, || ()).is_ok());
    }

    #[test]
    fn a_panic_of_the_compiler_is_an_error() {
        let compiler = Compiler::new(&Engine::default());
        let panicked = compiler.within(Duration::from_secs(10), || panic!("as a bug of the compiler would"));
        assert!(matches!(panicked, Err::<(), _>(LoadError::Interrupted)));
    }
}
