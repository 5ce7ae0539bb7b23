//! Built-ins about names and folders: `cd`, `pushd`, `type`, `command`, `printf -v`, `test -v`, `let`, `shift`.
#![expect(clippy::unnecessary_wraps, reason = "every built-in has the same type")]

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::redirect::reason;
use crate::shell::Shell;
use crate::stop::Run;
use crate::streams::CAPTURE_BYTES;

/// Words of the grammar.
const KEYWORDS: [&str; 22] = [
    "!", "[[", "]]", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in",
    "select", "then", "time", "until", "while", "{", "}",
];

/// Commands that are built-ins of bash, although they are not of this interpreter.
const BUILT_IN_COMMANDS: [&str; 8] = ["[", "echo", "false", "kill", "printf", "pwd", "test", "true"];

/// Runs the command that a built-in of the same name adds something to.
fn plain(shell: &mut Shell, words: &[String]) -> Run<i32> {
    shell.external(words)
}

/// `test` and `[`: what asks for variables is known here alone.
pub fn test(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let end = words.len() - usize::from(words[0] == "[" && words.last().is_some_and(|word| word == "]"));
    let operands: Vec<&str> = words[1..end.max(1)].iter().map(String::as_str).collect();
    let (negated, operands) = match operands[..] {
        ["!", ref rest @ ..] => (true, rest.to_vec()),
        _ => (false, operands),
    };
    let holds = match operands[..] {
        ["-v", name] => shell.is_assigned(name),
        ["-o", name] => shell.is_set(name),
        _ => return plain(shell, words),
    };
    Ok(i32::from(holds == negated))
}

/// `printf`: `-v` puts what it prints into a variable.
pub fn printf(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let [_, flag, target, format @ ..] = words else { return plain(shell, words) };
    if flag != "-v" {
        return plain(shell, words);
    }
    let inner: Vec<String> = std::iter::once(words[0].clone()).chain(format.iter().cloned()).collect();
    let (bytes, status) = shell.capture(CAPTURE_BYTES, |shell| plain(shell, &inner).unwrap_or(1));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let stored = match target.strip_suffix(']').and_then(|target| target.split_once('[')) {
        Some((name, subscript)) => shell.store(name, Some(subscript), text),
        None => shell.store(target, None, text),
    };
    if let Err(reason) = stored {
        shell.complain(format!("printf: {reason}"));
        return Ok(1);
    }
    Ok(status)
}

/// `pwd`
pub fn pwd(shell: &mut Shell, _: &[String]) -> Run<i32> {
    let line = format!("{}\n", shell.state.cwd.display());
    Ok(shell.print(&line))
}

/// `cd`
pub fn cd(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let operands: Vec<&String> =
        words[1..].iter().filter(|word| !matches!(word.as_str(), "-P" | "-L" | "--")).collect();
    let target = match operands[..] {
        [] => shell.text("HOME"),
        [word] if word == "-" => shell.text("OLDPWD"),
        [word] => Some(word.clone()),
        _ => {
            shell.complain("cd: too many arguments");
            return Ok(1);
        }
    };
    let Some(target) = target else {
        let missing = if operands.is_empty() { "HOME" } else { "OLDPWD" };
        shell.complain(format!("cd: {missing} not set"));
        return Ok(1);
    };
    let status = go(shell, "cd", &target);
    if status == 0 && operands.first().is_some_and(|word| *word == "-") {
        return pwd(shell, words);
    }
    Ok(status)
}

/// Makes `target` the current folder.
fn go(shell: &mut Shell, name: &str, target: &str) -> i32 {
    let path = normal(&shell.state.cwd.join(target));
    let refused = match fs::metadata(&path) {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some("Not a directory".to_owned()),
        Err(error) => Some(reason(&error)),
    };
    if let Some(reason) = refused {
        shell.complain(format!("{name}: {target}: {reason}"));
        return 1;
    }
    let before = std::mem::replace(&mut shell.state.cwd, path);
    let now = shell.state.cwd.display().to_string();
    for (name, text) in [("OLDPWD", before.display().to_string()), ("PWD", now)] {
        if let Err(reason) = shell.assign_text(name, text) {
            shell.complain(&reason.0);
        }
    }
    0
}

/// Returns `path` without `.` and `..`, as the words say it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// The folders that `pushd` left, the last one first, as an array that scripts see too.
const STACK: &str = "DIRSTACK";

/// `pushd`
pub fn pushd(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let here = shell.state.cwd.display().to_string();
    let mut stack = shell.elements(STACK);
    let target = match words.get(1) {
        Some(target) => target.clone(),
        None if stack.is_empty() => {
            shell.complain("pushd: no other directory");
            return Ok(1);
        }
        None => stack.remove(0),
    };
    if go(shell, "pushd", &target) != 0 {
        return Ok(1);
    }
    stack.insert(0, here);
    keep_stack(shell, stack)
}

/// `popd`
pub fn popd(shell: &mut Shell, _: &[String]) -> Run<i32> {
    let mut stack = shell.elements(STACK);
    if stack.is_empty() {
        shell.complain("popd: directory stack empty");
        return Ok(1);
    }
    let target = stack.remove(0);
    if go(shell, "popd", &target) != 0 {
        return Ok(1);
    }
    keep_stack(shell, stack)
}

fn keep_stack(shell: &mut Shell, stack: Vec<String>) -> Run<i32> {
    if let Err(reason) = shell.assign_list(STACK, stack) {
        shell.complain(&reason.0);
        return Ok(1);
    }
    dirs(shell, &[])
}

/// `dirs`
pub fn dirs(shell: &mut Shell, _: &[String]) -> Run<i32> {
    let home = shell.text("HOME").unwrap_or_default();
    let here = shell.state.cwd.display().to_string();
    let short = |folder: &String| match folder.strip_prefix(&home) {
        Some(rest) if !home.is_empty() && (rest.is_empty() || rest.starts_with('/')) => format!("~{rest}"),
        _ => folder.clone(),
    };
    let folders: Vec<String> = std::iter::once(&here).chain(&shell.elements(STACK)).map(short).collect();
    Ok(shell.print(&(folders.join(" ") + "\n")))
}

/// `let`
pub fn let_values(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let mut last = 0;
    for word in &words[1..] {
        match shell.evaluate(word) {
            Ok(value) => last = value,
            Err(reason) => {
                shell.complain(format!("let: {reason}"));
                return Ok(1);
            }
        }
    }
    Ok(i32::from(last == 0))
}

/// `shift`
pub fn shift(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let count = words.get(1).map_or(Ok(1), |word| word.parse::<usize>());
    let Ok(count) = count else {
        shell.complain(format!("shift: {}: numeric argument required", words[1]));
        return Ok(1);
    };
    if count > shell.state.positional.len() {
        return Ok(1);
    }
    shell.state.positional.drain(..count);
    Ok(0)
}

/// `builtin`
pub fn builtin(shell: &mut Shell, words: &[String]) -> Run<i32> {
    match words.get(1) {
        None => Ok(0),
        Some(name) if super::lookup(name).is_some() || BUILT_IN_COMMANDS.contains(&name.as_str()) => {
            shell.dispatch_command(&words[1..])
        }
        Some(name) => {
            shell.complain(format!("builtin: {name}: not a shell builtin"));
            Ok(1)
        }
    }
}

/// What a name stands for.
enum Kind {
    Keyword,
    Function,
    Builtin,
    File(String),
}

fn kind(shell: &Shell, name: &str) -> Option<Kind> {
    if KEYWORDS.contains(&name) {
        Some(Kind::Keyword)
    } else if shell.state.functions.contains_key(name) {
        Some(Kind::Function)
    } else if name.contains('/') {
        fs::metadata(shell.state.cwd.join(name)).is_ok_and(|found| found.is_file()).then(|| Kind::File(name.to_owned()))
    } else if BUILT_IN_COMMANDS.contains(&name) {
        Some(Kind::Builtin)
    } else if commands::lookup(name).is_some() || matches!(name, "bash" | "sh" | "which") {
        Some(Kind::File(format!("/usr/bin/{name}")))
    } else {
        super::lookup(name).map(|_| Kind::Builtin)
    }
}

/// `command`
pub fn command(shell: &mut Shell, words: &[String]) -> Run<i32> {
    match words.get(1).map(String::as_str) {
        None => Ok(0),
        Some("-v") => {
            let mut status = 1;
            for name in &words[2..] {
                let line = match kind(shell, name) {
                    None => continue,
                    Some(Kind::File(path)) => path,
                    Some(_) => name.clone(),
                };
                shell.print(&(line + "\n"));
                status = 0;
            }
            Ok(status)
        }
        Some("-V") => type_of(shell, &words[1..]),
        Some("-p" | "--") => command(shell, &words[1..]),
        Some(_) => shell.dispatch_command(&words[1..]),
    }
}

/// `type`
pub fn type_of(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let short = words.iter().any(|word| word == "-t");
    let path = words.iter().any(|word| word == "-p" || word == "-P");
    let mut status = 0;
    for name in words[1..].iter().filter(|word| !word.starts_with('-')) {
        let line = match kind(shell, name) {
            None => {
                status = 1;
                if !short && !path {
                    shell.complain(format!("type: {name}: not found"));
                }
                continue;
            }
            Some(Kind::File(path_found)) if path => path_found,
            Some(_) if path => continue,
            Some(Kind::Keyword) if short => "keyword".to_owned(),
            Some(Kind::Function) if short => "function".to_owned(),
            Some(Kind::Builtin) if short => "builtin".to_owned(),
            Some(Kind::File(_)) if short => "file".to_owned(),
            Some(Kind::Keyword) => format!("{name} is a shell keyword"),
            Some(Kind::Function) => {
                let text = shell.state.functions.get(name).map_or_else(String::new, |function| function.text.clone());
                format!("{name} is a function\n{text}")
            }
            Some(Kind::Builtin) => format!("{name} is a shell builtin"),
            Some(Kind::File(path)) => format!("{name} is {path}"),
        };
        shell.print(&(line + "\n"));
    }
    Ok(status)
}

/// `which`
pub fn which(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let mut status = 0;
    for name in words[1..].iter().filter(|word| !word.starts_with('-')) {
        if commands::lookup(name).is_some() || super::lookup(name).is_some() {
            shell.print(&format!("/usr/bin/{name}\n"));
        } else {
            status = 1;
        }
    }
    Ok(status)
}

/// `alias`: a script has no use for it.
pub fn alias(shell: &mut Shell, words: &[String]) -> Run<i32> {
    if words.len() == 1 {
        return Ok(0);
    }
    shell.complain("alias: aliases are not supported: define a function");
    Ok(1)
}

/// `times`
pub fn times(shell: &mut Shell, _: &[String]) -> Run<i32> {
    Ok(shell.print("0m0.000s 0m0.000s\n0m0.000s 0m0.000s\n"))
}

/// `umask`: there are no mode bits to mask.
pub fn umask(shell: &mut Shell, words: &[String]) -> Run<i32> {
    if words.len() > 1 { Ok(0) } else { Ok(shell.print("0022\n")) }
}
