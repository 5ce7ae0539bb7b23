//! `[[ … ]]`.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use brush_parser::ast::{BinaryPredicate, ExtendedTestExpr, UnaryPredicate, Word};
use regex::{Regex, RegexBuilder};

use crate::fields::Part;
use crate::parse::Quoting;
use crate::shell::Shell;
use crate::stop::{Complaint, Run};

/// Bytes that a compiled expression may take.
const MAX_REGEX_BYTES: usize = 4 << 20;

impl Shell {
    /// Returns the exit code of `[[ expression ]]`.
    pub fn extended_test(&mut self, expression: &ExtendedTestExpr) -> Run<i32> {
        match self.holds(expression)? {
            Ok(holds) => Ok(i32::from(!holds)),
            Err(error) => {
                self.complain(format!("[[: {error}"));
                Ok(2)
            }
        }
    }

    fn holds(&mut self, expression: &ExtendedTestExpr) -> Run<Result<bool, Complaint>> {
        Ok(match expression {
            ExtendedTestExpr::And(left, right) => match self.holds(left)? {
                Ok(true) => self.holds(right)?,
                left => left,
            },
            ExtendedTestExpr::Or(left, right) => match self.holds(left)? {
                Ok(false) => self.holds(right)?,
                left => left,
            },
            ExtendedTestExpr::Not(inner) => self.holds(inner)?.map(|holds| !holds),
            ExtendedTestExpr::Parenthesized(inner) => self.holds(inner)?,
            ExtendedTestExpr::UnaryTest(predicate, word) => {
                let text = self.single(&word.value)?;
                Ok(self.unary(predicate, &text))
            }
            ExtendedTestExpr::BinaryTest(predicate, left, right) => {
                let left = self.single(&left.value)?;
                self.binary(predicate, &left, right)?
            }
        })
    }

    fn unary(&mut self, predicate: &UnaryPredicate, text: &str) -> bool {
        use UnaryPredicate as P;
        let path = self.path(text);
        let found = || fs::metadata(&path);
        match predicate {
            P::StringHasZeroLength => text.is_empty(),
            P::StringHasNonZeroLength => !text.is_empty(),
            // There are no users: whatever is there is everybody's.
            P::FileExists
            | P::FileExistsAndIsReadable
            | P::FileExistsAndIsWritable
            | P::FileExistsAndOwnedByEffectiveUserId
            | P::FileExistsAndOwnedByEffectiveGroupId => found().is_ok(),
            P::FileExistsAndIsExecutable => found().is_ok_and(|found| found.is_dir()) || is_script(&path),
            P::FileExistsAndIsDir => found().is_ok_and(|found| found.is_dir()),
            P::FileExistsAndIsRegularFile => found().is_ok_and(|found| found.is_file()),
            P::FileExistsAndIsSymlink => fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()),
            P::FileExistsAndIsNotZeroLength => found().is_ok_and(|found| found.len() > 0),
            P::ShellOptionEnabled => self.is_set(text),
            P::ShellVariableIsSetAndAssigned => self.is_assigned(text),
            P::ShellVariableIsSetAndNameRef => {
                let own = self.state.variables.get_own(text);
                own.is_some_and(|own| own.has(crate::variables::Attribute::Reference))
            }
            // There are no devices, sockets, terminals or mode bits in the sandbox.
            _ => false,
        }
    }

    /// Returns `name` as a path; an empty one is no file.
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { PathBuf::new() } else { self.state.cwd.join(name) }
    }

    /// Tells whether `name`, perhaps `name[subscript]`, has a value.
    pub fn is_assigned(&mut self, name: &str) -> bool {
        match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            None => self.text(name).is_some(),
            Some((name, "@" | "*")) => !self.elements(name).is_empty(),
            Some((name, subscript)) => match self.subscript(name, subscript) {
                Ok(subscript) => {
                    self.state.variables.get(name).is_some_and(|variable| variable.element(&subscript).is_some())
                }
                Err(_) => false,
            },
        }
    }

    fn binary(&mut self, predicate: &BinaryPredicate, left: &str, right: &Word) -> Run<Result<bool, Complaint>> {
        use BinaryPredicate as P;
        Ok(match predicate {
            P::StringExactlyMatchesPattern | P::StringExactlyMatchesString => {
                Ok(self.pattern(&right.value)?.matches(left))
            }
            P::StringDoesNotExactlyMatchPattern | P::StringDoesNotExactlyMatchString => {
                Ok(!self.pattern(&right.value)?.matches(left))
            }
            P::StringMatchesRegex | P::StringContainsSubstring => self.matches_regex(left, right)?,
            P::LeftSortsBeforeRight => Ok(left < self.single(&right.value)?.as_str()),
            P::LeftSortsAfterRight => Ok(left > self.single(&right.value)?.as_str()),
            P::FilesReferToSameDeviceAndInodeNumbers => {
                let right = self.single(&right.value)?;
                let real = |name: &str| fs::canonicalize(self.path(name)).ok();
                Ok(real(left).is_some_and(|left| Some(left) == real(&right)))
            }
            P::LeftFileIsNewerOrExistsWhenRightDoesNot => {
                let right = self.single(&right.value)?;
                Ok(self.changed(left) > self.changed(&right))
            }
            P::LeftFileIsOlderOrDoesNotExistWhenRightDoes => {
                let right = self.single(&right.value)?;
                Ok(self.changed(left) < self.changed(&right))
            }
            _ => {
                let right = self.single(&right.value)?;
                self.compare(predicate, left, &right)
            }
        })
    }

    fn changed(&self, name: &str) -> Option<std::time::SystemTime> {
        fs::metadata(self.path(name)).ok()?.modified().ok()
    }

    fn compare(&mut self, predicate: &BinaryPredicate, left: &str, right: &str) -> Result<bool, Complaint> {
        use BinaryPredicate as P;
        let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
        Ok(match predicate {
            P::ArithmeticEqualTo => left == right,
            P::ArithmeticNotEqualTo => left != right,
            P::ArithmeticLessThan => left < right,
            P::ArithmeticLessThanOrEqualTo => left <= right,
            P::ArithmeticGreaterThan => left > right,
            _ => left >= right,
        })
    }

    /// Matches an expression, of which what is quoted stands for itself, and sets `BASH_REMATCH`.
    fn matches_regex(&mut self, left: &str, right: &Word) -> Run<Result<bool, Complaint>> {
        let text: String = self.parts(&right.value, Quoting::Word)?.iter().map(regex_part).collect();
        let regex = match self.regex(&text) {
            Ok(regex) => regex,
            Err(error) => return Ok(Err(error)),
        };
        let captures = regex.captures(left);
        let group = |group: Option<regex::Match<'_>>| group.map_or_else(String::new, |group| group.as_str().to_owned());
        let groups = captures.as_ref().map(|captures| captures.iter().map(group).collect()).unwrap_or_default();
        let set = self.assign_list("BASH_REMATCH", groups);
        Ok(set.map(|()| captures.is_some()))
    }

    fn regex(&self, text: &str) -> Result<Regex, Complaint> {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(MAX_REGEX_BYTES).case_insensitive(self.is_set("nocasematch"));
        builder.build().map_err(|_| Complaint(format!("{text}: not a regular expression that is supported")))
    }
}

/// Tells whether a file can be run: there are no mode bits, but a script says what it is.
fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!"
}

fn regex_part(part: &Part) -> String {
    match part {
        Part::Quoted(text) => regex::escape(text),
        Part::Bare(text) | Part::Split(text) => text.clone(),
        Part::Break => " ".to_owned(),
    }
}
