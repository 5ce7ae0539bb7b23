//! Compiling within a time.
//!
//! Compilation cannot be broken off: a component may be made so that it takes hours. So it runs on a thread of its own,
//! and who waits for it waits for a time and no longer. A thread that nobody waits for keeps its slot until it is done,
//! so that a series of such components does not fill the machine.

use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::LoadError;

/// Time that one component may take to compile. A JavaScript engine of 12 MB takes seconds.
pub(crate) const MAX_COMPILE: Duration = Duration::from_mins(3);

/// Components that compile at the same time; each uses every core that is free.
const MAX_COMPILING: u32 = 2;

/// Compiles components, a few at a time.
pub(crate) struct Compiler {
    engine: Engine,
    slots: Arc<Slots>,
}

struct Slots {
    free: Mutex<u32>,
    freed: Condvar,
}

/// The right to compile, given back when it is dropped.
struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

impl Compiler {
    pub(crate) fn new(engine: Engine) -> Self {
        let slots = Slots { free: Mutex::new(MAX_COMPILING), freed: Condvar::new() };
        Self { engine, slots: Arc::new(slots) }
    }

    /// Returns the component `wasm`, compiled, after `within` at most. Blocks.
    pub(crate) fn component(&self, wasm: &[u8], within: Duration) -> Result<Component, LoadError> {
        let too_slow = || LoadError::Slow { seconds: within.as_secs() };
        let until = Instant::now() + within;
        let slot = self.slot(within).ok_or_else(too_slow)?;
        let (engine, wasm) = (self.engine.clone(), wasm.to_vec());
        let (send, receive) = mpsc::sync_channel(1);
        let compile = move || {
            let component = Component::from_binary(&engine, &wasm);
            drop(slot);
            // Nobody may be waiting any more.
            let _ = send.send(component);
        };
        std::thread::Builder::new().name("compile".into()).spawn(compile).map_err(LoadError::Thread)?;
        match receive.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(compiled) => compiled.map_err(LoadError::Invalid),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(too_slow()),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(LoadError::Interrupted),
        }
    }

    fn slot(&self, within: Duration) -> Option<Slot> {
        let free = self.slots.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.slots.freed.wait_timeout_while(free, within, |free| *free == 0);
        let (mut free, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && *free == 0 {
            return None;
        }
        *free -= 1;
        Some(Slot(self.slots.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use policy::Limits;

    fn compiler() -> Compiler {
        Compiler::new(crate::engine::start(1, &Limits::default()).unwrap())
    }

    /// Returns a component whose one function is a long chain of values that all live to its end.
    fn bomb(length: usize) -> Vec<u8> {
        let mut text = String::from("(component (core module (func (param i64) (result i64)\n");
        for at in 0..length {
            writeln!(text, "local.get 0 i64.const {at} i64.xor local.get 0 i64.const {at} i64.rotl i64.mul").unwrap();
        }
        text.push_str(&"i64.add\n".repeat(length - 1));
        text.push_str(")))");
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn a_component_that_compiles_too_slowly_is_given_up() {
        let (compiler, bomb) = (compiler(), bomb(60_000));
        let started = Instant::now();
        let given_up = compiler.component(&bomb, Duration::from_millis(50));
        assert!(matches!(given_up, Err(LoadError::Slow { seconds: 0 })), "{:?}", given_up.err());
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        // It is compiled on, and holds its slot; the other one is free.
        assert_eq!(*compiler.slots.free.lock().unwrap(), MAX_COMPILING - 1);
        let good = wat::parse_str("(component)").unwrap();
        assert!(compiler.component(&good, MAX_COMPILE).is_ok());
    }

    #[test]
    fn more_than_may_compile_at_once_wait_in_vain() {
        let compiler = compiler();
        let held: Vec<_> = (0..MAX_COMPILING).map(|_| compiler.slot(Duration::ZERO).unwrap()).collect();
        assert!(compiler.slot(Duration::from_millis(1)).is_none());
        let good = wat::parse_str("(component)").unwrap();
        let waited = compiler.component(&good, Duration::from_millis(20));
        assert!(matches!(waited, Err(LoadError::Slow { .. })));
        drop(held);
        assert!(compiler.component(&good, MAX_COMPILE).is_ok());
    }
}
