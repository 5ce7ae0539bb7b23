//! Files and folders: making, removing, copying, listing them.

mod copy;
mod list;
mod make;
mod remove;
mod resolve;
mod status;
mod usage;

pub(crate) use copy::{cp, mv};
pub(crate) use list::ls;
pub(crate) use make::{chmod, ln, mkdir, mktemp, rmdir, touch, truncate};
pub(crate) use remove::rm;
pub(crate) use resolve::{readlink, realpath};
pub(crate) use status::stat;
pub(crate) use usage::du;

/// Deeper folders than these are a loop, or an attack on the stack.
const MAX_DEPTH: usize = 256;
