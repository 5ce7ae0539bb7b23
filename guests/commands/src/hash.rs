//! Check sums: `md5sum`, `sha1sum`, `sha224sum` … `sha512sum`, `b2sum`, `cksum`, `sum`-less.

use std::fmt::Write as _;
use std::io::BufRead;

use sha2::Digest;

use crate::Invocation;
use crate::input;
use crate::options::Spec;
use crate::report::{Outcome, Stop, complain, complain_at, name_of};

const SUM: Spec = Spec::new("b/binary t/text c/check w/warn z/zero tag quiet status strict ignore-missing l/length=");

pub(crate) fn sum(invocation: &mut Invocation<'_>) -> Outcome {
    let options = SUM.parse(invocation.args)?;
    let name = name_of(invocation);
    let sum_of = algorithm(&name);
    if options.has("c") {
        let quiet = options.has("quiet") || options.has("status");
        return check(
            invocation,
            &options.inputs(),
            sum_of,
            quiet,
            options.has("status"),
            options.has("ignore-missing"),
        );
    }
    let (end, tag) = (if options.has("z") { '\0' } else { '\n' }, options.has("tag"));
    input::each(invocation, &options.inputs(), |operand, reader, writer| {
        let sum = sum_of(reader)?;
        if tag {
            let kind = name.trim_end_matches("sum").to_uppercase().replace("B2", "BLAKE2b");
            write!(writer, "{kind} ({operand}) = {sum}{end}")?;
        } else {
            let mark = if options.has("b") { '*' } else { ' ' };
            write!(writer, "{sum} {mark}{operand}{end}")?;
        }
        Ok(())
    })
}

type SumOf = fn(&mut dyn BufRead) -> Result<String, Stop>;

fn algorithm(name: &str) -> SumOf {
    match name {
        "md5sum" => digest::<md5::Md5>,
        "sha1sum" => digest::<sha1::Sha1>,
        "sha224sum" => digest::<sha2::Sha224>,
        "sha384sum" => digest::<sha2::Sha384>,
        "sha512sum" => digest::<sha2::Sha512>,
        "b2sum" => digest::<blake2::Blake2b512>,
        _ => digest::<sha2::Sha256>,
    }
}

fn digest<D: Digest>(reader: &mut dyn BufRead) -> Result<String, Stop> {
    let mut hasher = D::new();
    loop {
        let part = reader.fill_buf().map_err(Stop::Read)?;
        if part.is_empty() {
            break;
        }
        hasher.update(part);
        let length = part.len();
        reader.consume(length);
    }
    let mut text = String::new();
    for byte in hasher.finalize() {
        write!(text, "{byte:02x}").expect("text takes everything");
    }
    Ok(text)
}

/// One line of a list: a sum and a name.
fn listed(line: &str) -> Option<(String, &str)> {
    if let Some((head, sum)) = line.rsplit_once(") = ") {
        let (_, name) = head.split_once(" (")?;
        return Some((sum.to_lowercase(), name));
    }
    let (sum, name) = line.split_once(' ')?;
    let name = name.strip_prefix([' ', '*'])?;
    let is_sum = sum.len() >= 32 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sum.then(|| (sum.to_lowercase(), name))
}

fn check(
    invocation: &mut Invocation<'_>,
    lists: &[&str],
    sum_of: SumOf,
    quiet: bool,
    silent: bool,
    ignore_missing: bool,
) -> Outcome {
    let mut code = 0;
    for list in lists {
        let text = match input::open(invocation.cwd, invocation.stdin, list) {
            Ok(mut reader) => input::everything(&mut *reader)?,
            Err(error) => return Err(Stop::at(list, &error)),
        };
        let (mut wrong, mut unread, mut malformed, mut good) = (0, 0, 0, 0);
        for line in String::from_utf8_lossy(&text).lines().filter(|line| !line.is_empty()) {
            let Some((expected, name)) = listed(line) else {
                malformed += 1;
                continue;
            };
            let found = input::open(invocation.cwd, &mut std::io::empty(), name)
                .map_err(Stop::Read)
                .and_then(|mut reader| sum_of(&mut *reader));
            match found {
                Ok(found) if found == expected => {
                    good += 1;
                    if !quiet {
                        writeln!(invocation.stdout, "{name}: OK")?;
                    }
                }
                Ok(_) => {
                    wrong += 1;
                    if !silent {
                        writeln!(invocation.stdout, "{name}: FAILED")?;
                    }
                }
                Err(Stop::Read(error)) if ignore_missing && error.kind() == std::io::ErrorKind::NotFound => {}
                Err(Stop::Read(error)) => {
                    unread += 1;
                    complain_at(invocation, name, &error);
                    if !silent {
                        writeln!(invocation.stdout, "{name}: FAILED open or read")?;
                    }
                }
                Err(other) => return Err(other),
            }
        }
        if good + wrong + unread == 0 {
            complain(invocation, format_args!("{list}: no properly formatted checksum lines found"));
            code = 1;
        }
        let warnings = [
            (malformed, "line is", "lines are", "improperly formatted"),
            (unread, "listed file", "listed files", "could not be read"),
            (wrong, "computed checksum", "computed checksums", "did NOT match"),
        ];
        for (count, one, many, what) in warnings.into_iter().filter(|(count, ..)| *count > 0 && !silent) {
            let noun = if count == 1 { one } else { many };
            complain(invocation, format_args!("WARNING: {count} {noun} {what}"));
        }
        if wrong + unread > 0 {
            code = 1;
        }
    }
    Ok(code)
}

const CKSUM: Spec = Spec::new("a/algorithm= tag untagged z/zero");

pub(crate) fn cksum(invocation: &mut Invocation<'_>) -> Outcome {
    let options = CKSUM.parse(invocation.args)?;
    if options.has("a") {
        return Err(CKSUM.wrong("cksum", "other algorithms have commands of their own: sha256sum, md5sum, b2sum"));
    }
    let named = !options.operands.is_empty();
    input::each(invocation, &options.inputs(), |operand, reader, writer| {
        let (sum, length) = posix_crc(reader)?;
        let name = if named { format!(" {operand}") } else { String::new() };
        writeln!(writer, "{sum} {length}{name}")?;
        Ok(())
    })
}

/// The check of POSIX's `cksum`: CRC-32 from the highest bit, with the length behind the content.
fn posix_crc(reader: &mut dyn BufRead) -> Result<(u32, u64), Stop> {
    let table = crc_table();
    let step = |crc: u32, byte: u8| (crc << 8) ^ table[usize::from(crc.to_be_bytes()[0] ^ byte)];
    let (mut crc, mut length) = (0, 0_u64);
    loop {
        let part = reader.fill_buf().map_err(Stop::Read)?;
        if part.is_empty() {
            break;
        }
        crc = part.iter().fold(crc, |crc, byte| step(crc, *byte));
        let count = part.len();
        length += count as u64;
        reader.consume(count);
    }
    let significant = 8 - usize::try_from(length.leading_zeros() / 8).expect("eight at most");
    crc = length.to_le_bytes()[..significant].iter().fold(crc, |crc, byte| step(crc, *byte));
    Ok((!crc, length))
}

fn crc_table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0x04C1_1DB7;
    let mut table = [0; 256];
    for (index, place) in (0_u32..).zip(&mut table) {
        let mut value = index << 24;
        for _ in 0..8 {
            value = if value & 0x8000_0000 == 0 { value << 1 } else { (value << 1) ^ POLYNOMIAL };
        }
        *place = value;
    }
    table
}
