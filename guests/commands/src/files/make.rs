//! `mkdir`, `rmdir`, `touch`, `ln`, `mktemp`, `truncate`, `chmod`.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::Invocation;
use crate::clock;
use crate::facts::{self, Facts};
use crate::numbers::{self, Random};
use crate::options::Spec;
use crate::report::{Outcome, Stop, complain, reason};

const MKDIR: Spec = Spec::new("p/parents m/mode= v/verbose Z context?");

pub(crate) fn mkdir(invocation: &mut Invocation<'_>) -> Outcome {
    let options = MKDIR.parse(invocation.args)?;
    if options.operands.is_empty() {
        return Err(MKDIR.wrong("mkdir", "missing operand"));
    }
    let mut code = 0;
    for operand in &options.operands {
        let path = invocation.path(operand);
        let existed = path.is_dir();
        let made = if options.has("p") { fs::create_dir_all(&path) } else { fs::create_dir(&path) };
        match made {
            Ok(()) if options.has("v") && !existed => {
                writeln!(invocation.stdout, "mkdir: created directory '{operand}'")?;
            }
            Ok(()) => {}
            Err(error) => {
                complain(invocation, format_args!("cannot create directory '{operand}': {}", reason(&error)));
                code = 1;
            }
        }
    }
    Ok(code)
}

const RMDIR: Spec = Spec::new("p/parents v/verbose ignore-fail-on-non-empty");

pub(crate) fn rmdir(invocation: &mut Invocation<'_>) -> Outcome {
    let options = RMDIR.parse(invocation.args)?;
    if options.operands.is_empty() {
        return Err(RMDIR.wrong("rmdir", "missing operand"));
    }
    let mut code = 0;
    for operand in &options.operands {
        let mut name = operand.trim_end_matches('/');
        loop {
            let path = invocation.path(name);
            let removed = if path.is_symlink() || path.is_file() {
                Err(io::ErrorKind::NotADirectory.into())
            } else {
                fs::remove_dir(&path)
            };
            if options.has("v") {
                writeln!(invocation.stdout, "rmdir: removing directory, '{name}'")?;
            }
            if let Err(error) = removed {
                let tolerated =
                    options.has("ignore-fail-on-non-empty") && error.kind() == io::ErrorKind::DirectoryNotEmpty;
                if !tolerated {
                    complain(invocation, format_args!("failed to remove '{name}': {}", reason(&error)));
                    code = 1;
                }
                break;
            }
            match name.rsplit_once('/').filter(|(folder, _)| options.has("p") && !folder.is_empty()) {
                Some((folder, _)) => name = folder,
                None => break,
            }
        }
    }
    Ok(code)
}

const TOUCH: Spec = Spec::new("a c/no-create m r/reference= d/date= t= h/no-dereference f time=");

pub(crate) fn touch(invocation: &mut Invocation<'_>) -> Outcome {
    let options = TOUCH.parse(invocation.args)?;
    if options.operands.is_empty() {
        return Err(TOUCH.wrong("touch", "missing file operand"));
    }
    let now = SystemTime::now();
    let (accessed, modified) = if let Some(reference) = options.value("r") {
        let failed = |error| Stop::failed(format!("failed to get attributes of '{reference}': {}", reason(&error)));
        let facts = Facts::read(&invocation.path(reference), true).map_err(failed)?;
        (facts.accessed, facts.modified)
    } else if let Some(text) = options.value("d") {
        let time = crate::date::parse(text, clock::now())
            .ok_or_else(|| Stop::failed(format!("invalid date format '{text}'")))?;
        (clock::system(time), clock::system(time))
    } else if let Some(text) = options.value("t") {
        let time =
            crate::date::parse_compact(text).ok_or_else(|| Stop::failed(format!("invalid date format '{text}'")))?;
        (clock::system(time), clock::system(time))
    } else {
        (now, now)
    };
    let mut times = fs::FileTimes::new();
    if !options.has("m") || options.has("a") {
        times = times.set_accessed(accessed);
    }
    if !options.has("a") || options.has("m") {
        times = times.set_modified(modified);
    }
    let mut code = 0;
    for operand in &options.operands {
        let path = invocation.path(operand);
        if options.has("c") && !path.exists() {
            continue;
        }
        if let Err(error) = touch_one(&path, times) {
            complain(invocation, format_args!("cannot touch '{operand}': {}", reason(&error)));
            code = 1;
        }
    }
    Ok(code)
}

fn touch_one(path: &Path, times: fs::FileTimes) -> io::Result<()> {
    let file =
        if path.is_dir() { fs::File::open(path)? } else { fs::File::options().create(true).append(true).open(path)? };
    file.set_times(times)
}

const LN: Spec = Spec::new(
    "s/symbolic f/force n/no-dereference v/verbose T/no-target-directory t/target-directory= r/relative b i/interactive \
     L/logical P/physical",
);

pub(crate) fn ln(invocation: &mut Invocation<'_>) -> Outcome {
    let options = LN.parse(invocation.args)?;
    let mut sources = options.operands.clone();
    let target = match options.value("t") {
        Some(target) => target,
        None if sources.is_empty() => return Err(LN.wrong("ln", "missing file operand")),
        None if sources.len() == 1 => ".",
        None => sources.pop().expect("there are two at least"),
    };
    let target_path = invocation.path(target);
    let is_folder = target_path.is_dir() && !(options.has("n") && target_path.is_symlink());
    let into = is_folder && !options.has("T");
    if !into && sources.len() > 1 {
        return Err(Stop::failed(format!("target '{target}': Not a directory")));
    }
    let mut code = 0;
    for source in sources {
        let to = super::copy::landing(&target_path, source, into);
        let shown = if into {
            format!("{}/{}", target.trim_end_matches('/'), crate::words::last_part(source))
        } else {
            target.to_owned()
        };
        if options.has("f") && to.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            fs::remove_file(&to)
                .map_err(|error| Stop::failed(format!("cannot remove '{shown}': {}", reason(&error))))?;
        }
        let made = if options.has("r") {
            let folder = to.parent().unwrap_or(&to).to_owned();
            facts::link(&super::resolve::relative_to(&invocation.path(source), &folder), &to)
        } else if options.has("s") {
            facts::link(source, &to)
        } else if invocation.path(source).is_dir() {
            complain(invocation, format_args!("{source}: hard link not allowed for directory"));
            code = 1;
            continue;
        } else {
            fs::hard_link(invocation.path(source), &to)
        };
        if let Err(error) = made {
            let kind = if options.has("s") { "symbolic link" } else { "hard link" };
            let what = if error.kind() == io::ErrorKind::NotFound && !options.has("s") {
                format!("failed to access '{source}'")
            } else {
                format!("failed to create {kind} '{shown}'")
            };
            complain(invocation, format_args!("{what}: {}", reason(&error)));
            code = 1;
        } else if options.has("v") {
            let arrow = if options.has("s") { "->" } else { "=>" };
            writeln!(invocation.stdout, "'{shown}' {arrow} '{source}'")?;
        }
    }
    Ok(code)
}

const MKTEMP: Spec = Spec::new("d/directory u/dry-run q/quiet p/tmpdir= t suffix=");

pub(crate) fn mktemp(invocation: &mut Invocation<'_>) -> Outcome {
    /// Names that are taken again and again are no accident.
    const MAX_TRIES: usize = 64;
    let args: Vec<String> = invocation
        .args
        .iter()
        .map(|word| if word == "--tmpdir" { "--tmpdir=".to_owned() } else { word.clone() })
        .collect();
    let options = MKTEMP.parse(&args)?;
    let template = options.operands.first().copied();
    let usual = invocation.env.get("TMPDIR").map_or("/tmp", String::as_str);
    let folder = match options.value("p") {
        Some("") => Some(usual),
        Some(folder) => Some(folder),
        None if template.is_none() || options.has("t") => Some(usual),
        None => None,
    };
    let template = template.unwrap_or("tmp.XXXXXXXXXX");
    let suffix = options.value("suffix").unwrap_or_default();
    let (stem, tail) = match template.rfind('X') {
        Some(last) if suffix.is_empty() => template.split_at(last + 1),
        _ => (template, ""),
    };
    let letters = stem.len() - stem.trim_end_matches('X').len();
    if letters < 3 {
        return Err(Stop::failed(format!("too few X's in template '{template}'")));
    }
    let mut random = Random::default();
    for _ in 0..MAX_TRIES {
        let name: String = (0..letters).map(|_| letter(&mut random)).collect();
        let name = format!("{}{name}{tail}{suffix}", stem.trim_end_matches('X'));
        let shown = folder.map_or(name.clone(), |folder| format!("{}/{name}", folder.trim_end_matches('/')));
        let path = invocation.path(&shown);
        let made = if options.has("u") {
            Ok(())
        } else if options.has("d") {
            fs::create_dir(&path)
        } else {
            fs::File::options().write(true).create_new(true).open(&path).map(drop)
        };
        match made {
            Ok(()) => {
                writeln!(invocation.stdout, "{shown}")?;
                return Ok(0);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) if options.has("q") => return Ok(1),
            Err(error) => {
                let what = if options.has("d") { "directory" } else { "file" };
                return Err(Stop::failed(format!(
                    "failed to create {what} via template '{shown}': {}",
                    reason(&error)
                )));
            }
        }
    }
    Err(Stop::failed("every name that was tried is taken"))
}

fn letter(random: &mut Random) -> char {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let index = usize::try_from(random.below(LETTERS.len() as u64)).expect("below the length");
    char::from(LETTERS[index])
}

const TRUNCATE: Spec = Spec::new("s/size= c/no-create r/reference= o/io-blocks");

pub(crate) fn truncate(invocation: &mut Invocation<'_>) -> Outcome {
    let options = TRUNCATE.parse(invocation.args)?;
    if options.operands.is_empty() {
        return Err(TRUNCATE.wrong("truncate", "missing file operand"));
    }
    let base = match options.value("r") {
        Some(name) => Some(
            invocation
                .path(name)
                .metadata()
                .map_err(|error| Stop::failed(format!("cannot stat '{name}': {}", reason(&error))))?
                .len(),
        ),
        None => None,
    };
    let size = match (options.value("s"), base) {
        (Some(text), _) => text,
        (None, Some(_)) => "+0",
        (None, None) => return Err(TRUNCATE.wrong("truncate", "you must specify either '--size' or '--reference'")),
    };
    let mut code = 0;
    for operand in &options.operands {
        let path = invocation.path(operand);
        if options.has("c") && !path.exists() {
            continue;
        }
        let cut = || -> io::Result<()> {
            let file = fs::File::options().write(true).create(true).truncate(false).open(&path)?;
            let current = base.map_or_else(|| file.metadata().map(|found| found.len()), Ok)?;
            let wanted = wanted_size(size, current).ok_or(io::ErrorKind::InvalidInput)?;
            file.set_len(wanted)
        };
        if let Err(error) = cut() {
            complain(invocation, format_args!("cannot open '{operand}' for writing: {}", reason(&error)));
            code = 1;
        }
    }
    Ok(code)
}

/// Returns the size that `+1K`, `-5`, `<10`, `>10`, `/4`, `%4` or a number mean.
fn wanted_size(text: &str, current: u64) -> Option<u64> {
    let (sign, digits) = match text.chars().next()? {
        sign @ ('+' | '-' | '<' | '>' | '/' | '%') => (Some(sign), &text[1..]),
        _ => (None, text),
    };
    let number = numbers::size(digits)?;
    Some(match sign {
        None => number,
        Some('+') => current.checked_add(number)?,
        Some('-') => current.saturating_sub(number),
        Some('<') => current.min(number),
        Some('>') => current.max(number),
        Some('/') => current - current.checked_rem(number)?,
        Some(_) => current.checked_next_multiple_of(number)?,
    })
}

const CHMOD: Spec = Spec::new(
    "R/recursive v/verbose c/changes f/silent/quiet reference= preserve-root no-preserve-root r w x X s t u g o a",
);

pub(crate) fn chmod(invocation: &mut Invocation<'_>) -> Outcome {
    // `-x` is a mode, and no option.
    let is_mode =
        |word: &String| word.len() > 1 && word.starts_with('-') && word[1..].chars().all(|c| "rwxXst".contains(c));
    let mut words: Vec<String> = invocation.args.to_vec();
    let taken = words.iter().skip(1).position(is_mode).map(|at| words.remove(at + 1));
    let options = CHMOD.parse(&words)?;
    let mut operands = options.operands.iter().copied();
    let mode = match &taken {
        Some(mode) => mode.as_str(),
        None => operands.next().ok_or_else(|| CHMOD.wrong("chmod", "missing operand"))?,
    };
    let changes = Mode::parse(mode).ok_or_else(|| CHMOD.wrong("chmod", &format!("invalid mode: '{mode}'")))?;
    let operands: Vec<&str> = operands.collect();
    if operands.is_empty() {
        return Err(CHMOD.wrong("chmod", &format!("missing operand after '{mode}'")));
    }
    let mut code = 0;
    for operand in operands {
        let path = invocation.path(operand);
        if let Err(error) = change_mode(&path, &changes, options.has("R"), 0) {
            code = 1;
            if !options.has("f") {
                complain(invocation, format_args!("cannot access '{operand}': {}", reason(&error)));
            }
        }
    }
    Ok(code)
}

fn change_mode(path: &Path, mode: &Mode, recursive: bool, depth: usize) -> io::Result<()> {
    let facts = Facts::read(path, true)?;
    facts::set_mode(path, mode.applied(facts.mode, facts.kind == facts::Kind::Folder))?;
    if recursive && facts.kind == facts::Kind::Folder && !path.is_symlink() && depth < super::MAX_DEPTH {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if !entry.path().is_symlink() {
                change_mode(&entry.path(), mode, true, depth + 1)?;
            }
        }
    }
    Ok(())
}

/// Permission bits, or changes to them.
enum Mode {
    Bits(u32),
    Changes(Vec<Change>),
}

struct Change {
    who: u32,
    sign: char,
    letters: String,
}

impl Mode {
    fn parse(text: &str) -> Option<Self> {
        if text.chars().all(|c| c.is_digit(8)) {
            return u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777).map(Self::Bits);
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            let rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
            let who = Self::who(&clause[..clause.len() - rest.len()]);
            let mut rest = rest;
            while let Some(sign) = rest.chars().next() {
                if !"+-=".contains(sign) {
                    return None;
                }
                let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
                let letters = &rest[1..end];
                if !letters.chars().all(|c| "rwxXstugo".contains(c)) {
                    return None;
                }
                changes.push(Change { who, sign, letters: letters.to_owned() });
                rest = &rest[end..];
            }
        }
        (!changes.is_empty()).then_some(Self::Changes(changes))
    }

    fn who(letters: &str) -> u32 {
        let all = letters.is_empty() || letters.contains('a');
        let bits = |letter: char, bits: u32| if all || letters.contains(letter) { bits } else { 0 };
        bits('u', 0o700) | bits('g', 0o070) | bits('o', 0o007)
    }

    fn applied(&self, mode: u32, is_folder: bool) -> u32 {
        match self {
            Self::Bits(bits) => *bits,
            Self::Changes(changes) => changes.iter().fold(mode, |mode, change| change.applied(mode, is_folder)),
        }
    }
}

impl Change {
    fn applied(&self, mode: u32, is_folder: bool) -> u32 {
        let of = |letter: char| match letter {
            'r' => 0o444,
            'w' => 0o222,
            'x' => 0o111,
            'X' if is_folder || mode & 0o111 != 0 => 0o111,
            'u' => (mode >> 6 & 7) * 0o111,
            'g' => (mode >> 3 & 7) * 0o111,
            'o' => (mode & 7) * 0o111,
            _ => 0,
        };
        let bits = self.letters.chars().fold(0, |bits, letter| bits | of(letter)) & self.who;
        match self.sign {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => mode & !self.who | bits,
        }
    }
}
