//! What a session keeps between calls: the current folder, variables and functions.
//!
//! The file is JSON, and reading it runs nothing: values are taken as they are, and a function's text is only parsed,
//! and must be one function definition and nothing else. What does not fit is said and left out.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use brush_parser::ast::Command;
use serde::{Deserialize, Serialize};

use crate::shell::{Function, Shell};
use crate::stop::Complaint;
use crate::variables::{Attribute, Variable, Variables};

/// Bytes of the file: what a session keeps is settings, not data.
const MAX_BYTES: usize = 1 << 20;

/// Variables that belong to one call.
const TRANSIENT: [&str; 7] = ["BASH_REMATCH", "LINENO", "OPTARG", "OPTIND", "PIPESTATUS", "PWD", "REPLY"];

/// What is kept.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    cwd: PathBuf,
    variables: BTreeMap<String, Variable>,
    /// Texts of definitions, by name.
    functions: BTreeMap<String, String>,
}

const VERSION: u32 = 1;

/// Takes over what the file at `path` keeps. Returns what to say when there was something wrong with it.
pub fn load(shell: &mut Shell, path: &Path) -> Option<String> {
    let kept = match read(path) {
        Ok(Some(kept)) => kept,
        Ok(None) => return None,
        Err(reason) => return Some(format!("the kept state of this session was not used and is reset: {reason}")),
    };
    shell.state.variables = Variables::from_map(kept.variables);
    if fs::metadata(&kept.cwd).is_ok_and(|found| found.is_dir()) {
        shell.state.cwd = kept.cwd;
    }
    let mut here = Variable::scalar(shell.state.cwd.display().to_string());
    here.attributes.insert(Attribute::Exported);
    shell.state.variables.put("PWD", here);
    let mut dropped = Vec::new();
    for (name, text) in kept.functions {
        match function(shell, &name, text) {
            Some(function) => drop(Rc::make_mut(&mut shell.state.functions).insert(name, Rc::new(function))),
            None => dropped.push(name),
        }
    }
    (!dropped.is_empty()).then(|| format!("these kept functions could not be read: {}", dropped.join(", ")))
}

fn read(path: &Path) -> Result<Option<Kept>, Complaint> {
    let bytes = match fs::metadata(path) {
        // No session folder, or nothing kept yet.
        Err(_) => return Ok(None),
        Ok(found) if !found.is_file() => return Err("it is not a file".into()),
        Ok(found) if found.len() > MAX_BYTES as u64 => {
            return Err(Complaint(format!("it has more than {MAX_BYTES} bytes")));
        }
        Ok(_) => fs::read(path).map_err(|error| error.to_string())?,
    };
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| Complaint(format!("it is damaged: {error}")))?;
    if kept.version != VERSION {
        return Err(Complaint(format!("it is of version {}", kept.version)));
    }
    Ok(Some(kept))
}

/// Returns the function that `text` defines, if it does nothing but define one called `name`.
fn function(shell: &mut Shell, name: &str, text: String) -> Option<Function> {
    let source = shell.parsed.program(&format!("function {text}")).ok()?;
    let [line] = &source.program.complete_commands[..] else { return None };
    let [item] = &line.0[..] else { return None };
    if !item.0.additional.is_empty() {
        return None;
    }
    let [Command::Function(definition)] = &item.0.first.seq[..] else { return None };
    (definition.fname.value == name).then(|| Function { definition: definition.clone(), source: source.clone(), text })
}

/// Keeps the state of `shell` in the file at `path`. Returns what to say when it could not be kept.
pub fn save(shell: &Shell, path: &Path) -> Option<String> {
    let own = |(name, variable): &(&String, &Variable)| {
        variable.value.is_some() && !TRANSIENT.contains(&name.as_str()) && !variable.has(Attribute::Reference)
    };
    let variables = shell.state.variables.iter().filter(own);
    let kept = Kept {
        version: VERSION,
        cwd: shell.state.cwd.clone(),
        variables: variables.map(|(name, variable)| (name.clone(), variable.clone())).collect(),
        functions: shell.state.functions.iter().map(|(name, function)| (name.clone(), function.text.clone())).collect(),
    };
    let bytes = serde_json::to_vec(&kept).ok()?;
    if fs::read(path).is_ok_and(|before| before == bytes) {
        return None;
    }
    if bytes.len() > MAX_BYTES {
        return Some(format!("variables and functions are not kept: they take more than {MAX_BYTES} bytes"));
    }
    match fs::write(path, bytes) {
        Ok(()) => None,
        // Without a session folder nothing is kept, and nothing was promised.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(_) if !path.parent().is_some_and(Path::is_dir) => None,
        Err(error) => Some(format!("variables and functions are not kept: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn place() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        (folder, path)
    }

    #[test]
    fn folder_variables_and_functions_come_back() {
        let (folder, path) = place();
        let mut first = Shell::for_tests();
        let script =
            format!("cd {}; x='a b'; declare -A m=([k]=v); f() {{ x=$((x2+1)); y=\"$1\"; }}", folder.path().display());
        assert_eq!(first.script(&script), 0);
        assert_eq!(save(&first, &path), None);
        let mut second = Shell::for_tests();
        assert_eq!(load(&mut second, &path), None);
        assert_eq!(second.state.cwd, folder.path());
        assert_eq!(second.text("PWD").as_deref(), folder.path().to_str());
        assert_eq!(second.text("x").as_deref(), Some("a b"));
        assert_eq!(second.state.variables.get("m").unwrap().elements(), ["v"]);
        assert_eq!(second.script("f 'c d'"), 0);
        assert_eq!(second.text("y").as_deref(), Some("c d"));
    }

    #[test]
    fn a_damaged_file_is_said_and_not_used() {
        let (_folder, path) = place();
        for text in [
            "",
            "{",
            "[]",
            "{\"version\":1,\"cwd\":\"/\",\"variables\":{},\"functions\":{},\"more\":1}",
            "{\"version\":9,\"cwd\":\"/\",\"variables\":{},\"functions\":{}}",
        ] {
            fs::write(&path, text).unwrap();
            let mut shell = Shell::for_tests();
            let said = load(&mut shell, &path).unwrap();
            assert!(said.contains("not used and is reset"), "{said}");
            assert!(shell.state.variables.iter().next().is_none());
        }
    }

    #[test]
    fn nothing_runs_when_it_is_read() {
        let (folder, path) = place();
        let marker = folder.path().join("ran");
        for text in [
            format!("f() {{ :; }}; : > {}", marker.display()),
            format!("f() {{ :; }} > $(: > {0})", marker.display()),
            format!("g() {{ :; }}\n: > {}", marker.display()),
            format!("f() {{ :; }} && : > {}", marker.display()),
        ] {
            let functions = BTreeMap::from([("f".to_owned(), text)]);
            let kept = Kept { version: VERSION, functions, ..Kept::default() };
            fs::write(&path, serde_json::to_vec(&kept).unwrap()).unwrap();
            load(&mut Shell::for_tests(), &path);
            assert!(!marker.exists());
        }
    }

    #[test]
    fn too_much_is_not_kept() {
        let (_folder, path) = place();
        let mut shell = Shell::for_tests();
        shell.assign_text("x", "a".repeat(MAX_BYTES)).unwrap();
        assert!(save(&shell, &path).unwrap().contains("not kept"));
        assert!(!path.exists());
    }
}
