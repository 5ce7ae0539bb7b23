//! What the real programs of this machine cannot be asked: what is said by gawk and not by mawk, archives that go from
//! one to the other, streams that end, and the commands with answers of their own.

#![expect(clippy::unwrap_used, reason = "what goes wrong here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::path::Path;

use commands::{Invocation, Runner, lookup, names};

struct Table<'t> {
    cwd: &'t Path,
}

impl Runner for Table<'_> {
    fn run(
        &mut self,
        argv: &[String],
        env: &BTreeMap<String, String>,
        stdin: &mut dyn BufRead,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> i32 {
        let Some(command) = lookup(&argv[0]) else { return 127 };
        let mut inner = Table { cwd: self.cwd };
        command(&mut Invocation { args: argv, env, cwd: self.cwd, stdin, stdout, stderr, runner: &mut inner })
    }
}

fn run_in(cwd: &Path, argv: &[&str], stdin: &mut dyn BufRead, stdout: &mut dyn Write) -> (i32, String) {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let env = BTreeMap::from([("NAME".to_owned(), "World".to_owned())]);
    let mut stderr = Vec::new();
    let code = Table { cwd }.run(&argv, &env, stdin, stdout, &mut stderr);
    (code, String::from_utf8(stderr).unwrap())
}

/// Returns standard output, the exit code and standard error.
fn run(cwd: &Path, argv: &[&str], stdin: &str) -> (String, i32, String) {
    let mut stdout = Vec::new();
    let (code, stderr) = run_in(cwd, argv, &mut Cursor::new(stdin), &mut stdout);
    (String::from_utf8(stdout).unwrap(), code, stderr)
}

fn output(argv: &[&str], stdin: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (stdout, code, stderr) = run(folder.path(), argv, stdin);
    assert_eq!((code, stderr.as_str()), (0, ""), "{argv:?}");
    stdout
}

#[test]
fn awk_answers_as_gawk_where_mawk_differs() {
    let cases = [
        (r#"BEGIN{print substr("hello",0), substr("hello",-1,3), substr("hello",2)}"#, "hello h ello\n"),
        ("BEGIN{print 2**3, 2**3**2}", "8 512\n"),
        ("BEGIN{print 100000 * 100000, 2^31, 2^53}", "10000000000 2147483648 9007199254740992\n"),
        (r#"BEGIN{print gensub(/(a)(b)/, "\\2\\1", "g", "abab")}"#, "baba\n"),
        (r#"BEGIN{print index("abc","")}"#, "0\n"),
        (r#"BEGIN{print length("h\303\251llo"), toupper("h\303\251")}"#, "5 HÉ\n"),
        ("BEGIN{if (match(\"foobar\", /(o+)(b)/, m)) print m[1], m[2]}", "oo b\n"),
        ("BEGIN{n[10]; n[9]; n[\"x\"]; for (k in n) print k}", "9\n10\nx\n"),
        ("function f() { exit 0 } BEGIN { f(); print \"no\" } END { print \"end\" }", "end\n"),
    ];
    for (program, expected) in cases {
        assert_eq!(output(&["awk", program], ""), expected, "{program}");
    }
}

#[test]
fn awk_pipes_a_line_to_the_shell() {
    /// Answers for `sh -c`.
    struct Shell;
    impl Runner for Shell {
        fn run(
            &mut self,
            argv: &[String],
            _: &BTreeMap<String, String>,
            stdin: &mut dyn BufRead,
            stdout: &mut dyn Write,
            _: &mut dyn Write,
        ) -> i32 {
            let mut text = String::new();
            stdin.read_to_string(&mut text).unwrap();
            write!(stdout, "{argv:?} {text:?};").unwrap();
            3
        }
    }
    let program =
        r#"BEGIN { print "b" | "sort"; print "a" | "sort"; print close("sort"); "date" | getline d; print d }"#;
    let args = ["awk".to_owned(), program.to_owned()];
    let mut stdout = Vec::new();
    let code = lookup("awk").unwrap()(&mut Invocation {
        args: &args,
        env: &BTreeMap::new(),
        cwd: Path::new("/"),
        stdin: &mut io::empty(),
        stdout: &mut stdout,
        stderr: &mut io::sink(),
        runner: &mut Shell,
    });
    let expected = "[\"sh\", \"-c\", \"sort\"] \"b\\na\\n\";3\n[\"sh\", \"-c\", \"date\"] \"\";\n";
    assert_eq!((code, String::from_utf8(stdout).unwrap().as_str()), (0, expected));
}

/// Takes some bytes, and then has enough.
struct Enough(usize);

impl Write for Enough {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(left) => {
                self.0 = left;
                Ok(bytes.len())
            }
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_enough_ends_what_would_never_end() {
    let endless = |argv: &[&str]| {
        let mut stdin = BufReader::new(io::repeat(b'y').chain(io::empty()));
        run_in(Path::new("/"), argv, &mut stdin, &mut Enough(100_000))
    };
    let lines = |argv: &[&str]| {
        struct Lines;
        impl Read for Lines {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = buffer.len() / 2 * 2;
                buffer[..length].chunks_mut(2).for_each(|pair| pair.copy_from_slice(b"y\n"));
                Ok(length)
            }
        }
        run_in(Path::new("/"), argv, &mut BufReader::new(Lines), &mut Enough(100_000))
    };
    let quietly = (141, String::new());
    assert_eq!(endless(&["yes"]), quietly);
    assert_eq!(endless(&["cat"]), quietly);
    assert_eq!(endless(&["tr", "y", "x"]), quietly);
    for argv in [
        &["cat", "-n"][..],
        &["cut", "-c1"],
        &["grep", "y"],
        &["sed", "s/y/x/"],
        &["awk", "{print}"],
        &["nl"],
        &["tee"],
        &["uniq", "-D"],
        &["paste", "-"],
        &["fold", "-w1"],
        &["head", "-n", "-1"],
        &["tail", "-n", "+2"],
        &["base64"],
        &["rev"],
    ] {
        assert_eq!(lines(argv), quietly, "{argv:?}");
    }
}

#[test]
fn what_is_enough_is_not_read_on() {
    let mut stdin = BufReader::new(io::repeat(b'y').chain(io::empty()));
    let mut stdout = Vec::new();
    let ended = run_in(Path::new("/"), &["head", "-c", "3"], &mut stdin, &mut stdout);
    assert_eq!((ended, stdout.as_slice()), ((0, String::new()), &b"yyy"[..]));
    for argv in [&["head", "-n1"][..], &["sed", "1q"], &["awk", "{print; exit}"], &["grep", "-m1", "a"]] {
        let mut stdin = BufReader::new(Cursor::new("a\n").chain(Failing));
        let mut stdout = Vec::new();
        let ended = run_in(Path::new("/"), argv, &mut BufReader::with_capacity(2, &mut stdin), &mut stdout);
        assert_eq!((ended, stdout.as_slice()), ((0, String::new()), &b"a\n"[..]), "{argv:?}");
    }
}

/// An input that nobody should have asked.
struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("asked on"))
    }
}

fn real(cwd: &Path, argv: &[&str]) -> String {
    let done =
        std::process::Command::new(argv[0]).args(&argv[1..]).current_dir(cwd).env("LC_ALL", "C").output().unwrap();
    assert!(done.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("d/e")).unwrap();
    fs::write(folder.path().join("d/one"), "1\n").unwrap();
    fs::write(folder.path().join("d/e/two"), "2".repeat(2000)).unwrap();
    std::os::unix::fs::symlink("one", folder.path().join("d/link")).unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    folder
}

fn is_whole(folder: &Path) {
    assert_eq!(fs::read_to_string(folder.join("d/one")).unwrap(), "1\n");
    assert_eq!(fs::read_to_string(folder.join("d/e/two")).unwrap(), "2".repeat(2000));
    assert_eq!(fs::read_link(folder.join("d/link")).unwrap(), Path::new("one"));
}

#[test]
fn archives_go_both_ways() {
    let listed = "d/\nd/e/\nd/e/two\nd/link\nd/one\n".to_owned();
    for letters in ["cf", "czf"] {
        let ours = tree();
        assert_eq!(run(ours.path(), &["tar", letters, "a", "d"], ""), (String::new(), 0, String::new()));
        assert_eq!(real(ours.path(), &["tar", "tf", "a"]), listed);
        real(ours.path(), &["tar", "xf", "a", "-C", "out"]);
        is_whole(&ours.path().join("out"));

        let theirs = tree();
        real(theirs.path(), &["tar", "--sort=name", &format!("-{letters}"), "a", "d"]);
        assert_eq!(run(theirs.path(), &["tar", "tf", "a"], ""), (listed.clone(), 0, String::new()));
        assert_eq!(run(theirs.path(), &["tar", "-x", "-f", "a", "-C", "out"], ""), (String::new(), 0, String::new()));
        is_whole(&theirs.path().join("out"));
        assert_eq!(run(theirs.path(), &["tar", "xOf", "a", "d/one"], ""), ("1\n".to_owned(), 0, String::new()));
        assert_eq!(run(theirs.path(), &["tar", "tf", "a", "nope"], "").1, 2);
    }
}

#[test]
fn no_member_of_an_archive_leads_out() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    header.as_gnu_mut().unwrap().name[..9].copy_from_slice(b"../escape");
    header.set_cksum();
    builder.append(&header, &b"x"[..]).unwrap();
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "way", "..").unwrap();
    let mut through = tar::Header::new_gnu();
    through.set_size(1);
    through.set_mode(0o644);
    builder.append_data(&mut through, "way/escape", &b"x"[..]).unwrap();
    fs::write(inside.join("a.tar"), builder.into_inner().unwrap()).unwrap();
    let (_, code, stderr) = run(&inside, &["tar", "xf", "a.tar"], "");
    assert_eq!(code, 2);
    assert!(stderr.contains("'..'"), "{stderr}");
    assert!(!folder.path().join("escape").exists());
    assert_eq!(fs::read_to_string(inside.join("way/escape")).unwrap(), "x");
}

#[test]
fn gzip_and_gunzip_undo_each_other() {
    let folder = tree();
    let at = |argv: &[&str]| run(folder.path(), argv, "");
    assert_eq!(at(&["gzip", "d/one"]), (String::new(), 0, String::new()));
    assert_eq!(real(folder.path(), &["zcat", "d/one.gz"]), "1\n");
    assert_eq!(at(&["zcat", "d/one.gz"]), ("1\n".to_owned(), 0, String::new()));
    assert_eq!(at(&["gunzip", "-k", "d/one.gz"]), (String::new(), 0, String::new()));
    assert_eq!(fs::read_to_string(folder.path().join("d/one")).unwrap(), "1\n");
    real(folder.path(), &["gzip", "-f", "d/one"]);
    assert_eq!(at(&["gzip", "-dc", "d/one.gz"]), ("1\n".to_owned(), 0, String::new()));
    fs::write(folder.path().join("bad.gz"), "no").unwrap();
    assert_eq!(at(&["gunzip", "-c", "bad.gz"]).1, 1);
}

#[test]
fn random_ones_are_what_they_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let (name, code, _) = run(folder.path(), &["mktemp", "-p", ".", "a.XXXXXX"], "");
    assert_eq!((code, name.len()), (0, "./a.XXXXXX\n".len()));
    assert!(folder.path().join(name.trim()).is_file());
    let (name, _, _) = run(folder.path(), &["mktemp", "-d", "b.XXXXXX"], "");
    assert!(folder.path().join(name.trim()).is_dir());
    let mut shuffled: Vec<String> = output(&["shuf", "-i", "1-20"], "").lines().map(str::to_owned).collect();
    shuffled.sort_by_key(|line| line.parse::<u32>().unwrap());
    assert_eq!(shuffled, (1..=20).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn the_sandbox_says_what_it_is() {
    assert_eq!(output(&["whoami"], ""), "root\n");
    assert_eq!(output(&["id", "-u"], ""), "0\n");
    assert_eq!(output(&["id"], ""), "uid=0(root) gid=0(root) groups=0(root)\n");
    assert_eq!(output(&["hostname"], ""), "sandbox\n");
    assert_eq!(output(&["nproc"], ""), "1\n");
    assert_eq!(output(&["uname"], ""), "Linux\n");
    assert_eq!(output(&["uname", "-sm"], ""), "Linux wasm32\n");
    assert_eq!(output(&["which", "grep"], ""), "/usr/bin/grep\n");
    assert_eq!(run(Path::new("/"), &["which", "nope"], ""), (String::new(), 1, String::new()));
    assert_eq!(output(&["wc"], "a b\n"), "      1       2       4\n");
    assert_eq!(output(&["wc", "-m"], "é\n"), "2\n");
}

#[test]
fn a_command_has_its_time() {
    assert_eq!(run(Path::new("/"), &["timeout", "0.05", "yes"], "").1, 124);
    assert_eq!(run(Path::new("/"), &["timeout", "0.05", "sleep", "60"], "").1, 124);
    assert_eq!(run(Path::new("/"), &["timeout", "60", "echo", "hi"], ""), ("hi\n".to_owned(), 0, String::new()));
}

#[test]
fn what_is_refused_says_so() {
    let code = |argv: &[&str]| {
        let (stdout, code, stderr) = run(Path::new("/"), argv, "");
        assert_eq!(stdout, "", "{argv:?}");
        assert!(stderr.starts_with(argv[0]), "{argv:?}: {stderr}");
        code
    };
    assert_eq!(code(&["grep", "-P", "x"]), 2);
    assert_eq!(code(&["tail", "-f", "x"]), 1);
    assert_eq!(code(&["printf"]), 2);
    assert_eq!(code(&["tar", "cjf", "a", "b"]), 2);
    assert_eq!(code(&["awk", "BEGIN{print 1/0}"]), 2);
    assert_eq!(code(&["jq", "-n", &"[".repeat(100)]), 3);
}

#[test]
fn awk_calls_that_never_return_are_refused() {
    // Frames of a build for tests are many times those of a release.
    let program = || output_code(&["awk", "function f(n) { return f(n) } BEGIN { f(1) }"]);
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(program).unwrap();
    assert_eq!(thread.join().unwrap(), 2);
}

fn output_code(argv: &[&str]) -> i32 {
    run(Path::new("/"), argv, "").1
}

#[test]
fn every_name_leads_to_a_command() {
    let names: Vec<&str> = names().collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(names, sorted);
    assert!(names.len() >= 90, "{}", names.len());
    assert!(names.iter().all(|name| lookup(name).is_some()));
    assert!(lookup("nope").is_none());
}
