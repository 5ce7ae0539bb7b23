//! Parameter expansion: `$x` and `${x…}`.

use brush_parser::ParserOptions;
use brush_parser::word::{Parameter, ParameterExpr, ParameterTestType, SpecialParameter, parse_parameter};

use crate::fields::{Part, join};
use crate::parse::Quoting;
use crate::shell::Shell;
use crate::stop::{Complaint, Run, Stop};
use crate::transform::{Case, recase, remove, replace, slice};
use crate::variables::{Attribute, Variable};

/// What a parameter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    One(Option<String>),
    /// The elements of `@` or `*`.
    Many {
        elements: Vec<String>,
        star: bool,
    },
}

impl Found {
    /// Tells whether a test of `kind` takes this for missing.
    fn is_missing(&self, kind: &ParameterTestType) -> bool {
        let or_empty = matches!(kind, ParameterTestType::UnsetOrNull);
        match self {
            Self::One(None) => true,
            Self::One(Some(text)) => or_empty && text.is_empty(),
            Self::Many { elements, .. } => {
                elements.is_empty() || (or_empty && elements.len() == 1 && elements[0].is_empty())
            }
        }
    }

    /// Returns each text changed.
    fn map(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::One(text) => Self::One(text.map(|text| change(&text))),
            Self::Many { elements, star } => {
                Self::Many { elements: elements.iter().map(|text| change(text)).collect(), star }
            }
        }
    }
}

impl Shell {
    /// Adds what `expression` expands to.
    pub fn parameter(&mut self, expression: &ParameterExpr, quoted: bool, parts: &mut Vec<Part>) -> Run<()> {
        use ParameterExpr as E;
        match expression {
            E::UseDefaultValues { parameter, indirect, test_type, default_value } => {
                let found = self.find(parameter, *indirect)?;
                if found.is_missing(test_type) {
                    return self.operand(default_value.as_deref(), quoted, parts);
                }
                self.emit(found, quoted, parts);
            }
            E::UseAlternativeValue { parameter, indirect, test_type, alternative_value } => {
                if !self.find(parameter, *indirect)?.is_missing(test_type) {
                    return self.operand(alternative_value.as_deref(), quoted, parts);
                }
                self.operand(None, quoted, parts)?;
            }
            E::AssignDefaultValues { parameter, indirect, test_type, default_value } => {
                let mut found = self.find(parameter, *indirect)?;
                if found.is_missing(test_type) {
                    let text = self.operand_text(default_value.as_deref(), quoted)?;
                    self.assign_parameter(parameter, text.clone())?;
                    found = Found::One(Some(text));
                }
                self.emit(found, quoted, parts);
            }
            E::IndicateErrorIfNullOrUnset { parameter, indirect, test_type, error_message } => {
                let found = self.find(parameter, *indirect)?;
                if found.is_missing(test_type) {
                    let message = self.operand_text(error_message.as_deref(), quoted)?;
                    let message = if message.is_empty() { "parameter null or not set" } else { &message };
                    return Err(self.unset(&format!("{}: {message}", bare_name(parameter))));
                }
                self.emit(found, quoted, parts);
            }
            _ => {
                let found = self.transformed(expression)?;
                self.emit(found, quoted, parts);
            }
        }
        Ok(())
    }

    /// Returns what the expressions stand for that need no operand of their own kind.
    fn transformed(&mut self, expression: &ParameterExpr) -> Run<Found> {
        use ParameterExpr as E;
        Ok(match expression {
            E::Parameter { parameter, indirect } => self.known(parameter, *indirect)?,
            E::ParameterLength { parameter, indirect } => {
                let length = match self.known(parameter, *indirect)? {
                    Found::One(text) => text.map_or(0, |text| text.chars().count()),
                    Found::Many { elements, .. } => elements.len(),
                };
                Found::One(Some(length.to_string()))
            }
            E::RemoveSmallestPrefixPattern { parameter, indirect, pattern } => {
                self.removed(parameter, *indirect, pattern.as_deref(), false, false)?
            }
            E::RemoveLargestPrefixPattern { parameter, indirect, pattern } => {
                self.removed(parameter, *indirect, pattern.as_deref(), false, true)?
            }
            E::RemoveSmallestSuffixPattern { parameter, indirect, pattern } => {
                self.removed(parameter, *indirect, pattern.as_deref(), true, false)?
            }
            E::RemoveLargestSuffixPattern { parameter, indirect, pattern } => {
                self.removed(parameter, *indirect, pattern.as_deref(), true, true)?
            }
            E::Substring { parameter, indirect, offset, length } => {
                let offset = self.number(&offset.value)?;
                let length = match length {
                    Some(length) => Some(self.number(&length.value)?),
                    None => None,
                };
                let found = self.known(parameter, *indirect)?;
                self.sliced(parameter, found, offset, length)?
            }
            E::UppercaseFirstChar { parameter, indirect, pattern } => {
                self.recased(parameter, *indirect, pattern.as_deref(), Case::UpperFirst)?
            }
            E::UppercasePattern { parameter, indirect, pattern } => {
                self.recased(parameter, *indirect, pattern.as_deref(), Case::Upper)?
            }
            E::LowercaseFirstChar { parameter, indirect, pattern } => {
                self.recased(parameter, *indirect, pattern.as_deref(), Case::LowerFirst)?
            }
            E::LowercasePattern { parameter, indirect, pattern } => {
                self.recased(parameter, *indirect, pattern.as_deref(), Case::Lower)?
            }
            E::ReplaceSubstring { parameter, indirect, pattern, replacement, match_kind } => {
                let found = self.known(parameter, *indirect)?;
                let pattern = self.pattern(pattern)?;
                let replacement = match replacement {
                    Some(replacement) => self.parts(replacement, Quoting::Word)?,
                    None => Vec::new(),
                };
                found.map(|text| replace(text, &pattern, &replacement, match_kind))
            }
            E::Transform { parameter, indirect, op } => self.transform(parameter, *indirect, op)?,
            E::VariableNames { prefix, concatenate } => {
                let names = self.state.variables.iter().filter(|(_, variable)| variable.value.is_some());
                let names = names.map(|(name, _)| name.clone()).filter(|name| name.starts_with(prefix.as_str()));
                Found::Many { elements: names.collect(), star: *concatenate }
            }
            E::MemberKeys { variable_name, concatenate } => {
                let elements = self.state.variables.get(variable_name).map_or_else(Vec::new, Variable::subscripts);
                Found::Many { elements, star: *concatenate }
            }
            E::UseDefaultValues { .. }
            | E::UseAlternativeValue { .. }
            | E::AssignDefaultValues { .. }
            | E::IndicateErrorIfNullOrUnset { .. } => unreachable!("these have operands and are expanded before"),
        })
    }

    fn number(&mut self, expression: &str) -> Run<i64> {
        let text = self.expression(expression)?;
        self.arithmetic(&text)
    }

    fn removed(
        &mut self,
        parameter: &Parameter,
        indirect: bool,
        pattern: Option<&str>,
        suffix: bool,
        longest: bool,
    ) -> Run<Found> {
        let found = self.known(parameter, indirect)?;
        let pattern = self.pattern(pattern.unwrap_or_default())?;
        Ok(found.map(|text| remove(text, &pattern, suffix, longest)))
    }

    fn recased(&mut self, parameter: &Parameter, indirect: bool, pattern: Option<&str>, case: Case) -> Run<Found> {
        let found = self.known(parameter, indirect)?;
        let pattern = match pattern {
            Some(pattern) if !pattern.is_empty() => Some(self.pattern(pattern)?),
            _ => None,
        };
        Ok(found.map(|text| recase(text, pattern.as_ref(), case)))
    }

    fn sliced(&mut self, parameter: &Parameter, found: Found, offset: i64, length: Option<i64>) -> Run<Found> {
        Ok(match found {
            Found::One(None) => Found::One(None),
            Found::One(Some(text)) => {
                let chars: Vec<char> = text.chars().collect();
                let Some(range) = slice(chars.len(), offset, length, true) else {
                    if length.is_some_and(|length| length < 0) {
                        self.complain(format!("{}: substring expression < 0", length.unwrap_or_default()));
                        return Err(Stop::Abort);
                    }
                    return Ok(Found::One(Some(String::new())));
                };
                Found::One(Some(chars[range].iter().collect()))
            }
            Found::Many { mut elements, star } => {
                if matches!(parameter, Parameter::Special(_)) {
                    elements.insert(0, self.name.clone());
                }
                let range = slice(elements.len(), offset, length, false).unwrap_or(0..0);
                Found::Many { elements: elements[range].to_vec(), star }
            }
        })
    }

    /// Returns what `parameter` is; under `set -u` an unset one is an error.
    fn known(&mut self, parameter: &Parameter, indirect: bool) -> Run<Found> {
        let found = self.find(parameter, indirect)?;
        if found == Found::One(None) && self.is_set("nounset") {
            return Err(self.unset(&format!("{}: unbound variable", bare_name(parameter))));
        }
        Ok(found)
    }

    /// Ends the shell because a parameter is not set.
    fn unset(&mut self, message: &str) -> Stop {
        self.complain(message);
        Stop::Exit(if self.state.subshells > 0 { 1 } else { 127 })
    }

    /// Returns what `parameter`, or the one that it names, is.
    pub fn find(&mut self, parameter: &Parameter, indirect: bool) -> Run<Found> {
        if !indirect {
            return self.direct(parameter);
        }
        let reference = match parameter {
            Parameter::Named(name) => self.state.variables.get_own(name).filter(|own| own.has(Attribute::Reference)),
            _ => None,
        };
        if let Some(target) = reference.and_then(Variable::text) {
            return Ok(Found::One(Some(target.to_owned())));
        }
        let Found::One(Some(target)) = self.direct(parameter)? else { return Ok(Found::One(None)) };
        if let Ok(target) = parse_parameter(&target, &ParserOptions::default()) {
            self.direct(&target)
        } else {
            self.complain(format!("{target}: invalid variable name"));
            Err(Stop::Abort)
        }
    }

    fn direct(&mut self, parameter: &Parameter) -> Run<Found> {
        Ok(match parameter {
            Parameter::Positional(0) => Found::One(Some(self.name.clone())),
            Parameter::Positional(number) => {
                let index = usize::try_from(*number).unwrap_or(usize::MAX) - 1;
                Found::One(self.state.positional.get(index).cloned())
            }
            Parameter::Special(special) => self.special(special),
            Parameter::Named(name) => Found::One(self.text(name)),
            Parameter::NamedWithIndex { name, index } => Found::One(self.indexed(name, index)?),
            Parameter::NamedWithAllIndices { name, concatenate } => {
                Found::Many { elements: self.elements(name), star: *concatenate }
            }
        })
    }

    fn indexed(&mut self, name: &str, index: &str) -> Run<Option<String>> {
        let index = self.single(index)?;
        if name == "FUNCNAME" {
            return Ok(index.parse::<usize>().ok().and_then(|index| self.elements(name).into_iter().nth(index)));
        }
        match self.subscript(name, &index) {
            Ok(subscript) => {
                Ok(self.state.variables.get(name).and_then(|variable| variable.element(&subscript)).map(str::to_owned))
            }
            Err(error) => {
                self.complain(&error);
                Err(Stop::Abort)
            }
        }
    }

    fn special(&mut self, special: &SpecialParameter) -> Found {
        let text = match special {
            SpecialParameter::AllPositionalParameters { concatenate } => {
                return Found::Many { elements: self.state.positional.clone(), star: *concatenate };
            }
            SpecialParameter::PositionalParameterCount => self.state.positional.len().to_string(),
            SpecialParameter::LastExitStatus => self.status.to_string(),
            SpecialParameter::CurrentOptionFlags => self.flags(),
            SpecialParameter::ProcessId => "1".to_owned(),
            SpecialParameter::LastBackgroundProcessId => return Found::One(self.last_job.map(|job| job.to_string())),
            SpecialParameter::ShellName => self.name.clone(),
        };
        Found::One(Some(text))
    }

    fn assign_parameter(&mut self, parameter: &Parameter, text: String) -> Run<()> {
        let assigned = match parameter {
            Parameter::Named(name) => self.assign_text(name, text),
            Parameter::NamedWithIndex { name, index } => {
                let index = self.single(index)?;
                self.subscript(name, &index).and_then(|at| self.assign_element(name, at, text))
            }
            _ => Err(Complaint(format!("${}: cannot assign in this way", bare_name(parameter)))),
        };
        assigned.map_err(|Complaint(reason)| {
            self.complain(&reason);
            Stop::Abort
        })
    }

    /// Adds what stands behind `:-`. In double quotes it is quoted as a whole; elsewhere what is not quoted is split.
    fn operand(&mut self, word: Option<&str>, quoted: bool, parts: &mut Vec<Part>) -> Run<()> {
        let Some(word) = word else {
            if quoted {
                parts.push(Part::Quoted(String::new()));
            }
            return Ok(());
        };
        let quoting = if quoted && !word.contains('"') { Quoting::Document } else { Quoting::Word };
        let expanded = self.parts(word, quoting)?;
        if quoted {
            let empty = expanded.is_empty().then(|| Part::Quoted(String::new()));
            parts.extend(expanded.into_iter().map(quote).chain(empty));
        } else {
            let split = |part| if let Part::Bare(text) = part { Part::Split(text) } else { part };
            parts.extend(expanded.into_iter().map(split));
        }
        Ok(())
    }

    fn operand_text(&mut self, word: Option<&str>, quoted: bool) -> Run<String> {
        let mut parts = Vec::new();
        self.operand(word, quoted, &mut parts)?;
        Ok(join(&parts, " "))
    }

    /// Adds what was found.
    fn emit(&mut self, found: Found, quoted: bool, parts: &mut Vec<Part>) {
        let part = |text| if quoted { Part::Quoted(text) } else { Part::Split(text) };
        match found {
            Found::One(text) => parts.push(part(text.unwrap_or_default())),
            Found::Many { elements, star: true } if quoted => {
                let between = self.separators().chars().next().map_or_else(String::new, |char| char.to_string());
                parts.push(Part::Quoted(elements.join(&between)));
            }
            Found::Many { elements, .. } => {
                for (index, text) in elements.into_iter().enumerate() {
                    if index > 0 {
                        parts.push(Part::Break);
                    }
                    parts.push(part(text));
                }
            }
        }
    }
}

fn quote(part: Part) -> Part {
    match part {
        Part::Bare(text) | Part::Split(text) | Part::Quoted(text) => Part::Quoted(text),
        Part::Break => Part::Break,
    }
}

/// Returns a parameter's name as messages show it.
pub fn bare_name(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Positional(number) => number.to_string(),
        Parameter::Named(name) => name.clone(),
        Parameter::NamedWithIndex { name, index } => format!("{name}[{index}]"),
        other => other.to_string(),
    }
}
