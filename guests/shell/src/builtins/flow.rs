//! Built-ins that change what runs next: `break`, `return`, `exit`, `eval`, `source`, `exec`, `trap`, `wait`, `bash`.
#![expect(clippy::unnecessary_wraps, reason = "every built-in has the same type")]

use std::io::Read as _;

use crate::shell::Shell;
use crate::stop::{Run, Stop};
use crate::streams::PIPE_BYTES;

/// Returns the exit code that `words` name, as far as a process can have it.
fn code(shell: &mut Shell, words: &[String]) -> i32 {
    let Some(word) = words.get(1) else { return shell.status };
    if let Ok(code) = word.parse::<i64>() {
        i32::try_from(code & 0xff).unwrap_or(0)
    } else {
        shell.complain(format!("{}: {word}: numeric argument required", words[0]));
        2
    }
}

/// `exit`
pub fn exit(shell: &mut Shell, words: &[String]) -> Run<i32> {
    Err(Stop::Exit(code(shell, words)))
}

/// `return`
pub fn return_code(shell: &mut Shell, words: &[String]) -> Run<i32> {
    if shell.state.frames.is_empty() && shell.sourced == 0 {
        shell.complain("return: can only `return' from a function or sourced script");
        return Ok(2);
    }
    Err(Stop::Return(code(shell, words)))
}

/// Returns how many loops `words` name, at most those that there are.
fn levels(shell: &mut Shell, words: &[String]) -> Option<u32> {
    if shell.state.loops == 0 {
        shell.complain(format!("{}: only meaningful in a `for', `while', or `until' loop", words[0]));
        return None;
    }
    let levels = words.get(1).map_or(Ok(1), |word| word.parse::<u32>());
    Some(levels.unwrap_or(1).clamp(1, shell.state.loops))
}

/// `break`
pub fn break_loop(shell: &mut Shell, words: &[String]) -> Run<i32> {
    levels(shell, words).map_or(Ok(0), |levels| Err(Stop::Break(levels)))
}

/// `continue`
pub fn continue_loop(shell: &mut Shell, words: &[String]) -> Run<i32> {
    levels(shell, words).map_or(Ok(0), |levels| Err(Stop::Continue(levels)))
}

/// `eval`
pub fn eval(shell: &mut Shell, words: &[String]) -> Run<i32> {
    shell.deeper()?;
    let text = words[1..].join(" ");
    let run = if text.trim().is_empty() { Ok(0) } else { shell.evaluated(&text) };
    shell.depth -= 1;
    run
}

/// `source`
pub fn source(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let Some(name) = words.get(1) else {
        shell.complain(format!("{}: filename argument required", words[0]));
        return Ok(2);
    };
    let text = match shell.read_script(name) {
        Ok(text) => text,
        Err((reason, _)) => {
            shell.complain(format!("{name}: {reason}"));
            return Ok(1);
        }
    };
    shell.deeper()?;
    let before = (words.len() > 2).then(|| std::mem::replace(&mut shell.state.positional, words[2..].to_vec()));
    shell.sourced += 1;
    let run = shell.evaluated(&text);
    shell.sourced -= 1;
    shell.depth -= 1;
    if let Some(positional) = before {
        shell.state.positional = positional;
    }
    match run {
        Err(Stop::Return(status)) => Ok(status),
        run => run,
    }
}

/// `exec`: with a command, nothing runs after it; without one only its redirections count.
pub fn exec(shell: &mut Shell, words: &[String]) -> Run<i32> {
    if words.len() == 1 {
        return Ok(0);
    }
    Err(Stop::Exit(shell.dispatch_command(&words[1..])?))
}

/// `trap`
pub fn trap(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let words: Vec<&str> = words[1..].iter().map(String::as_str).filter(|word| *word != "--").collect();
    match words[..] {
        [] | ["-p", ..] => {
            let line =
                |(signal, text): (&String, &String)| format!("trap -- {} {signal}\n", crate::quote::single(text));
            let lines: String = shell.state.traps.iter().map(line).collect();
            Ok(shell.print(&lines))
        }
        ["-l"] => Ok(0),
        [signal] => {
            shell.state.traps.remove(&signal_name(signal));
            Ok(0)
        }
        [text, ref signals @ ..] => {
            for signal in signals.iter().map(|signal| signal_name(signal)) {
                if text == "-" {
                    shell.state.traps.remove(&signal);
                } else {
                    shell.state.traps.insert(signal, text.to_owned());
                }
            }
            Ok(0)
        }
    }
}

fn signal_name(signal: &str) -> String {
    match signal.to_uppercase().as_str() {
        "0" | "EXIT" => "EXIT".to_owned(),
        name if name.starts_with("SIG") || matches!(name, "ERR" | "DEBUG" | "RETURN") => name.to_owned(),
        name => format!("SIG{name}"),
    }
}

/// `wait`: what `&` started has ended long ago.
pub fn wait(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let mut status = 0;
    for word in words[1..].iter().filter(|word| !word.starts_with('-')) {
        status = if let Some(status) =
            word.trim_start_matches('%').parse::<u32>().ok().and_then(|job| shell.jobs.get(&job))
        {
            *status
        } else {
            shell.complain(format!("wait: {word}: no such job"));
            127
        };
    }
    Ok(status)
}

/// `bash` and `sh`: a new shell in the same process.
pub fn bash(shell: &mut Shell, words: &[String]) -> Run<i32> {
    let (mut switches, mut is_text, mut rest) = (Vec::new(), false, &words[1..]);
    while let [word, after @ ..] = rest {
        if word == "--" || word == "-s" {
            rest = after;
            break;
        }
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else { break };
        if word == "-o" {
            switches.extend(after.first().map(|name| ["set".to_owned(), "-o".to_owned(), name.clone()].to_vec()));
            rest = after.get(1..).unwrap_or_default();
            continue;
        }
        is_text |= letters.contains('c');
        let others: String = letters.chars().filter(|letter| !"cil".contains(*letter)).collect();
        if !others.is_empty() && !word.starts_with("--") {
            switches.push(vec!["set".to_owned(), format!("-{others}")]);
        }
        rest = after;
    }
    let (text, name, positional) = match (is_text, rest) {
        (true, []) => {
            shell.complain("bash: -c: option requires an argument");
            return Ok(2);
        }
        (true, [text, name, positional @ ..]) => (text.clone(), name.clone(), positional.to_vec()),
        (true, [text]) => (text.clone(), words[0].clone(), Vec::new()),
        (false, []) => (input(shell), words[0].clone(), Vec::new()),
        (false, [file, positional @ ..]) => match shell.read_script(file) {
            Ok(text) => (text, file.clone(), positional.to_vec()),
            Err((reason, status)) => {
                shell.complain(format!("{file}: {reason}"));
                return Ok(status);
            }
        },
    };
    shell.fresh(&name, &positional, |shell| {
        for switch in &switches {
            // A switch that there is not was said.
            let _ = super::options::set(shell, switch);
        }
        shell.script(&text)
    })
}

/// Returns standard input as a script.
fn input(shell: &mut Shell) -> String {
    let source = shell.state.descriptors.source(0);
    let (mut reader, mut bytes) = (source.take(), Vec::new());
    // What cannot be read is no script.
    let _ = (&mut reader).take(PIPE_BYTES as u64).read_to_end(&mut bytes);
    source.put_back(reader);
    String::from_utf8_lossy(&bytes).into_owned()
}
