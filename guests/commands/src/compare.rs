//! Differences: `cmp`, `diff`.

mod hunks;

use std::collections::BTreeSet;
use std::fs;
use std::io::BufRead;
use std::path::Path;

use crate::Invocation;
use crate::input;
use crate::numbers;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop, complain, reason};

use hunks::Hunk;

/// Exit code when something could not be compared.
const TROUBLE: i32 = 2;
/// Deeper folders than these are a loop of links, or an attack on the stack.
const MAX_DEPTH: usize = 256;

const CMP: Spec = Spec::new("s/quiet/silent l/verbose b/print-bytes n/bytes= i/ignore-initial=").fails_with(TROUBLE);

pub(crate) fn cmp(invocation: &mut Invocation<'_>) -> Outcome {
    let options = CMP.parse(invocation.args)?;
    let (left, right) = match options.operands.as_slice() {
        [left] => (*left, "-"),
        [left, right] => (*left, *right),
        [] => return Err(CMP.wrong("cmp", "missing operand after 'cmp'")),
        [_, _, extra, ..] => return Err(CMP.wrong("cmp", &format!("extra operand '{extra}'"))),
    };
    let number = |name: &str, or: u64| match options.value(name) {
        Some(text) => {
            numbers::size(text).ok_or_else(|| Stop::code(TROUBLE, format!("invalid --{name} value '{text}'")))
        }
        None => Ok(or),
    };
    let (limit, skip) = (number("n", u64::MAX)?, number("i", 0)?);
    let content = |stdin: &mut dyn BufRead, name: &str| -> Result<Vec<u8>, Stop> {
        let failed = |error| Stop::code(TROUBLE, format!("{name}: {}", reason(&error)));
        let mut reader = input::open(invocation.cwd, stdin, name).map_err(failed)?;
        input::copy(&mut *reader, &mut std::io::sink(), skip)?;
        let mut content = Vec::new();
        input::copy(&mut *reader, &mut content, limit)?;
        Ok(content)
    };
    let (one, two) = (content(invocation.stdin, left)?, content(invocation.stdin, right)?);
    let quiet = options.has("s");
    let mut line = 1;
    let mut differs = false;
    for (at, (a, b)) in one.iter().zip(&two).enumerate() {
        if a != b {
            differs = true;
            if quiet {
                return Ok(1);
            }
            if !options.has("l") {
                let bytes = if options.has("b") {
                    format!(" is {a:3o} {} {b:3o} {}", char::from(*a), char::from(*b))
                } else {
                    String::new()
                };
                let unit = if options.has("b") { "byte" } else { "char" };
                writeln!(invocation.stdout, "{left} {right} differ: {unit} {}, line {line}{bytes}", at + 1)?;
                return Ok(1);
            }
            let width = one.len().max(two.len()).to_string().len();
            writeln!(invocation.stdout, "{:>width$} {a:3o} {b:3o}", at + 1)?;
        }
        line += u64::from(*a == b'\n');
    }
    if one.len() == two.len() {
        return Ok(i32::from(differs));
    }
    if !quiet {
        let (short, length) = if one.len() < two.len() { (left, one.len()) } else { (right, two.len()) };
        let text = match (length, options.has("l")) {
            (0, _) => format!("EOF on {short} which is empty"),
            (_, true) => format!("EOF on {short} after byte {length}"),
            _ if one.iter().take(length).next_back() == Some(&b'\n') => {
                format!("EOF on {short} after byte {length}, line {}", line - 1)
            }
            _ => format!("EOF on {short} after byte {length}, in line {line}"),
        };
        complain(invocation, text);
    }
    Ok(1)
}

const DIFF: Spec = Spec::new(
    "u U/unified= q/brief r/recursive N/new-file i/ignore-case w/ignore-all-space b/ignore-space-change B/ignore-blank-lines \
     s/report-identical-files a/text L/label= x/exclude= normal c C/context= y/side-by-side e/ed n/rcs color? E \
     strip-trailing-cr p F d/minimal t T no-dereference speed-large-files Z",
)
.fails_with(TROUBLE);

pub(crate) fn diff(invocation: &mut Invocation<'_>) -> Outcome {
    let options = DIFF.parse(invocation.args)?;
    if let Some(name) = ["c", "C", "y", "e", "n"].into_iter().find(|name| options.has(name)) {
        return Err(DIFF.wrong("diff", &format!("option -{name} is not supported: use -u or the normal output")));
    }
    let [left, right] = options.operands.as_slice() else {
        let text = match options.operands.as_slice() {
            [] => "missing operand after 'diff'".to_owned(),
            [only] => format!("missing operand after '{only}'"),
            [.., extra] => format!("extra operand '{extra}'"),
        };
        return Err(DIFF.wrong("diff", &text));
    };
    let context = match options.value("U") {
        Some(text) => Some(text.parse().map_err(|_| Stop::code(TROUBLE, format!("invalid context length '{text}'")))?),
        None => options.has("u").then_some(3),
    };
    let words: Vec<String> =
        invocation.args.iter().skip(1).filter(|word| word.starts_with('-') && word.len() > 1).cloned().collect();
    let mut comparison = Comparison {
        options: &options,
        context,
        command: format!("diff {}", words.join(" ")).trim_end().to_owned(),
        differs: false,
        trouble: false,
    };
    comparison.start(invocation, left, right)?;
    Ok(match (comparison.trouble, comparison.differs) {
        (true, _) => TROUBLE,
        (_, differs) => i32::from(differs),
    })
}

struct Comparison<'o> {
    options: &'o Options<'o>,
    context: Option<usize>,
    /// How the differences of files in folders are headed.
    command: String,
    differs: bool,
    trouble: bool,
}

/// One side.
struct Side {
    name: String,
    content: Vec<u8>,
    changed: String,
}

impl Comparison<'_> {
    fn start(&mut self, invocation: &mut Invocation<'_>, left: &str, right: &str) -> Result<(), Stop> {
        let (left_path, right_path) = (invocation.path(left), invocation.path(right));
        let folders = (left != "-" && left_path.is_dir(), right != "-" && right_path.is_dir());
        let within =
            |folder: &str, file: &str| format!("{}/{}", folder.trim_end_matches('/'), crate::words::last_part(file));
        match folders {
            (true, true) => self.folders(invocation, left, right, 0),
            (true, false) => self.files(invocation, &within(left, right), right, false),
            (false, true) => self.files(invocation, left, &within(right, left), false),
            _ => self.files(invocation, left, right, false),
        }
    }

    fn fail(&mut self, invocation: &mut Invocation<'_>, name: &str, error: &std::io::Error) {
        complain(invocation, format_args!("{name}: {}", reason(error)));
        self.trouble = true;
    }

    fn folders(&mut self, invocation: &mut Invocation<'_>, left: &str, right: &str, depth: usize) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::code(TROUBLE, format!("{left}: nested too deeply")));
        }
        let excluded: Vec<crate::name::Glob> = self
            .options
            .found
            .iter()
            .filter(|found| found.name == "x")
            .map(|found| crate::name::Glob::new(found.text()))
            .collect();
        let list = |name: &str| -> Result<BTreeSet<String>, Stop> {
            if self.options.has("N") && !invocation.path(name).exists() {
                return Ok(BTreeSet::new());
            }
            let entries = fs::read_dir(invocation.path(name))
                .map_err(|error| Stop::code(TROUBLE, format!("{name}: {}", reason(&error))))?;
            let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
            Ok(names.filter(|name| !excluded.iter().any(|glob| glob.is_match(name))).collect())
        };
        let (lefts, rights) = (list(left)?, list(right)?);
        for name in lefts.union(&rights) {
            let (one, two) =
                (format!("{}/{name}", left.trim_end_matches('/')), format!("{}/{name}", right.trim_end_matches('/')));
            let (one_folder, two_folder) = (invocation.path(&one).is_dir(), invocation.path(&two).is_dir());
            match (lefts.contains(name), rights.contains(name)) {
                (true, true) if one_folder && two_folder => {
                    if self.options.has("r") {
                        self.folders(invocation, &one, &two, depth + 1)?;
                    } else {
                        writeln!(invocation.stdout, "Common subdirectories: {one} and {two}")?;
                    }
                }
                (true, true) if one_folder || two_folder => {
                    let kind = |folder: bool| if folder { "directory" } else { "regular file" };
                    writeln!(
                        invocation.stdout,
                        "File {one} is a {} while file {two} is a {}",
                        kind(one_folder),
                        kind(two_folder)
                    )?;
                    self.differs = true;
                }
                (true, true) => self.files(invocation, &one, &two, true)?,
                _ if self.options.has("N") && !one_folder && !two_folder => self.files(invocation, &one, &two, true)?,
                _ if self.options.has("N") && self.options.has("r") => {
                    self.folders(invocation, &one, &two, depth + 1)?;
                }
                (true, _) => {
                    writeln!(invocation.stdout, "Only in {left}: {name}")?;
                    self.differs = true;
                }
                _ => {
                    writeln!(invocation.stdout, "Only in {right}: {name}")?;
                    self.differs = true;
                }
            }
        }
        Ok(())
    }

    fn side(&self, invocation: &mut Invocation<'_>, name: &str, in_folder: bool) -> Result<Side, std::io::Error> {
        let mut content = Vec::new();
        let path = invocation.path(name);
        let absent = (in_folder || self.options.has("N")) && name != "-" && !path.exists();
        if !absent {
            input::open(invocation.cwd, invocation.stdin, name)?.read_to_end(&mut content)?;
        }
        let changed = changed(&path, name, absent);
        Ok(Side { name: name.to_owned(), content, changed })
    }

    fn files(&mut self, invocation: &mut Invocation<'_>, left: &str, right: &str, in_folder: bool) -> Result<(), Stop> {
        let mut sides = Vec::new();
        for name in [left, right] {
            match self.side(invocation, name, in_folder) {
                Ok(side) => sides.push(side),
                Err(error) => self.fail(invocation, name, &error),
            }
        }
        let [one, two] = sides.as_slice() else { return Ok(()) };
        let same = one.content == two.content || self.hunks(one, two).is_empty();
        if same {
            if self.options.has("s") {
                writeln!(invocation.stdout, "Files {left} and {right} are identical")?;
            }
            return Ok(());
        }
        self.differs = true;
        if self.options.has("q") {
            writeln!(invocation.stdout, "Files {left} and {right} differ")?;
            return Ok(());
        }
        let is_binary = |side: &Side| side.content.contains(&0) && !self.options.has("a");
        if is_binary(one) || is_binary(two) {
            writeln!(invocation.stdout, "Binary files {left} and {right} differ")?;
            return Ok(());
        }
        if in_folder {
            writeln!(invocation.stdout, "{} {left} {right}", self.command)?;
        }
        let text = match self.context {
            Some(context) => self.unified(one, two, context),
            None => hunks::normal(&self.hunks(one, two), &lines(&one.content), &lines(&two.content)),
        };
        invocation.stdout.write_all(&text)?;
        Ok(())
    }

    fn hunks(&self, one: &Side, two: &Side) -> Vec<Hunk> {
        let key = |line: &&[u8]| self.key(line);
        let lefts: Vec<Vec<u8>> = lines(&one.content).iter().map(key).collect();
        let rights: Vec<Vec<u8>> = lines(&two.content).iter().map(key).collect();
        let mut hunks = hunks::compare(&lefts, &rights);
        if self.options.has("B") {
            let blank = |lines: &[Vec<u8>]| lines.iter().all(|line| line.trim_ascii().is_empty());
            hunks.retain(|hunk| !(blank(&lefts[hunk.old.clone()]) && blank(&rights[hunk.new.clone()])));
        }
        hunks
    }

    /// Returns what of a line counts.
    fn key(&self, line: &[u8]) -> Vec<u8> {
        let mut key = line.to_vec();
        if self.options.has("strip-trailing-cr") && key.ends_with(b"\r\n") {
            key.remove(key.len() - 2);
        }
        if self.options.has("i") {
            key.make_ascii_lowercase();
        }
        if self.options.has("w") {
            key.retain(|byte| !byte.is_ascii_whitespace());
        } else if self.options.has("b") {
            let words: Vec<&[u8]> = key.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
            let indent: &[u8] = if key.starts_with(b" ") || key.starts_with(b"\t") { b" " } else { b"" };
            key = [indent, &words.join(&b' ')].concat();
        } else if self.options.has("Z") {
            key = key.trim_ascii_end().to_vec();
        }
        key
    }

    fn unified(&self, one: &Side, two: &Side, context: usize) -> Vec<u8> {
        let labels: Vec<&str> =
            self.options.found.iter().filter(|found| found.name == "L").map(crate::options::Found::text).collect();
        let head = |index: usize, side: &Side| match labels.get(index) {
            Some(label) => (*label).to_owned(),
            None => format!("{}\t{}", side.name, side.changed),
        };
        let mut text = format!("--- {}\n+++ {}\n", head(0, one), head(1, two)).into_bytes();
        text.extend(hunks::unified(&self.hunks(one, two), &lines(&one.content), &lines(&two.content), context));
        text
    }
}

/// Splits into lines with their ends.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

fn changed(path: &Path, name: &str, absent: bool) -> String {
    let found = if name == "-" || absent { None } else { path.metadata().and_then(|found| found.modified()).ok() };
    let time = match found {
        Some(time) => crate::clock::timestamp(time),
        None if absent => jiff::Timestamp::UNIX_EPOCH,
        None => crate::clock::now(),
    };
    crate::date::format("%Y-%m-%d %H:%M:%S.%N +0000", time)
}
