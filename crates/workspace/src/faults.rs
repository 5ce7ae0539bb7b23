//! Named points of a commit at which a test can stop the process, or change the tree. In other builds they are nothing.

#[cfg(not(test))]
pub(crate) fn point(_name: &str) {}

#[cfg(test)]
pub(crate) use hook::{at_each, point};

#[cfg(test)]
mod hook {
    use std::cell::RefCell;

    type Hook = Box<dyn FnMut(&str)>;

    thread_local!(static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) });

    pub(crate) fn point(name: &str) {
        // Taken out while it runs, so that it may use the workspace itself.
        let hook = HOOK.take();
        if let Some(mut hook) = hook {
            hook(name);
            HOOK.set(Some(hook));
        }
    }

    /// Has `hook` called at each point that this thread reaches.
    pub(crate) fn at_each(hook: impl FnMut(&str) + 'static) {
        HOOK.set(Some(Box::new(hook)));
    }
}
