//! `boxagnts audit`: whether the journal is what was written, and taking it elsewhere.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use protocol::SessionId;
use workspace::{ExportError, Standing, Verification, Workspace, for_terminal};

use super::print;
use crate::args::{Output, Place};
use crate::boot::Site;
use crate::exit::{Exit, Failure};
use crate::translate::{UNKNOWN, lookup, next};

pub(crate) fn verify(place: &Place, output: Output) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace_in_silence()?;
    let found = workspace.verify()?;
    match output {
        Output::Json => print(&serde_json::to_string(&found).expect("a verification is plain data"))?,
        Output::Text => print(&told(&found))?,
    }
    conclude(&found)
}

/// Returns what a person reads of a verification.
fn told(found: &Verification) -> String {
    let Verification { records, checkpoints, contents, .. } = found;
    let mut lines =
        vec![format!("{records} records, {checkpoints} checkpoints and {contents} small contents were read")];
    lines.extend(found.breaks.iter().map(|broken| format!("BROKEN  {}", for_terminal(&broken.to_string()))));
    if found.more_breaks > 0 {
        lines.push(format!("BROKEN  in {} more places", found.more_breaks));
    }
    if found.is_whole() {
        lines.push("the chain is whole".to_owned());
        lines.push(signed(found));
    }
    if found.foreign_checkpoints > 0 {
        lines.push(format!(
            "{} checkpoints are by other keys, from before it was accepted here",
            found.foreign_checkpoints
        ));
    }
    lines.push(format!("ends at record {}, {}", found.ends_at, found.head));
    lines.join("\n")
}

fn signed(found: &Verification) -> String {
    match (&found.standing, &found.key) {
        (Standing::Signed, Some(key)) => match found.ends_at - found.signed_to {
            0 => format!("signed to its end, with this workspace's key {key}"),
            unsigned => format!(
                "signed to record {}, with this workspace's key {key}; {unsigned} after it wait for the next signature",
                found.signed_to
            ),
        },
        (Standing::Unsigned, _) => "it is not signed: neither XDG_DATA_HOME nor HOME is set".to_owned(),
        _ => "this machine has no key for it, so its signatures cannot be held against a known one".to_owned(),
    }
}

fn conclude(found: &Verification) -> Result<Exit, Failure> {
    if let Some(broken) = found.breaks.first() {
        return Err(Failure::new(Exit::Journal, "the journal is broken").hint(next(broken)));
    }
    match found.standing {
        Standing::Unknown => Err(Failure::new(Exit::Journal, "the journal is whole, and not known here").hint(UNKNOWN)),
        _ => Ok(Exit::Done),
    }
}

pub(crate) fn export(place: &Place, file: &Path, sessions: &[String]) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace()?;
    let sessions = find(&workspace, sessions)?;
    // What is handed on is signed to its end.
    workspace.journal().sign()?;
    let exported = if file == Path::new("-") {
        workspace.journal().export(&sessions, &mut BufWriter::new(io::stdout().lock()))
    } else {
        to_file(&workspace, &sessions, file)
    };
    let exported = exported.map_err(|error| match error {
        ExportError::Journal(error) => error.into(),
        ExportError::Unreadable(_) => {
            Failure::new(Exit::Journal, error).hint("see what is wrong: boxagnts audit verify")
        }
        ExportError::Io(_) => Failure::usage(error),
    })?;
    let (records, head) = (exported.records, &exported.head);
    eprintln!("{records} records; the last one is {}, {head}", exported.ends_at);
    eprintln!("check it with: boxagnts-verify {}{}", for_terminal(&file.display().to_string()), key(&workspace)?);
    Ok(Exit::Done)
}

fn find(workspace: &Workspace, prefixes: &[String]) -> Result<Vec<SessionId>, Failure> {
    let find = |prefix: &String| {
        workspace.journal().find_session(prefix).map_err(|error| lookup(error, "boxagnts session list"))
    };
    prefixes.iter().map(find).collect()
}

/// Writes a new file that only its owner can read; one that is there is never overwritten.
fn to_file(workspace: &Workspace, sessions: &[SessionId], path: &Path) -> Result<workspace::Exported, ExportError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut target = BufWriter::new(file);
    let exported = workspace.journal().export(sessions, &mut target)?;
    target.flush()?;
    target.get_ref().sync_all()?;
    Ok(exported)
}

/// Returns the argument that holds the export against this workspace's key.
fn key(workspace: &Workspace) -> Result<String, Failure> {
    Ok(workspace.journal().public_key()?.map_or_else(String::new, |key| format!(" --key {key}")))
}

pub(crate) fn accept(place: &Place) -> Result<Exit, Failure> {
    let workspace = Site::find(place)?.workspace_in_silence()?;
    match workspace.journal().standing() {
        Standing::Signed => print("This journal is known and signed; there is nothing to accept.")?,
        _ => print(&format!("{} records are this workspace's own from now on, and signed.", workspace.accept()?))?,
    }
    Ok(Exit::Done)
}
