//! Layer: beneath sandbox and workspace. Verb: STAGES.
//!
//! A [`Stage`] is a copy-on-write view of one directory tree. Guests read the tree through it with their own changes on
//! top; nothing they do reaches the disk. What they changed comes out as a [`protocol::ChangeSet`], which the host may
//! refuse, show, apply with a [`Writer`], or take back with the inverse set.
//!
//! It asks nobody but the operating system, through directory handles: [`Base::open`], [`Writer::new`] and
//! [`Scratch::new`] take the only ambient paths, all three from the host. The sandbox asks it for every file operation of
//! a guest, the workspace for commit and undo. No other crate opens files under a mount.
//!
//! What holds: no path, symlink or rename, not even one that somebody swaps between two system calls, reaches outside
//! the base directory; no request allocates or copies before the quota was asked; every cost follows what was touched,
//! never the size of the tree.
//!
//! Deliberately absent: decisions (who may write where is the policy's to say), WASI types, threads, clocks, journals.
//! Also absent from the view: `.boxagnts` in any spelling ([`is_hidden`]) and names that are not UTF-8.

#![warn(clippy::unwrap_used)]

mod base;
mod changes;
mod conflicts;
mod content;
mod dir;
mod error;
mod file;
mod hidden;
mod meta;
mod mutate;
mod quota;
mod resolve;
mod seed;
mod stage;
mod tape;
#[cfg(test)]
mod tests;
mod tree;
mod veil;
mod writer;

pub use base::{Base, BaseReader, Standing};
pub use content::Scratch;
pub use dir::{Dir, DirEntry, OpenHow, Opened};
pub use error::StageError;
pub use file::{Contents, File, MAX_READ_BYTES};
pub use hidden::is_hidden;
pub use meta::{Identity, Kind, Metadata};
pub use quota::{Quota, QuotaKind, Usage};
pub use stage::{Clock, Stage, StageOptions};
pub use tape::{FileTape, Left, Player, Recorder, Room, TapeContents};
pub use veil::Veil;
pub use writer::{Step, Writer, steps};
