//! An archive to files, or to a list.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tar::{Archive, Entry, EntryType};

use crate::Invocation;
use crate::facts;
use crate::report::{Stop, complain, reason};

use super::{FAILED, Job};

pub(super) fn read(
    invocation: &mut Invocation<'_>,
    job: &mut Job<'_>,
    reader: Box<dyn Read + '_>,
    extract: bool,
) -> Result<(), Stop> {
    let broken = |error: io::Error| {
        Stop::code(
            FAILED,
            format!(
                "This does not look like a tar archive ({})\nExiting with failure status due to previous errors",
                reason(&error)
            ),
        )
    };
    let mut archive = Archive::new(reader);
    let wanted: Vec<String> = job.places.iter().map(|(_, name)| name.trim_end_matches('/').to_owned()).collect();
    let mut found: BTreeSet<String> = BTreeSet::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let selected = wanted.iter().find(|wanted| is_within(&name, wanted));
        if !wanted.is_empty() && selected.is_none() || job.is_excluded(&name) {
            continue;
        }
        found.extend(selected.cloned());
        if extract {
            extract_one(invocation, job, &mut entry, &name)?;
        } else {
            list(invocation, job, &entry, &name)?;
        }
    }
    for missing in wanted.iter().filter(|wanted| !found.contains(*wanted)) {
        complain(invocation, format_args!("{missing}: Not found in archive"));
        job.failed = true;
    }
    if job.failed {
        complain(invocation, "Exiting with failure status due to previous errors");
    }
    Ok(())
}

fn is_within(name: &str, wanted: &str) -> bool {
    name.trim_end_matches('/') == wanted || name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
}

fn list(
    invocation: &mut Invocation<'_>,
    job: &Job<'_>,
    entry: &Entry<'_, Box<dyn Read + '_>>,
    name: &str,
) -> Result<(), Stop> {
    if !job.verbose {
        writeln!(invocation.stdout, "{name}")?;
        return Ok(());
    }
    let header = entry.header();
    let kind = match header.entry_type() {
        EntryType::Directory => 'd',
        EntryType::Symlink => 'l',
        EntryType::Link => 'h',
        _ => '-',
    };
    let mode = header.mode().unwrap_or(0);
    let bits: String = "rwxrwxrwx"
        .chars()
        .enumerate()
        .map(|(at, letter)| if mode << at & 0o400 == 0 { '-' } else { letter })
        .collect();
    let time = UNIX_EPOCH + Duration::from_secs(header.mtime().unwrap_or(0));
    let time = crate::date::format("%Y-%m-%d %H:%M", crate::clock::timestamp(time));
    let owner = format!("{}/{}", header.uid().unwrap_or(0), header.gid().unwrap_or(0)).replace("0/0", "root/root");
    let size = header.size().unwrap_or(0).to_string();
    let width = 18_usize.saturating_sub(owner.len());
    let target = entry.link_name().ok().flatten().map(|target| format!(" -> {}", target.display())).unwrap_or_default();
    writeln!(invocation.stdout, "{kind}{bits} {owner} {size:>width$} {time} {name}{target}")?;
    Ok(())
}

fn extract_one(
    invocation: &mut Invocation<'_>,
    job: &mut Job<'_>,
    entry: &mut Entry<'_, Box<dyn Read + '_>>,
    name: &str,
) -> Result<(), Stop> {
    let strip = match job.options.value("strip-components") {
        Some(text) => text.parse().map_err(|_| Stop::code(FAILED, format!("{text}: Invalid number of elements")))?,
        None => 0,
    };
    let Some(inner) = inner(name, strip) else {
        if strip == 0 {
            complain(invocation, format_args!("{name}: Member name contains '..', skipping"));
            job.failed = true;
        }
        return Ok(());
    };
    if job.verbose {
        writeln!(invocation.stdout, "{name}")?;
    }
    if job.options.has("O") {
        if entry.header().entry_type().is_file() {
            let mut part = vec![0; 8192];
            loop {
                let length = entry.read(&mut part).map_err(Stop::Read)?;
                if length == 0 {
                    break;
                }
                invocation.stdout.write_all(&part[..length])?;
            }
        }
        return Ok(());
    }
    if inner.as_os_str().is_empty() {
        return Ok(());
    }
    if job.options.has("k") && job.folder.join(&inner).symlink_metadata().is_ok_and(|found| !found.is_dir()) {
        complain(invocation, format_args!("{name}: Cannot open: File exists"));
        job.failed = true;
        return Ok(());
    }
    if let Err(error) = place(&job.folder, &inner, entry, job.options.has("m")) {
        complain(invocation, format_args!("{name}: Cannot open: {}", reason(&error)));
        job.failed = true;
    }
    Ok(())
}

/// Returns the path that a name means beneath the folder: nothing leads out of it.
fn inner(name: &str, strip: usize) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::ParentDir => return None,
            _ => {}
        }
    }
    if strip > 0 && parts.len() <= strip {
        return None;
    }
    Some(parts.into_iter().skip(strip).collect())
}

fn place(folder: &Path, inner: &Path, entry: &mut Entry<'_, Box<dyn Read + '_>>, now: bool) -> io::Result<()> {
    let path = folder.join(inner);
    // A link that an earlier member made must not lead a later one away.
    let mut above = folder.to_owned();
    for part in inner.parent().into_iter().flat_map(Path::components) {
        above.push(part);
        if above.is_symlink() {
            fs::remove_file(&above)?;
        }
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let header = entry.header().clone();
    let kind = header.entry_type();
    if !kind.is_dir() && path.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
        fs::remove_file(&path)?;
    }
    match kind {
        EntryType::Directory => {
            if path.is_dir() {
                return Ok(());
            }
            return fs::create_dir(&path);
        }
        EntryType::Symlink => {
            let target = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
            return facts::link(&target.to_string_lossy(), &path);
        }
        EntryType::Link => {
            let target = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
            let target = self::inner(&target.to_string_lossy(), 0).ok_or(io::ErrorKind::InvalidData)?;
            return fs::hard_link(folder.join(target), &path);
        }
        kind if kind.is_file() => {}
        _ => return Err(io::ErrorKind::Unsupported.into()),
    }
    let mut file = fs::File::create(&path)?;
    io::copy(entry, &mut file)?;
    if !now {
        file.set_modified(UNIX_EPOCH + Duration::from_secs(header.mtime()?))?;
    }
    facts::set_mode(&path, header.mode()? & 0o755)
}
