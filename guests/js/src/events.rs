//! The event loop: promise jobs, module loads and timers, until nothing is left.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use boa_engine::builtins::promise::{OperationType, Promise, PromiseState};
use boa_engine::context::HostHooks;
use boa_engine::job::{GenericJob, Job, JobExecutor, NativeAsyncJob, PromiseJob};
use boa_engine::object::builtins::{JsFunction, JsPromise};
use boa_engine::{Context, JsError, JsNativeError, JsObject, JsResult, JsValue};

/// Timers that may be set at the same time. A program that needs more waits for what it already asked.
const MAX_TIMERS: usize = 100_000;

/// The longest wait of one timer, as browsers have it; the call's own deadline comes long before.
const MAX_DELAY_MS: f64 = 2_147_483_647.0;

/// What waits to run.
#[derive(Default)]
pub struct EventLoop {
    promises: RefCell<VecDeque<PromiseJob>>,
    generic: RefCell<VecDeque<GenericJob>>,
    loads: RefCell<VecDeque<NativeAsyncJob>>,
    timers: RefCell<Timers>,
    rejections: Rc<Rejections>,
}

/// Rejected promises that nobody handles yet.
#[derive(Default)]
pub struct Rejections(RefCell<Vec<JsObject<Promise>>>);

/// Hooks of the engine: which rejections are unhandled, and that no clock of this machine's zone is asked.
pub struct Hooks(Rc<Rejections>);

#[derive(Default)]
struct Timers {
    last: u32,
    /// By when they are due, then by the order in which they were set.
    waiting: BTreeMap<(Instant, u32), Timer>,
}

struct Timer {
    id: u32,
    callback: JsFunction,
    arguments: Vec<JsValue>,
    interval: Option<Duration>,
}

impl HostHooks for Hooks {
    fn promise_rejection_tracker(&self, promise: &JsObject<Promise>, operation: OperationType, _: &mut Context) {
        let mut unhandled = self.0.0.borrow_mut();
        match operation {
            OperationType::Reject => unhandled.push(promise.clone()),
            OperationType::Handle => unhandled.retain(|other| !JsObject::equals(other, promise)),
        }
    }

    fn local_timezone_offset_seconds(&self, _: i64) -> i32 {
        0
    }
}

impl EventLoop {
    /// Returns the hooks that tell this loop of rejections.
    pub fn hooks(&self) -> Rc<Hooks> {
        Rc::new(Hooks(self.rejections.clone()))
    }

    /// Runs `callback` after `delay_ms`, once or again and again. Returns what `clear` takes.
    pub fn set(&self, callback: JsFunction, arguments: Vec<JsValue>, delay_ms: f64, repeat: bool) -> JsResult<u32> {
        let mut timers = self.timers.borrow_mut();
        if timers.waiting.len() >= MAX_TIMERS {
            return Err(JsNativeError::range().with_message(format!("more than {MAX_TIMERS} timers")).into());
        }
        let delay = delay(delay_ms);
        timers.last += 1;
        let id = timers.last;
        let timer = Timer { id, callback, arguments, interval: repeat.then_some(delay) };
        timers.waiting.insert((Instant::now() + delay, id), timer);
        Ok(id)
    }

    /// Forgets the timer `id`, if there still is one.
    pub fn clear(&self, id: u32) {
        self.timers.borrow_mut().waiting.retain(|_, timer| timer.id != id);
    }

    /// Runs everything that does not wait for a timer.
    fn settle(&self, context: &mut Context) -> JsResult<()> {
        loop {
            if let Some(job) = pop(&self.promises) {
                job.call(context)?;
            } else if let Some(job) = pop(&self.loads) {
                run(job, context)?;
            } else if let Some(job) = pop(&self.generic) {
                job.call(context)?;
            } else {
                context.clear_kept_objects();
                return self.rejections.first();
            }
        }
    }

    /// Waits for the next timer and runs it; false when there is none.
    fn tick(&self, context: &mut Context) -> JsResult<bool> {
        let Some(((due, _), timer)) = self.timers.borrow_mut().waiting.pop_first() else { return Ok(false) };
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let Timer { id, callback, arguments, interval } = timer;
        if let Some(delay) = interval {
            let timer = Timer { id, callback: callback.clone(), arguments: arguments.clone(), interval };
            self.timers.borrow_mut().waiting.insert((Instant::now() + delay, id), timer);
        }
        callback.call(&JsValue::undefined(), &arguments, context)?;
        Ok(true)
    }
}

impl JobExecutor for EventLoop {
    fn enqueue_job(self: Rc<Self>, job: Job, _: &mut Context) {
        match job {
            Job::PromiseJob(job) => self.promises.borrow_mut().push_back(job),
            Job::GenericJob(job) => self.generic.borrow_mut().push_back(job),
            Job::AsyncJob(job) => self.loads.borrow_mut().push_back(job),
            // Timers are this loop's own, and callbacks of finalisation registries may be left out.
            _ => {}
        }
    }

    fn run_jobs(self: Rc<Self>, context: &mut Context) -> JsResult<()> {
        self.settle(context)?;
        while self.tick(context)? {
            self.settle(context)?;
        }
        Ok(())
    }
}

impl Rejections {
    /// Returns the first unhandled rejection as the error that it is.
    fn first(&self) -> JsResult<()> {
        let promise = self.0.borrow().first().cloned();
        match promise
            .map(|promise| JsPromise::from_object(promise.upcast()))
            .transpose()?
            .map(|promise| promise.state())
        {
            Some(PromiseState::Rejected(reason)) => Err(JsError::from_opaque(reason)),
            _ => Ok(()),
        }
    }
}

fn pop<T>(queue: &RefCell<VecDeque<T>>) -> Option<T> {
    queue.borrow_mut().pop_front()
}

fn delay(milliseconds: f64) -> Duration {
    let milliseconds = if milliseconds > 0.0 { milliseconds.min(MAX_DELAY_MS) } else { 0.0 };
    Duration::from_secs_f64(milliseconds / 1_000.0)
}

/// Runs a job that may wait in principle. Nothing here does: modules are read at once.
fn run(job: NativeAsyncJob, context: &mut Context) -> JsResult<()> {
    let context = RefCell::new(context);
    let future = pin!(job.call(&context));
    match future.poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.map(drop),
        Poll::Pending => Err(JsNativeError::error().with_message("a module load waits for what never comes").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_what_browsers_make_of_them() {
        let delays = [1.5, 0.0, -3.0, f64::NAN, f64::INFINITY].map(delay);
        let longest = Duration::from_millis(2_147_483_647);
        assert_eq!(delays, [Duration::from_micros(1_500), Duration::ZERO, Duration::ZERO, Duration::ZERO, longest]);
    }
}
