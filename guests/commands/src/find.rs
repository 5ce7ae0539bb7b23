//! `find`.

mod parse;

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::Invocation;
use crate::clock;
use crate::facts::{self, Facts, Kind};
use crate::report::{Outcome, Stop, complain, reason};

use parse::{Action, Compared, Expression, Request, Test};

/// Deeper folders than these are a loop of links, or an attack on the stack.
const MAX_DEPTH: usize = 256;
/// Words of one `-exec … +`: more than a system's command line takes.
const MAX_WORDS: usize = 4_096;

pub(crate) fn find(invocation: &mut Invocation<'_>) -> Outcome {
    let request = parse::parse(invocation)?;
    let mut walk = Walk {
        request: &request,
        now: SystemTime::now(),
        failed: false,
        quit: false,
        pending: RefCell::new(vec![Vec::new(); request.batches]),
    };
    for start in &request.starts {
        if walk.quit {
            break;
        }
        let path = invocation.path(start);
        walk.visit(invocation, &path, start, 0)?;
    }
    walk.finish(invocation);
    Ok(i32::from(walk.failed))
}

struct Walk<'r> {
    request: &'r Request,
    now: SystemTime,
    failed: bool,
    quit: bool,
    /// What each `-exec … +` has collected.
    pending: RefCell<Vec<Vec<String>>>,
}

/// One file on the way.
struct Visit<'v> {
    path: &'v Path,
    shown: &'v str,
    depth: usize,
    facts: Facts,
    pruned: bool,
}

impl Walk<'_> {
    fn visit(&mut self, invocation: &mut Invocation<'_>, path: &Path, shown: &str, depth: usize) -> Result<(), Stop> {
        let follow = self.request.follow;
        let facts = match Facts::read(path, follow).or_else(|_| Facts::read(path, false)) {
            Ok(facts) => facts,
            Err(error) => {
                complain(invocation, format_args!("'{shown}': {}", reason(&error)));
                self.failed = true;
                return Ok(());
            }
        };
        let is_folder = facts.kind == Kind::Folder;
        let mut visit = Visit { path, shown, depth, facts, pruned: false };
        if !self.request.depth_first {
            self.judge(invocation, &mut visit)?;
        }
        if is_folder && !visit.pruned && !self.quit && depth < self.request.max_depth.min(MAX_DEPTH) {
            self.children(invocation, path, shown, depth)?;
        }
        if self.request.depth_first && !self.quit {
            self.judge(invocation, &mut visit)?;
        }
        Ok(())
    }

    fn children(
        &mut self,
        invocation: &mut Invocation<'_>,
        path: &Path,
        shown: &str,
        depth: usize,
    ) -> Result<(), Stop> {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                complain(invocation, format_args!("'{shown}': {}", reason(&error)));
                self.failed = true;
                return Ok(());
            }
        };
        // The order is free; the same every time is better.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.quit {
                break;
            }
            let name = entry.file_name();
            let separator = if shown.ends_with('/') { "" } else { "/" };
            let below = format!("{shown}{separator}{}", name.to_string_lossy());
            self.visit(invocation, &entry.path(), &below, depth + 1)?;
        }
        Ok(())
    }

    fn judge(&mut self, invocation: &mut Invocation<'_>, visit: &mut Visit<'_>) -> Result<(), Stop> {
        if visit.depth < self.request.min_depth {
            return Ok(());
        }
        let request = self.request;
        self.holds(invocation, visit, &request.expression).map(drop)
    }

    fn holds(
        &mut self,
        invocation: &mut Invocation<'_>,
        visit: &mut Visit<'_>,
        expression: &Expression,
    ) -> Result<bool, Stop> {
        Ok(match expression {
            Expression::And(parts) => {
                for part in parts {
                    if !self.holds(invocation, visit, part)? || self.quit {
                        return Ok(false);
                    }
                }
                true
            }
            Expression::Or(parts) => {
                for part in parts {
                    if self.holds(invocation, visit, part)? || self.quit {
                        return Ok(true);
                    }
                }
                false
            }
            Expression::Comma(parts) => {
                let mut last = false;
                for part in parts {
                    last = self.holds(invocation, visit, part)?;
                }
                last
            }
            Expression::Not(inner) => !self.holds(invocation, visit, inner)?,
            Expression::Test(test) => self.test(visit, test),
            Expression::Action(action) => self.act(invocation, visit, action)?,
        })
    }

    fn test(&self, visit: &Visit<'_>, test: &Test) -> bool {
        let name =
            if visit.shown.trim_end_matches('/').is_empty() { "/" } else { crate::words::last_part(visit.shown) };
        match test {
            Test::Constant(answer) => *answer,
            Test::Name(glob) => glob.is_match(name),
            Test::Path(glob) => glob.is_match(visit.shown),
            Test::Regex(pattern) => pattern.find_at(visit.shown.as_bytes(), 0) == Some((0, visit.shown.len())),
            Test::Kinds(kinds) => kinds.contains(&visit.facts.kind),
            Test::Size(compared, unit) => compared.holds(visit.facts.size.div_ceil(*unit)),
            Test::Empty => match visit.facts.kind {
                Kind::File => visit.facts.size == 0,
                Kind::Folder => fs::read_dir(visit.path).is_ok_and(|mut entries| entries.next().is_none()),
                _ => false,
            },
            Test::Newer(than) => visit.facts.modified > *than,
            Test::Age(compared, unit) => {
                let age = self.now.duration_since(visit.facts.modified).unwrap_or_default().as_secs();
                // Minutes are rounded up, days are cut off, as GNU does.
                compared.holds(if *unit == 60 { age.div_ceil(60) } else { age / unit })
            }
            Test::SameFile(facts) => visit.facts.is_same(facts),
            Test::Links(compared) => compared.holds(visit.facts.links),
            Test::Inode(compared) => compared.holds(visit.facts.inode),
            Test::Executable => facts::is_executable(visit.path),
            Test::Permissions(mode, how) => match how {
                '-' => visit.facts.mode & mode == *mode,
                '/' => *mode == 0 || visit.facts.mode & mode != 0,
                _ => visit.facts.mode == *mode,
            },
            Test::LinkName(glob) => {
                fs::read_link(visit.path).is_ok_and(|target| glob.is_match(&target.to_string_lossy()))
            }
        }
    }

    fn act(&mut self, invocation: &mut Invocation<'_>, visit: &mut Visit<'_>, action: &Action) -> Result<bool, Stop> {
        match action {
            Action::Print(end) => write!(invocation.stdout, "{}{end}", visit.shown)?,
            Action::Printf(format) => {
                let text = formatted(visit, format);
                invocation.stdout.write_all(&text)?;
            }
            Action::List => {
                let facts = &visit.facts;
                let time = crate::date::format("%b %e %H:%M", clock::timestamp(facts.modified));
                let user = crate::system::USER;
                writeln!(
                    invocation.stdout,
                    "{:9} {:6} {} {:3} {user:8} {user:8} {:8} {time} {}",
                    facts.inode,
                    facts.blocks / 2,
                    facts.mode_text(),
                    facts.links,
                    facts.size,
                    visit.shown
                )?;
            }
            Action::Prune => visit.pruned = true,
            Action::Quit => self.quit = true,
            Action::Delete => return Ok(self.delete(invocation, visit)),
            Action::Run(words, in_folder) => {
                let name = crate::words::last_part(visit.shown);
                let shown = if *in_folder { format!("./{name}") } else { visit.shown.to_owned() };
                let argv: Vec<String> = words.iter().map(|word| word.replace("{}", &shown)).collect();
                return Ok(run(invocation, &argv) == 0);
            }
            Action::RunMany(words, batch) => {
                self.pending.borrow_mut()[*batch].push(visit.shown.to_owned());
                if self.pending.borrow()[*batch].len() >= MAX_WORDS {
                    self.run_batch(invocation, words, *batch);
                }
            }
        }
        Ok(true)
    }

    fn delete(&mut self, invocation: &mut Invocation<'_>, visit: &Visit<'_>) -> bool {
        if matches!(visit.shown, "." | "./") {
            return true;
        }
        let removed =
            if visit.facts.kind == Kind::Folder { fs::remove_dir(visit.path) } else { fs::remove_file(visit.path) };
        if let Err(error) = &removed {
            complain(invocation, format_args!("cannot delete '{}': {}", visit.shown, reason(error)));
            self.failed = true;
        }
        removed.is_ok()
    }

    fn run_batch(&mut self, invocation: &mut Invocation<'_>, words: &[String], batch: usize) {
        let found = std::mem::take(&mut self.pending.borrow_mut()[batch]);
        if found.is_empty() {
            return;
        }
        let argv: Vec<String> = words.iter().cloned().chain(found).collect();
        self.failed |= run(invocation, &argv) != 0;
    }

    fn finish(&mut self, invocation: &mut Invocation<'_>) {
        let request = self.request;
        for (batch, words) in request.expression.batches() {
            self.run_batch(invocation, words, batch);
        }
    }
}

fn run(invocation: &mut Invocation<'_>, argv: &[String]) -> i32 {
    invocation.runner.run(argv, invocation.env, &mut io::empty(), invocation.stdout, invocation.stderr)
}

impl Compared {
    fn holds(self, number: u64) -> bool {
        match self {
            Self::More(than) => number > than,
            Self::Less(than) => number < than,
            Self::Exactly(than) => number == than,
        }
    }
}

fn formatted(visit: &Visit<'_>, format: &str) -> Vec<u8> {
    let (format, _) = crate::escape::expand(format.as_bytes(), crate::escape::Octal::Plain);
    let mut output = Vec::new();
    let mut bytes = format.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            output.push(byte);
            continue;
        }
        let mut flags = Vec::new();
        while let Some(flag) = bytes.next_if(|byte| byte.is_ascii_digit() || *byte == b'-') {
            flags.push(flag);
        }
        let kind = bytes.next().unwrap_or(b'%');
        let time = if matches!(kind, b'T' | b'A' | b'C') { bytes.next() } else { None };
        let text = directive(visit, kind, time);
        flags.push(b's');
        let padded = crate::format::Conversion::parse(&flags).map(|(conversion, _)| conversion.text(text.as_bytes()));
        output.extend(padded.unwrap_or_default());
    }
    output
}

fn directive(visit: &Visit<'_>, kind: u8, time: Option<u8>) -> String {
    let facts = &visit.facts;
    let stamp = |time: SystemTime| clock::timestamp(time);
    match kind {
        b'p' => visit.shown.to_owned(),
        b'f' => crate::words::last_part(visit.shown).to_owned(),
        b'h' => match visit.shown.rsplit_once('/') {
            Some((folder, _)) => folder.to_owned(),
            None => ".".to_owned(),
        },
        b'P' => visit
            .shown
            .split('/')
            .rev()
            .take(visit.depth)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("/"),
        b's' => facts.size.to_string(),
        b'd' => visit.depth.to_string(),
        b'm' => format!("{:o}", facts.mode),
        b'M' => facts.mode_text(),
        b'y' => match facts.kind {
            Kind::File => "f",
            Kind::Folder => "d",
            Kind::Link => "l",
            Kind::Other => "U",
        }
        .to_owned(),
        b'l' => fs::read_link(visit.path).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default(),
        b'i' => facts.inode.to_string(),
        b'n' => facts.links.to_string(),
        b'b' => facts.blocks.to_string(),
        b'k' => (facts.blocks / 2).to_string(),
        b'u' | b'g' => crate::system::USER.to_owned(),
        b't' => crate::date::format("%a %b %e %H:%M:%S.%N0 %Y", stamp(facts.modified)),
        b'T' | b'C' | b'A' => {
            let stamp = stamp(if kind == b'A' { facts.accessed } else { facts.modified });
            match time {
                Some(b'@') => format!("{}.{:09}0", stamp.as_second(), stamp.subsec_nanosecond()),
                Some(b'+') => crate::date::format("%Y-%m-%d+%H:%M:%S.%N0", stamp),
                Some(letter) => crate::date::format(&format!("%{}", char::from(letter)), stamp),
                None => String::new(),
            }
        }
        b'%' => "%".to_owned(),
        other => format!("%{}", char::from(other)),
    }
}
