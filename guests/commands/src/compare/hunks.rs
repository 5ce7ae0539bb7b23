//! Which lines differ, and how that is shown.

use std::ops::Range;

use similar::{Algorithm, DiffTag, capture_diff_slices};

/// Lines of the old file that the new file has otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) old: Range<usize>,
    pub(super) new: Range<usize>,
}

pub(super) fn compare(old: &[Vec<u8>], new: &[Vec<u8>]) -> Vec<Hunk> {
    let operations = capture_diff_slices(Algorithm::Myers, old, new);
    let mut changed = (vec![false; old.len()], vec![false; new.len()]);
    for operation in operations {
        let (tag, olds, news) = operation.as_tag_tuple();
        if tag != DiffTag::Equal {
            changed.0[olds].fill(true);
            changed.1[news].fill(true);
        }
    }
    shift(&mut changed.0, &changed.1, old);
    shift(&mut changed.1, &changed.0, new);
    hunks(&changed.0, &changed.1)
}

/// Moves each run of changed lines down as far as it goes, but back to where the other side has a change too: of several
/// ways to say the same, this is the one that GNU's diff chooses.
fn shift(changed: &mut [bool], other: &[bool], lines: &[Vec<u8>]) {
    let mut run = Run { start: 0, end: 0, place: 0 };
    while run.find(changed, other) {
        loop {
            let length = run.end - run.start;
            while run.start > 0 && lines[run.start - 1] == lines[run.end - 1] {
                run.up(changed, other);
            }
            let mut beside = run.is_beside(other).then_some(run.end);
            while run.end < changed.len() && lines[run.start] == lines[run.end] {
                run.down(changed, other, &mut beside);
            }
            if run.end - run.start == length {
                while beside.is_some_and(|end| end < run.end) {
                    run.up(changed, other);
                }
                break;
            }
        }
    }
}

/// A run of changed lines, and the place in the other file that belongs to its end: after the changes there.
struct Run {
    start: usize,
    end: usize,
    place: usize,
}

impl Run {
    /// Goes on to the next run.
    fn find(&mut self, changed: &[bool], other: &[bool]) -> bool {
        let mut at = self.end;
        while at < changed.len() && !changed[at] {
            at += 1;
            self.place += 1;
            self.skip(other);
        }
        if at == 0 {
            self.skip(other);
        }
        self.start = at;
        while changed.get(at) == Some(&true) {
            at += 1;
        }
        self.end = at;
        self.start < self.end
    }

    fn skip(&mut self, other: &[bool]) {
        while other.get(self.place) == Some(&true) {
            self.place += 1;
        }
    }

    /// Returns whether the other side has a change here.
    fn is_beside(&self, other: &[bool]) -> bool {
        self.place > 0 && other.get(self.place - 1) == Some(&true)
    }

    fn up(&mut self, changed: &mut [bool], other: &[bool]) {
        self.start -= 1;
        self.end -= 1;
        changed[self.start] = true;
        changed[self.end] = false;
        while self.start > 0 && changed[self.start - 1] {
            self.start -= 1;
        }
        // Over the changes here, and over the equal line before them.
        while self.is_beside(other) {
            self.place -= 1;
        }
        self.place = self.place.saturating_sub(1);
    }

    fn down(&mut self, changed: &mut [bool], other: &[bool], beside: &mut Option<usize>) {
        changed[self.start] = false;
        changed[self.end] = true;
        self.start += 1;
        self.end += 1;
        while changed.get(self.end) == Some(&true) {
            self.end += 1;
        }
        let before = self.place + 1;
        self.place = before;
        self.skip(other);
        if self.place > before {
            *beside = Some(self.end);
        }
    }
}

fn hunks(old: &[bool], new: &[bool]) -> Vec<Hunk> {
    let mut hunks = Vec::new();
    let (mut left, mut right) = (0, 0);
    while left < old.len() || right < new.len() {
        let (from_left, from_right) = (left, right);
        while old.get(left) == Some(&true) {
            left += 1;
        }
        while new.get(right) == Some(&true) {
            right += 1;
        }
        if (left, right) == (from_left, from_right) {
            left += 1;
            right += 1;
        } else {
            hunks.push(Hunk { old: from_left..left, new: from_right..right });
        }
    }
    hunks
}

const NO_END: &[u8] = b"\n\\ No newline at end of file\n";

fn push_line(mark: &str, line: &[u8], text: &mut Vec<u8>) {
    text.extend(mark.bytes());
    if line.strip_suffix(b"\n").is_some() {
        text.extend(line);
    } else {
        text.extend(line);
        text.extend(NO_END);
    }
}

/// Returns lines as the normal output names them: from one, or the line before where there are none.
fn shown(range: &Range<usize>) -> String {
    match range.len() {
        0 => range.start.to_string(),
        1 => (range.start + 1).to_string(),
        _ => format!("{},{}", range.start + 1, range.end),
    }
}

pub(super) fn normal(hunks: &[Hunk], old: &[&[u8]], new: &[&[u8]]) -> Vec<u8> {
    let mut text = Vec::new();
    for hunk in hunks {
        let letter = match (hunk.old.is_empty(), hunk.new.is_empty()) {
            (true, _) => 'a',
            (_, true) => 'd',
            _ => 'c',
        };
        text.extend(format!("{}{letter}{}\n", shown(&hunk.old), shown(&hunk.new)).bytes());
        old[hunk.old.clone()].iter().for_each(|line| push_line("< ", line, &mut text));
        if letter == 'c' {
            text.extend(b"---\n");
        }
        new[hunk.new.clone()].iter().for_each(|line| push_line("> ", line, &mut text));
    }
    text
}

pub(super) fn unified(hunks: &[Hunk], old: &[&[u8]], new: &[&[u8]], context: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = hunks;
    while !rest.is_empty() {
        let near = |pair: &[Hunk]| pair[1].old.start - pair[0].old.end <= 2 * context;
        let count = 1 + rest.windows(2).take_while(|pair| near(pair)).count();
        let (group, after) = rest.split_at(count);
        one_unified(group, old, new, context, &mut text);
        rest = after;
    }
    text
}

fn one_unified(group: &[Hunk], old: &[&[u8]], new: &[&[u8]], context: usize, text: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let before = first.old.start.min(context);
    let after = (old.len() - last.old.end).min(context);
    let olds = first.old.start - before..last.old.end + after;
    let news = first.new.start - before..last.new.end + after;
    let range = |range: &Range<usize>| match range.len() {
        0 => format!("{},0", range.start),
        1 => (range.start + 1).to_string(),
        count => format!("{},{count}", range.start + 1),
    };
    text.extend(format!("@@ -{} +{} @@\n", range(&olds), range(&news)).bytes());
    let mut at = olds.start;
    for hunk in group {
        old[at..hunk.old.start].iter().for_each(|line| push_line(" ", line, text));
        old[hunk.old.clone()].iter().for_each(|line| push_line("-", line, text));
        new[hunk.new.clone()].iter().for_each(|line| push_line("+", line, text));
        at = hunk.old.end;
    }
    old[at..olds.end].iter().for_each(|line| push_line(" ", line, text));
}
