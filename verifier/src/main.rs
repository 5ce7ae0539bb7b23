//! `boxagnts-verify FILE [--key HEX] [--head HEX]`.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::process::ExitCode;

use verify::{Expected, Report, Unreadable, verify};

const USAGE: &str = "\
Checks a journal that `boxagnts audit export` wrote, without BoxAgnts.

usage: boxagnts-verify FILE [--key HEX] [--head HEX]      FILE may be `-`

  --key HEX    the public key that must have signed it
  --head HEX   the hash that its last record must have

Exit codes: 0 verified, 1 something is wrong with it, 2 it cannot be read";

fn main() -> ExitCode {
    let Some((file, expected)) = arguments(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match open(&file).and_then(|mut source| verify(&mut *source, &expected)) {
        Ok(report) => told(&report, &expected),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn arguments(arguments: impl Iterator<Item = String>) -> Option<(String, Expected)> {
    let (mut file, mut expected, mut arguments) = (None, Expected::default(), arguments);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--key" => expected.key = Some(arguments.next()?),
            "--head" => expected.head = Some(arguments.next()?),
            "-" => file = Some(argument),
            other if other.starts_with('-') || file.is_some() => return None,
            _ => file = Some(argument),
        }
    }
    file.map(|file| (file, expected))
}

fn open(file: &str) -> Result<Box<dyn BufRead>, Unreadable> {
    Ok(if file == "-" { Box::new(stdin().lock()) } else { Box::new(BufReader::new(File::open(file)?)) })
}

fn told(report: &Report, expected: &Expected) -> ExitCode {
    for finding in &report.findings {
        println!("BROKEN  {finding}");
    }
    if report.more_findings > 0 {
        println!("BROKEN  in {} more places", report.more_findings);
    }
    println!("journal {}: {} records, {} checkpoints", report.journal, report.records, report.checkpoints);
    println!("ends at record {}, {}", report.ends_at, report.head);
    match (&report.key, &expected.key) {
        (None, _) => println!("it is not signed"),
        (Some(key), None) => println!("signed to record {} with {key}: is that the key you know?", report.signed_to),
        (Some(_), Some(_)) => println!("signed to record {}", report.signed_to),
    }
    if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
