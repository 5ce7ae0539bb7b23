//! Modules, files and arguments: what a program sees of the workspace, and what it leaves there.

use protocol::CallOutcome;
use serde_json::json;
use testkit::{Runtime, Setup};

use crate::setting::{Said, call, run, runtime};

fn with(files: &[(&str, &str)]) -> Runtime {
    let runtime = runtime(Setup::default());
    for (path, content) in files {
        let path = runtime.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    runtime
}

fn read(runtime: &Runtime, path: &str) -> String {
    std::fs::read_to_string(runtime.root().join(path)).unwrap()
}

#[tokio::test]
async fn modules_import_each_other_below_the_workspace() {
    let runtime = with(&[
        (
            "main.mjs",
            "import twice, {name} from './lib/twice.js'; import data from './data.json' with {type: 'json'}; \
            import * as deep from './lib/deep'; console.log(name, import.meta.url); \
            export default {twice: twice(data.n), deep: deep.value, meta: import.meta.dirname}",
        ),
        ("lib/twice.js", "import {one} from '../one'; export const name = 'twice'; export default n => 2 * n * one"),
        ("lib/deep/index.js", "export const value = (await import('../../data.json')).default.n"),
        ("one.mjs", "export const one = 1"),
        ("data.json", "{\"n\": 21}"),
    ]);
    let said = call(&runtime, json!({"path": "main.mjs"})).await;
    let expected = "twice file:///work/main.mjs\nresult: {\"twice\":42,\"deep\":21,\"meta\":\"/work\"}";
    assert_eq!(said, Said::succeeded(expected));
    let said =
        call(&runtime, json!({"code": "import {one} from './one.mjs'; one + (await import('./one')).one"})).await;
    assert_eq!(said, Said::succeeded("result: 2"));
}

#[tokio::test]
async fn a_module_is_evaluated_once_and_cycles_end() {
    let runtime = with(&[
        (
            "a.js",
            "import {b} from './b.js'; export function a() { return 'a' } export const ab = 'a' + b; console.log('a')",
        ),
        ("b.js", "import {a} from './a.js'; export const b = 'b' + a(); console.log('b')"),
    ]);
    let said = call(&runtime, json!({"code": "import {ab} from './a.js'; import './b.js'; ab"})).await;
    assert_eq!(said, Said::succeeded("b\na\nresult: \"aba\""));
}

#[tokio::test]
async fn an_import_that_leads_nowhere_says_what_there_is() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.js"), "export default 'the secret'").unwrap();
    let inner = ("etc/inner.js", "export default 'the secret'");
    let runtime = with(&[("bad.js", "export default 1 +;"), ("lib.js", "import './bad.js'"), inner]);
    std::os::unix::fs::symlink(outside.path(), runtime.root().join("link")).unwrap();
    let absolute = outside.path().join("secret.js");
    let up = format!("../../../../../..{}", absolute.display());
    for (specifier, expected) in [
        ("./nothing.js", "Cannot find module './nothing.js' imported from [code]"),
        ("lodash", "Cannot find package 'lodash': there are no packages here"),
        ("node:child_process", "Cannot find package 'node:child_process'"),
        ("https://example.com/x.js", "Cannot find package 'https://example.com/x.js'"),
        (absolute.to_str().unwrap(), "Cannot find module"),
        (&up, "Cannot find module"),
        ("./link/secret.js", "Cannot find module"),
        ("/etc/inner.js", "Cannot find module"),
        ("./lib.js", "SyntaxError: bad.js: "),
    ] {
        let said = call(&runtime, json!({"code": format!("import x from {specifier:?}; x")})).await;
        assert_eq!(said.outcome, CallOutcome::Rejected, "{specifier}: {said:?}");
        assert!(said.text.contains(expected) && !said.text.contains("the secret"), "{specifier}: {}", said.text);
    }
}

const FILES: &str = r#"
import fs, {existsSync} from "node:fs";
import {readFile, writeFile} from "fs/promises";
import path from "path";
fs.mkdirSync("a/b", {recursive: true});
fs.writeFileSync("a/b/one.txt", "öne\n");
fs.appendFileSync(path.join("a", "b", "one.txt"), "two\n");
fs.writeFileSync("bytes", new Uint8Array([0, 255]));
await writeFile("a/hex", "00ff", "hex");
const log = [await readFile("a/b/one.txt", "utf8"), fs.readFileSync("bytes"), fs.readFileSync("a/hex", "base64")];
fs.copyFileSync("bytes", "copy");
fs.renameSync("copy", "a/moved");
log.push(fs.readdirSync("a"), fs.readdirSync("a", {withFileTypes: true}).map(e => [e.name, e.isDirectory()]));
log.push(fs.readdirSync("a", {recursive: true}));
const stat = fs.statSync("a/moved");
log.push([stat.isFile(), stat.size, stat.mtime instanceof Date, fs.statSync("x", {throwIfNoEntry: false})]);
fs.rmSync("a/b", {recursive: true});
fs.rmSync("nothing", {force: true});
fs.unlinkSync("a/hex");
log.push([existsSync("a/b"), existsSync("a/moved"), existsSync("../etc")]);
console.log(log);
"#;

#[tokio::test]
async fn files_are_written_on_the_stage_and_committed_at_the_end() {
    let runtime = with(&[("kept.txt", "kept")]);
    let said = call(&runtime, json!({"code": FILES})).await;
    let expected = "[
  'öne\\ntwo\\n',
  Uint8Array(2) [ 0, 255 ],
  'AP8=',
  [ 'b', 'hex', 'moved' ],
  [ [ 'b', true ], [ 'hex', false ], [ 'moved', false ] ],
  [ 'b', 'b/one.txt', 'hex', 'moved' ],
  [ true, 2, true, undefined ],
  [ false, true, false ]
]\n";
    assert_eq!(said, Said::succeeded(expected));
    assert_eq!((read(&runtime, "kept.txt"), runtime.root().join("a/b").exists()), ("kept".into(), false));
    assert_eq!(std::fs::read(runtime.root().join("a/moved")).unwrap(), [0, 255]);
}

#[tokio::test]
async fn a_program_that_fails_changes_nothing() {
    let runtime = with(&[("a.txt", "before")]);
    let code = "const fs = require('fs'); fs.writeFileSync('a.txt', 'after'); fs.writeFileSync('new', ''); \
                console.log(fs.readFileSync('a.txt', 'utf8')); throw new Error('no')";
    let said = call(&runtime, json!({"code": code})).await;
    let text = "Uncaught Error: no\n    at <main> ([code]:1:166)\n\nNothing was changed.\n\nconsole output until then:\nafter\n";
    let (outcome, place) = (said.outcome, regexless(&said.text));
    assert_eq!((outcome, place), (CallOutcome::Rejected, regexless(text)));
    assert_eq!((read(&runtime, "a.txt"), runtime.root().join("new").exists()), ("before".into(), false));
}

/// Returns `text` with the column of its place left out.
fn regexless(text: &str) -> String {
    text.lines().map(|line| line.split_once(":1:").map_or(line, |(before, _)| before)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn files_fail_as_they_do_in_node() {
    // What is outside every mount is not looked for in the workspace.
    let runtime = with(&[("file", ""), ("folder/inner", ""), ("etc/passwd", "inner")]);
    let mut wrong = Vec::new();
    for (code, expected) in [
        ("readFileSync('nothing')", "ENOENT: no such file or directory, open 'nothing'"),
        ("readFileSync('folder')", "EISDIR: illegal operation on a directory, read 'folder'"),
        ("readFileSync('file/x')", "ENOTDIR: not a directory, open 'file/x'"),
        ("readFileSync('')", "ENOENT: no such file or directory, open ''"),
        ("readFileSync('/etc/passwd')", "EACCES: permission denied"),
        ("readFileSync('../../etc/passwd')", "EPERM: operation not permitted, open '../../etc/passwd'"),
        ("writeFileSync('/results/x', '')", "EROFS: read-only file system, open '/results/x'"),
        ("writeFileSync('none/x', '')", "ENOENT: no such file or directory, open 'none/x'"),
        ("writeFileSync('file', '', {flag: 'wx'})", "EEXIST: file already exists, open 'file'"),
        ("mkdirSync('folder')", "EEXIST: file already exists, mkdir 'folder'"),
        ("rmdirSync('folder')", "ENOTEMPTY: directory not empty, rmdir 'folder'"),
        ("rmSync('folder')", "EISDIR: illegal operation on a directory, rm 'folder'"),
        ("readdirSync('file')", "ENOTDIR: not a directory, scandir 'file'"),
        ("statSync('nothing')", "ENOENT: no such file or directory, stat 'nothing'"),
        ("accessSync('nothing')", "ENOENT: no such file or directory, access 'nothing'"),
        ("renameSync('nothing', 'x')", "ENOENT: no such file or directory, rename 'nothing' -> 'x'"),
        ("copyFileSync('nothing', 'x')", "ENOENT: no such file or directory, copyfile 'nothing' -> 'x'"),
        ("readFileSync(3)", "The \"path\" argument must be of type string or an instance of URL. Received number"),
        ("readFileSync('file', 'utf7')", "Unknown encoding: utf7"),
    ] {
        let program =
            format!("let said; try {{ require('fs').{code} }} catch (e) {{ said = [e.message, e.code ?? null] }} said");
        let said = call(&runtime, json!({"code": program})).await;
        if said.outcome != CallOutcome::Succeeded || !said.text.contains(&escaped(expected)) {
            wrong.push(format!("{code}: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn escaped(text: &str) -> String {
    text.replace('"', "\\\"")
}

#[tokio::test]
async fn arguments_reach_the_program() {
    let runtime = with(&[("main.js", "export default [args.list.length, args.name]")]);
    let args = json!({"list": [1, 2], "name": "é"});
    let said = call(&runtime, json!({"path": "main.js", "args": args})).await;
    assert_eq!(said, Said::succeeded("result: [2,\"é\"]"));
    assert_eq!(run("args").await, Said::succeeded("result: null"));
}

#[tokio::test]
async fn a_call_names_either_code_or_a_path() {
    let runtime = with(&[]);
    for arguments in [json!({}), json!({"code": "1", "path": "a.js"})] {
        let said = call(&runtime, arguments).await;
        let text = "say either `code` or `path`, and not both".into();
        assert_eq!(said, Said { outcome: CallOutcome::Rejected, text });
    }
}
