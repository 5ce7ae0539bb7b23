//! `gzip`, `gunzip`, `zcat`.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::Invocation;
use crate::input;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop, complain, name_of, reason};

const GZIP: Spec = Spec::new(
    "d/decompress/uncompress c/stdout/to-stdout k/keep f/force n/no-name N/name q/quiet v/verbose t/test S/suffix= l/list r/recursive \
     1/fast 2 3 4 5 6 7 8 9/best",
);

/// Exit code of a warning.
const WARNED: i32 = 2;

pub(crate) fn gzip(invocation: &mut Invocation<'_>) -> Outcome {
    let options = GZIP.parse(invocation.args)?;
    let name = name_of(invocation);
    if let Some(name) = ["l", "r"].into_iter().find(|name| options.has(name)) {
        return Err(GZIP.wrong("gzip", &format!("option -{name} is not supported")));
    }
    let job = Job {
        decompress: name != "gzip" || options.has("d") || options.has("t"),
        to_stdout: name == "zcat" || options.has("c"),
        test: options.has("t"),
        keep: options.has("k"),
        force: options.has("f"),
        verbose: options.has("v"),
        suffix: suffix(&options),
        level: options.found.iter().rev().find_map(|found| found.name.parse().ok()).unwrap_or(6),
    };
    let mut code = 0;
    for operand in options.inputs() {
        code = code.max(job.one(invocation, operand)?);
    }
    Ok(code)
}

fn suffix(options: &Options<'_>) -> String {
    let text = options.value("S").unwrap_or(".gz");
    if text.starts_with('.') { text.to_owned() } else { format!(".{text}") }
}

#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
struct Job {
    decompress: bool,
    to_stdout: bool,
    test: bool,
    keep: bool,
    force: bool,
    verbose: bool,
    suffix: String,
    level: u32,
}

impl Job {
    fn one(&self, invocation: &mut Invocation<'_>, operand: &str) -> Outcome {
        if operand == "-" {
            return self.stream(invocation, None, "stdin");
        }
        let mut name = operand.to_owned();
        if self.decompress
            && !invocation.path(operand).exists()
            && invocation.path(&format!("{operand}{}", self.suffix)).exists()
        {
            name.push_str(&self.suffix);
        }
        let path = invocation.path(&name);
        let file = match input::file(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                complain(invocation, format_args!("{name} is a directory -- ignored"));
                return Ok(WARNED);
            }
            Err(error) => {
                complain(invocation, format_args!("{name}: {}", reason(&error)));
                return Ok(1);
            }
        };
        if self.to_stdout || self.test {
            return self.stream(invocation, Some(file), &name);
        }
        let Some(target) = self.target(&name) else {
            let text = if self.decompress {
                "unknown suffix -- ignored".to_owned()
            } else {
                format!("already has {} suffix -- unchanged", self.suffix)
            };
            complain(invocation, format_args!("{name}{} {text}", if self.decompress { ":" } else { "" }));
            return Ok(WARNED);
        };
        let target_path = invocation.path(&target);
        if target_path.exists() && !self.force {
            complain(invocation, format_args!("{target} already exists;\tnot overwritten"));
            return Ok(WARNED);
        }
        let modified = path.metadata().and_then(|found| found.modified());
        let mut to = fs::File::create(&target_path).map_err(|error| Stop::at(&target, &error))?;
        if let Err(stop) = self.convert(&mut BufReader::new(file), &mut to) {
            drop(fs::remove_file(&target_path));
            return failed(invocation, &name, stop);
        }
        if let Ok(modified) = modified {
            to.set_modified(modified)?;
        }
        if !self.keep {
            fs::remove_file(&path).map_err(|error| Stop::at(&name, &error))?;
        }
        if self.verbose {
            complain(
                invocation,
                format_args!("{name}: -- {} {target}", if self.keep { "created" } else { "replaced with" }),
            );
        }
        Ok(0)
    }

    fn target(&self, name: &str) -> Option<String> {
        if !self.decompress {
            return (!name.ends_with(&self.suffix)).then(|| format!("{name}{}", self.suffix));
        }
        match name.strip_suffix(".tgz") {
            Some(stem) => Some(format!("{stem}.tar")),
            None => name.strip_suffix(&self.suffix).map(str::to_owned),
        }
    }

    fn stream(&self, invocation: &mut Invocation<'_>, file: Option<BufReader<fs::File>>, name: &str) -> Outcome {
        let mut file = file;
        let reader: &mut dyn BufRead = match &mut file {
            Some(file) => file,
            None => invocation.stdin,
        };
        let done =
            if self.test { self.convert(reader, &mut io::sink()) } else { self.convert(reader, invocation.stdout) };
        match done {
            Ok(()) => Ok(0),
            Err(stop) => failed(invocation, name, stop),
        }
    }

    fn convert(&self, reader: &mut dyn BufRead, writer: &mut dyn Write) -> Result<(), Stop> {
        if !self.decompress {
            let mut encoder = GzEncoder::new(writer, Compression::new(self.level));
            input::copy_all(reader, &mut encoder)?;
            encoder.finish()?;
            return Ok(());
        }
        let mut decoder = MultiGzDecoder::new(reader);
        let mut part = vec![0; 1 << 14];
        loop {
            let length = decoder.read(&mut part).map_err(Stop::Read)?;
            if length == 0 {
                return Ok(());
            }
            writer.write_all(&part[..length])?;
        }
    }
}

/// Says what is wrong with compressed content; what is wrong with the output is the caller's.
fn failed(invocation: &mut Invocation<'_>, name: &str, stop: Stop) -> Outcome {
    let Stop::Read(error) = stop else { return Err(stop) };
    let text = match error.kind() {
        io::ErrorKind::UnexpectedEof => "unexpected end of file".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => "not in gzip format".to_owned(),
        _ => reason(&error),
    };
    complain(invocation, format_args!("{name}: {text}"));
    Ok(1)
}
