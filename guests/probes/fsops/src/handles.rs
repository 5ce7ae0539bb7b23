//! Files that a script keeps open.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};

use crate::op::Mode;

/// Open files by the name that the script gave them.
#[derive(Default)]
pub struct Handles(BTreeMap<String, File>);

impl Handles {
    /// Opens `path` and keeps it as `handle`, in place of what had that name.
    pub fn open(&mut self, handle: &str, path: &str, mode: &Mode) -> Result<()> {
        let file = OpenOptions::new()
            .read(mode.read)
            .write(mode.write)
            .append(mode.append)
            .create(mode.create)
            .create_new(mode.create_new)
            .truncate(mode.truncate)
            .open(path)?;
        self.0.insert(handle.to_owned(), file);
        Ok(())
    }

    /// Returns the file that `handle` names.
    pub fn get(&mut self, handle: &str) -> Result<&mut File> {
        self.0.get_mut(handle).ok_or_else(|| unknown(handle))
    }

    /// Drops the file that `handle` names.
    pub fn close(&mut self, handle: &str) -> Result<()> {
        self.0.remove(handle).map(drop).ok_or_else(|| unknown(handle))
    }
}

fn unknown(handle: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("no handle `{handle}`"))
}
