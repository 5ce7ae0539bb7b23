//! `stat`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::Invocation;
use crate::clock;
use crate::escape::{self, Octal};
use crate::facts::{Facts, Kind};
use crate::format::Conversion;
use crate::options::Spec;
use crate::report::{Outcome, complain, reason};
use crate::system::USER;

const STAT: Spec = Spec::new("c/format= printf= L/dereference f/file-system t/terse");

pub(crate) fn stat(invocation: &mut Invocation<'_>) -> Outcome {
    let options = STAT.parse(invocation.args)?;
    if options.operands.is_empty() {
        return Err(STAT.wrong("stat", "missing operand"));
    }
    if options.has("f") {
        return Err(STAT.wrong("stat", "file systems cannot be asked here"));
    }
    let mut code = 0;
    for operand in &options.operands {
        let path = invocation.path(operand);
        let facts = match Facts::read(&path, options.has("L")) {
            Ok(facts) => facts,
            Err(error) => {
                complain(invocation, format_args!("cannot statx '{operand}': {}", reason(&error)));
                code = 1;
                continue;
            }
        };
        let status = Status {
            name: operand,
            target: std::fs::read_link(&path).ok().map(|target| target.display().to_string()),
            facts,
        };
        let text = match (options.value("printf"), options.value("c")) {
            (Some(format), _) => status.filled(&escape::expand(format.as_bytes(), Octal::Plain).0),
            (_, Some(format)) => [status.filled(format.as_bytes()), b"\n".to_vec()].concat(),
            _ if options.has("t") => {
                [status.filled(b"%n %s %b %f %u %g %D %i %h 0 0 %X %Y %Z 0 %o"), b"\n".to_vec()].concat()
            }
            _ => status.filled(USUAL.as_bytes()),
        };
        invocation.stdout.write_all(&text)?;
    }
    Ok(code)
}

const USUAL: &str = "  File: %N\n  Size: %-10s\tBlocks: %-10b IO Block: %-6o %F\nDevice: %d\tInode: %-10i  Links: %h\n\
                     Access: (%04a/%A)  Uid: ( %5u/%8U)   Gid: ( %5g/%8G)\nAccess: %x\nModify: %y\nChange: %z\n Birth: -\n";

struct Status<'s> {
    name: &'s str,
    target: Option<String>,
    facts: Facts,
}

impl Status<'_> {
    fn filled(&self, format: &[u8]) -> Vec<u8> {
        let mut filled = Vec::new();
        let mut at = 0;
        while at < format.len() {
            let byte = format[at];
            at += 1;
            if byte != b'%' {
                filled.push(byte);
                continue;
            }
            if let Some((mut conversion, length)) = Conversion::parse_plain(&format[at..]) {
                at += length;
                let text = self.one(conversion.kind);
                conversion.precision = None;
                filled.extend(match text.parse::<u64>() {
                    Ok(number) if conversion.zero && conversion.kind != b'a' => {
                        conversion.kind = b'u';
                        conversion.unsigned(number)
                    }
                    _ if conversion.zero && conversion.kind == b'a' => {
                        conversion.kind = b'o';
                        conversion.unsigned(u64::from(self.facts.mode))
                    }
                    _ => conversion.text(text.as_bytes()),
                });
            } else {
                filled.push(byte);
            }
        }
        filled
    }

    fn one(&self, kind: u8) -> String {
        let facts = &self.facts;
        match kind {
            b'n' => self.name.to_owned(),
            b'N' => match &self.target {
                Some(target) => format!("'{}' -> '{target}'", self.name),
                None => format!("'{}'", self.name),
            },
            b's' => facts.size.to_string(),
            b'b' => facts.blocks.to_string(),
            b'B' => "512".to_owned(),
            b'a' => format!("{:o}", facts.mode),
            b'A' => facts.mode_text(),
            b'f' => format!("{:x}", kind_bits(facts.kind) | facts.mode),
            b'F' => kind_name(facts).to_owned(),
            b'h' => facts.links.to_string(),
            b'i' => facts.inode.to_string(),
            b'd' => facts.device.to_string(),
            b'D' => format!("{:x}", facts.device),
            b'o' => "4096".to_owned(),
            b'u' | b'g' => "0".to_owned(),
            b'U' | b'G' => USER.to_owned(),
            b'x' => full(facts.accessed),
            b'y' | b'z' => full(facts.modified),
            b'w' => "-".to_owned(),
            b'W' => "0".to_owned(),
            b'X' => seconds(facts.accessed).to_string(),
            b'Y' | b'Z' => seconds(facts.modified).to_string(),
            b'%' => "%".to_owned(),
            _ => "?".to_owned(),
        }
    }
}

fn kind_bits(kind: Kind) -> u32 {
    match kind {
        Kind::File => 0o100_000,
        Kind::Folder => 0o040_000,
        Kind::Link => 0o120_000,
        Kind::Other => 0,
    }
}

fn kind_name(facts: &Facts) -> &'static str {
    match facts.kind {
        Kind::File if facts.size == 0 => "regular empty file",
        Kind::File => "regular file",
        Kind::Folder => "directory",
        Kind::Link => "symbolic link",
        Kind::Other => "weird file",
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

fn full(time: SystemTime) -> String {
    crate::date::format("%Y-%m-%d %H:%M:%S.%N +0000", clock::timestamp(time))
}
