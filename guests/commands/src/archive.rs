//! `tar`, `gzip`, `gunzip`, `zcat`.

mod gzip;
mod pack;
mod unpack;

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::Invocation;
use crate::input;
use crate::name::Glob;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop, reason};

pub(crate) use gzip::gzip;

/// Exit code of an archive that cannot be made or read.
const FAILED: i32 = 2;

const TAR: Spec = Spec::new(
    "c/create x/extract/get t/list r/append u/update z/gzip/gunzip/ungzip v/verbose f/file= C/directory= O/to-stdout \
     k/keep-old-files a/auto-compress exclude= strip-components= h/dereference p/preserve-permissions/same-permissions \
     T/files-from= no-recursion j/bzip2 J/xz zstd m/touch P/absolute-names no-same-owner same-owner owner= group= numeric-owner \
     sort= mtime= wildcards warning= overwrite force-local format= H= totals one-top-level?",
)
.fails_with(FAILED);

/// What both directions know.
struct Job<'j> {
    options: &'j Options<'j>,
    /// The folder that `-C` says, and the operands that belong to it.
    places: Vec<(std::path::PathBuf, String)>,
    folder: std::path::PathBuf,
    excluded: Vec<Glob>,
    verbose: bool,
    failed: bool,
}

impl Job<'_> {
    fn is_excluded(&self, name: &str) -> bool {
        // A pattern may begin at any part of a name.
        let starts = std::iter::once(name).chain(name.match_indices('/').map(|(at, _)| &name[at + 1..]));
        let mut starts = starts;
        starts.any(|part| self.excluded.iter().any(|glob| glob.is_match(part.trim_end_matches('/'))))
    }
}

pub(crate) fn tar(invocation: &mut Invocation<'_>) -> Outcome {
    let args = with_dash(invocation.args);
    let options = TAR.parse(&args)?;
    if let Some(name) = ["j", "J", "zstd"].into_iter().find(|name| options.has(name)) {
        return Err(Stop::code(FAILED, format!("compression {name} is not supported: use -z")));
    }
    let modes: Vec<&str> = ["c", "x", "t", "r", "u"].into_iter().filter(|mode| options.has(mode)).collect();
    let mode = match modes.as_slice() {
        [] => {
            return Err(
                TAR.wrong("tar", "You must specify one of the '-Acdtrux', '--delete' or '--test-label' options")
            );
        }
        [mode] => *mode,
        _ => {
            return Err(
                TAR.wrong("tar", "You may not specify more than one '-Acdtrux', '--delete' or  '--test-label' option")
            );
        }
    };
    let (places, folder) = places(invocation, &options, &args)?;
    let excluded =
        options.found.iter().filter(|found| found.name == "exclude").map(|found| Glob::new(found.text())).collect();
    let mut job = Job { options: &options, places, folder, excluded, verbose: options.has("v"), failed: false };
    match mode {
        "c" => create(invocation, &mut job)?,
        "x" | "t" => {
            let file = options.value("f").unwrap_or("-");
            let failed = |error| {
                Stop::code(
                    FAILED,
                    format!("{file}: Cannot open: {}\nError is not recoverable: exiting now", reason(&error)),
                )
            };
            let path = invocation.path(file);
            // Names may go to the output while the archive comes from the input: a file is opened by itself.
            if file == "-" {
                let content = input::everything(invocation.stdin)?;
                unpack::read(invocation, &mut job, opened(io::Cursor::new(content))?, mode == "x")?;
            } else {
                let reader = input::file(&path).map_err(failed)?;
                unpack::read(invocation, &mut job, opened(reader)?, mode == "x")?;
            }
        }
        _ => return Err(Stop::code(FAILED, "archives cannot be changed here: make them anew")),
    }
    Ok(if job.failed { FAILED } else { 0 })
}

/// The first word may be letters without a dash; their values follow in order.
fn with_dash(args: &[String]) -> Vec<String> {
    let mut args = args.to_vec();
    let Some(first) = args.get(1).filter(|word| !word.starts_with('-')).cloned() else { return args };
    let with_value: Vec<char> = first.chars().filter(|c| "fCTH".contains(*c)).collect();
    let plain: String = first.chars().filter(|c| !"fCTH".contains(*c)).collect();
    let mut rest = args.split_off(2).into_iter();
    args.truncate(1);
    if !plain.is_empty() {
        args.push(format!("-{plain}"));
    }
    for letter in with_value {
        args.push(format!("-{letter}"));
        args.extend(rest.next());
    }
    args.extend(rest);
    args
}

/// Returns what is named, each with the folder that was current there, and the folder at the end.
fn places(
    invocation: &mut Invocation<'_>,
    options: &Options<'_>,
    args: &[String],
) -> Result<(Vec<(std::path::PathBuf, String)>, std::path::PathBuf), Stop> {
    let mut folder = invocation.cwd.to_owned();
    let mut places = Vec::new();
    let mut operands = options.operands.iter().peekable();
    let mut words = args.iter().skip(1);
    while let Some(word) = words.next() {
        let changed = match word.as_str() {
            "-C" | "--directory" => words.next().map(String::as_str),
            word => word.strip_prefix("-C").or_else(|| word.strip_prefix("--directory=")),
        };
        if let Some(to) = changed {
            folder = folder.join(to);
            if !folder.is_dir() {
                return Err(Stop::code(
                    FAILED,
                    format!("{to}: Cannot open: No such file or directory\nError is not recoverable: exiting now"),
                ));
            }
        } else if operands.peek().is_some_and(|operand| *operand == word) {
            operands.next();
            places.push((folder.clone(), word.clone()));
        }
    }
    if let Some(list) = options.value("T") {
        let mut reader = input::open(invocation.cwd, invocation.stdin, list)
            .map_err(|error| Stop::code(FAILED, format!("{list}: Cannot open: {}", reason(&error))))?;
        let text = input::everything(&mut *reader)?;
        places.extend(
            input::lines(&text).iter().map(|line| (folder.clone(), String::from_utf8_lossy(line).into_owned())),
        );
    }
    Ok((places, folder))
}

fn create(invocation: &mut Invocation<'_>, job: &mut Job<'_>) -> Result<(), Stop> {
    if job.places.is_empty() {
        return Err(TAR.wrong("tar", "Cowardly refusing to create an empty archive"));
    }
    let name = job.options.value("f").unwrap_or("-");
    let compressed = job.options.has("z") || job.options.has("a") && (name.ends_with(".gz") || name.ends_with(".tgz"));
    if name == "-" {
        // The names of `-v` go to standard error then.
        let mut archive = Vec::new();
        pack::write(invocation, job, &mut archive, compressed)?;
        invocation.stdout.write_all(&archive)?;
        return Ok(());
    }
    let mut file = input::create(invocation.cwd, name, false).map_err(|error| {
        Stop::code(FAILED, format!("{name}: Cannot open: {}\nError is not recoverable: exiting now", reason(&error)))
    })?;
    pack::write(invocation, job, &mut file, compressed)
}

/// Where an archive is written to, compressed or not.
enum Sink<'w> {
    Plain(&'w mut dyn Write),
    Compressed(Box<GzEncoder<&'w mut dyn Write>>),
}

impl<'w> Sink<'w> {
    fn new(writer: &'w mut dyn Write, compressed: bool) -> Self {
        if compressed {
            Self::Compressed(Box::new(GzEncoder::new(writer, Compression::default())))
        } else {
            Self::Plain(writer)
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.flush(),
            Self::Compressed(encoder) => encoder.finish()?.flush(),
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(writer) => writer.write(bytes),
            Self::Compressed(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.flush(),
            Self::Compressed(encoder) => encoder.flush(),
        }
    }
}

/// Returns a reader of the archive, which tells by itself whether it is compressed.
fn opened<'r>(mut reader: impl io::BufRead + 'r) -> Result<Box<dyn Read + 'r>, Stop> {
    let start = reader.fill_buf().map_err(Stop::Read)?;
    if start.starts_with(&[0x1F, 0x8B]) { Ok(Box::new(MultiGzDecoder::new(reader))) } else { Ok(Box::new(reader)) }
}
