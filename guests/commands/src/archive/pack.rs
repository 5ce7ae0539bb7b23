//! Files to an archive.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::Invocation;
use crate::facts::{Facts, Kind};
use crate::report::{Stop, reason, say};

use super::{Job, Sink};

/// Deeper folders than these are a loop of links, or an attack on the stack.
const MAX_DEPTH: usize = 256;

pub(super) fn write(
    invocation: &mut Invocation<'_>,
    job: &mut Job<'_>,
    to: &mut dyn Write,
    compressed: bool,
) -> Result<(), Stop> {
    let mut builder = Builder::new(Sink::new(to, compressed));
    for (folder, name) in std::mem::take(&mut job.places) {
        if name.starts_with('/') {
            say(invocation.stderr, invocation.args, "Removing leading `/' from member names");
        }
        let path = folder.join(&name);
        add(invocation, job, &mut builder, &path, &name, 0)?;
    }
    let sink = builder.into_inner()?;
    sink.finish()?;
    if job.failed {
        say(invocation.stderr, invocation.args, "Exiting with failure status due to previous errors");
    }
    Ok(())
}

fn add(
    invocation: &mut Invocation<'_>,
    job: &mut Job<'_>,
    builder: &mut Builder<Sink<'_>>,
    path: &Path,
    name: &str,
    depth: usize,
) -> Result<(), Stop> {
    if job.is_excluded(name) {
        return Ok(());
    }
    let facts = match Facts::read(path, job.options.has("h")) {
        Ok(facts) => facts,
        Err(error) => {
            say(invocation.stderr, invocation.args, format_args!("{name}: Cannot stat: {}", reason(&error)));
            job.failed = true;
            return Ok(());
        }
    };
    let shown = if facts.kind == Kind::Folder && !name.ends_with('/') { format!("{name}/") } else { name.to_owned() };
    if job.verbose {
        let writer: &mut dyn Write =
            if job.options.value("f").is_none_or(|file| file == "-") { invocation.stderr } else { invocation.stdout };
        writeln!(writer, "{shown}")?;
    }
    append(builder, path, shown.trim_start_matches('/'), &facts)?;
    if facts.kind != Kind::Folder || depth >= MAX_DEPTH || job.options.has("no-recursion") {
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|error| Stop::at(name, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let below = format!("{}{}", shown, entry.file_name().to_string_lossy());
        add(invocation, job, builder, &entry.path(), &below, depth + 1)?;
    }
    Ok(())
}

fn append(builder: &mut Builder<Sink<'_>>, path: &Path, name: &str, facts: &Facts) -> Result<(), Stop> {
    let mut header = Header::new_gnu();
    header.set_mode(facts.mode);
    header.set_mtime(facts.modified.duration_since(std::time::UNIX_EPOCH).map_or(0, |age| age.as_secs()));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    let name = if name.is_empty() { "./" } else { name };
    match facts.kind {
        Kind::Folder => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, name, io::empty())?;
        }
        Kind::Link => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, name, fs::read_link(path)?)?;
        }
        _ => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(facts.size);
            // A file that shrinks while it is read would leave a broken archive; what is missing is zeros.
            let file = fs::File::open(path).map_err(|error| Stop::at(name, &error))?;
            let content = io::Read::take(io::Read::chain(file, io::repeat(0)), facts.size);
            builder.append_data(&mut header, name, content)?;
        }
    }
    Ok(())
}
