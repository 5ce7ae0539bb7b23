//! `boxagnts gc`: freeing what is kept of the past.

use protocol::SessionId;
use workspace::{Collected, Retention, RetentionSpec, Workspace};

use super::print;
use crate::args::{Gc, Place};
use crate::boot::{Site, random};
use crate::exit::{Exit, Failure};

pub(crate) fn gc(place: &Place, gc: &Gc) -> Result<Exit, Failure> {
    let site = Site::find(place)?;
    let typed = RetentionSpec { max_size: gc.max_size, keep_days: gc.keep_days };
    let retention = typed.over(site.config.retention).map_err(Failure::usage)?;
    let workspace = site.workspace()?;
    // What is freed belongs to many sessions, and is recorded under none of them.
    let collected = workspace.collect(&SessionId::from_random(random()), &retention, gc.dry_run)?;
    print(&told(&collected, &retention, gc.dry_run))?;
    Ok(Exit::Done)
}

/// Frees what is too much after a session, when nobody waits any more. A failure is told, and changes nothing of how the
/// session ended.
pub(crate) fn after_session(site: &Site, workspace: &Workspace, session: &SessionId) {
    let retention = &site.config.retention;
    let collected = match workspace.is_over(retention) {
        Ok(false) => return,
        Ok(true) => workspace.collect(session, retention, false),
        Err(error) => Err(error),
    };
    match collected {
        Ok(collected) if collected.freed_bytes > 0 => eprintln!("note: {}", told(&collected, retention, false)),
        Ok(_) => {}
        Err(error) => eprintln!("warning: what is kept of old changes could not be freed: {error}"),
    }
}

fn told(collected: &Collected, retention: &Retention, is_trial: bool) -> String {
    let counts = [
        (collected.contents, "content of old changes", "contents of old changes and calls"),
        (collected.results, "whole result", "whole results"),
        (collected.folders, "folder of a session", "folders of sessions"),
        (collected.leftovers, "leftover", "leftovers"),
    ];
    let counted = |(count, one, many): (usize, &str, &str)| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let parts: Vec<String> = counts.into_iter().filter_map(counted).collect();
    let kept = format!("kept: {} of at most {}", size(collected.kept_bytes), size(retention.max_bytes));
    let freed = match (parts.is_empty(), is_trial) {
        (true, _) => "nothing to free".to_owned(),
        (false, true) => format!("would free {}: {}", parts.join(", "), size(collected.freed_bytes)),
        (false, false) => format!("freed {}: {}", parts.join(", "), size(collected.freed_bytes)),
    };
    let rest = if collected.kept_bytes > retention.max_bytes {
        "; the rest is too young, or needed by sessions and commits that can go on"
    } else {
        ""
    };
    format!("{freed}; {kept}{rest}")
}

/// Returns a number of bytes as people read it.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        None => format!("{bytes} bytes"),
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let sizes = [0, 1023, 1024, 1536, 2 << 30, u64::MAX];
        let expected = ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "2.0 GiB", "16777215.9 TiB"];
        assert_eq!(sizes.map(size), expected);
    }

    #[test]
    fn a_person_is_told_what_was_freed_and_why_the_rest_was_not() {
        let retention = Retention { max_bytes: 1 << 20, keep_ms: 0 };
        let some =
            Collected { contents: 12, results: 1, freed_bytes: 3 << 20, kept_bytes: 1 << 19, ..Collected::default() };
        insta::assert_snapshot!(told(&some, &retention, false), @"freed 12 contents of old changes and calls, 1 whole result: 3.0 MiB; kept: 512.0 KiB of at most 1.0 MiB");
        insta::assert_snapshot!(told(&some, &retention, true), @"would free 12 contents of old changes and calls, 1 whole result: 3.0 MiB; kept: 512.0 KiB of at most 1.0 MiB");
        let none = Collected { kept_bytes: 2 << 20, ..Collected::default() };
        insta::assert_snapshot!(told(&none, &retention, false), @"nothing to free; kept: 2.0 MiB of at most 1.0 MiB; the rest is too young, or needed by sessions and commits that can go on");
    }
}
