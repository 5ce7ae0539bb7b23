//! WASI preview 1 as a program sees it over a staged mount, one case for each of the questions that the public test
//! suite asks. The names are the suite's; the cases are our own.
//!
//! A case starts in an empty, writable mount and returns, or says which step did not hold.
#![cfg(target_arch = "wasm32")]

mod clocks;
mod descriptors;
mod directories;
mod files;
mod handle;
mod links;
mod paths;

use kit::{Failure, Output, Tool};
use serde::Deserialize;

struct WasiCases;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Lists the cases when it is absent.
    case: Option<String>,
}

/// Why a case does not hold: the step, what came and what should have come.
struct Broken(String);

impl From<wasip1::Errno> for Broken {
    fn from(code: wasip1::Errno) -> Self {
        Self(format!("a step before the first question failed: {code}"))
    }
}

type Checked = Result<(), Broken>;

/// A case's name and what it does.
type Case = (&'static str, fn() -> Checked);

/// Fails the case unless the expression has the value.
macro_rules! same {
    ($found:expr, $expected:expr) => {{
        let (found, expected) = ($found, $expected);
        if found != expected {
            return Err(crate::Broken(format!("`{}` is {found:?}, not {expected:?}", stringify!($found))));
        }
    }};
}
use same;

/// Names functions as cases.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const CASES: &[crate::Case] = &[$((stringify!($name), $name)),*];
    };
}
use cases;

const CASES: [&[Case]; 6] =
    [clocks::CASES, descriptors::CASES, directories::CASES, files::CASES, links::CASES, paths::CASES];

impl Tool for WasiCases {
    const NAME: &'static str = "wasi_cases";
    const DESCRIPTION: &'static str = "Runs one case of WASI preview 1, or lists them.";
    const SCHEMA: &'static str =
        r#"{"type":"object","properties":{"case":{"type":"string"}},"additionalProperties":false}"#;
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let mut cases = CASES.into_iter().flatten();
        let text = match arguments.case {
            None => cases.map(|(name, _)| *name).collect::<Vec<_>>().join("\n"),
            Some(wanted) => {
                let (_, run) =
                    cases.find(|(name, _)| *name == wanted).ok_or_else(|| Failure::rejected("no such case"))?;
                run().map_err(|Broken(step)| Failure::Rejected(step))?;
                "holds".into()
            }
        };
        Ok(Output { summary: text.clone(), text })
    }
}

kit::export!(WasiCases);
