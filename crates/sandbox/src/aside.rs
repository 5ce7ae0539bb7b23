//! Where a guest runs: with its caller while it is brief, on a thread of its own once it computes for long.
//!
//! Most calls end within a fraction of an epoch, and handing them over would cost more than they do. What goes on
//! computing would stand in the way of every other task of its worker, for an epoch at a time; on a thread of its own,
//! of low priority, it yields to the others at once.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Epochs that a guest has computed in before it moves: the first may just have begun when it started.
const BRIEF_EPOCHS: u32 = 2;

/// How far a guest that computes for long steps back (`setpriority(2)`): a third of the others' weight. It still
/// has a whole core when nobody else wants it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// Counts the epochs that a guest computed in. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Epochs(Arc<AtomicU32>);

impl Epochs {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn are_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= BRIEF_EPOCHS
    }
}

/// Runs `guest` to its end, from when its epochs are many on a thread of its own. `None`: there is no thread for it.
///
/// A guest that moved does not end with this future: whoever drops it tells the guest.
pub(crate) async fn run<T: Send + 'static>(mut guest: BoxFuture<'static, T>, epochs: &Epochs) -> Option<T> {
    let brief = poll_fn(|context| match guest.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if epochs.are_many() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    if let Some(result) = pin!(brief).await {
        return Some(result);
    }
    let handle = Handle::current();
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        step_back();
        // Nobody waits any more when the caller dropped the call.
        let _ = sender.send(handle.block_on(guest));
    };
    std::thread::Builder::new().name("guest".into()).spawn(work).ok()?;
    receiver.await.ok()
}

/// Lowers the priority of this thread, for good: whatever else this process does comes first.
#[cfg(target_os = "linux")]
fn step_back() {
    // Without it the guest competes as an equal, which costs the others time and nothing else.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}

/// Elsewhere a priority belongs to the whole process.
#[cfg(not(target_os = "linux"))]
fn step_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the threads that a guest runs on before and after it yields, which counts so many epochs.
    async fn threads(epochs_counted: u32) -> (std::thread::ThreadId, std::thread::ThreadId) {
        let epochs = Epochs::default();
        let counting = epochs.clone();
        let guest = async move {
            let before = std::thread::current().id();
            (0..epochs_counted).for_each(|_| counting.count());
            tokio::task::yield_now().await;
            (before, std::thread::current().id())
        };
        run(Box::pin(guest), &epochs).await.unwrap()
    }

    #[tokio::test]
    async fn only_what_computes_for_long_moves() {
        let here = std::thread::current().id();
        assert_eq!(threads(BRIEF_EPOCHS - 1).await, (here, here));
        let (before, after) = threads(BRIEF_EPOCHS).await;
        assert!(before == here && after != here);
    }
}
