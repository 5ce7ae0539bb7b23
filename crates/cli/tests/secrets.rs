//! Secrets, through the real binary: a canary is planted, used, echoed in every way, and looked for in every byte that the
//! product wrote.

mod product;
mod wire;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use product::{Product, Said};
use serde_json::{Value, json};
use tempfile::TempDir;
use wire::{Step, Wire};

/// A person's machine: a workspace, and beside it everything else that the product may write to.
struct Machine {
    product: Product,
    home: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { product: Product::new(), home: tempfile::tempdir().unwrap() };
        std::fs::create_dir(machine.home.path().join("tmp")).unwrap();
        machine
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.product.command(arguments);
        let home = self.home.path();
        command.env_remove("XDG_DATA_HOME");
        command.env("HOME", home).env("TMPDIR", home.join("tmp")).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs `boxagnts secret set` with `value` on stdin.
    fn set(&self, arguments: &[&str], value: &str) -> Said {
        let arguments = [&["secret", "set"], arguments].concat();
        let mut child = self.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
        // It may refuse before it reads.
        let _ = child.stdin.take().unwrap().write_all(value.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    fn store(&self) -> PathBuf {
        self.home.path().join(".local/share/boxagnts/secrets")
    }

    fn allow(&self, port: u16, secrets: &str) {
        let hosts = format!("[\"http://127.0.0.1:{port}\"]");
        self.product.write(
            "boxagnts.toml",
            &format!(
                "[network]\nallowed_outbound_hosts = {hosts}\nallow_private = {hosts}\n[secrets]\nallowed = {secrets}\n\
                 [[rules]]\nname = \"fetching\"\nverdict = \"allow\"\ntools = [\"fetch\", \"shell\"]\n"
            ),
        );
    }

    fn fetch(&self, input: &Value) -> Said {
        self.run(&["tool", "call", "fetch", "--headless", "--input", &input.to_string()])
    }
}

/// A server that sends back, in many ways, what it was sent.
struct Echo {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heads, is_over) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let listening = std::thread::spawn({
            let (heads, is_over) = (heads.clone(), is_over.clone());
            move || {
                for stream in listener.incoming().take_while(|_| !is_over.load(Ordering::SeqCst)) {
                    answer(stream.unwrap(), &heads);
                }
            }
        });
        Self { port, heads, is_over, listening: Some(listening) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        self.listening.take().unwrap().join().unwrap();
    }
}

fn answer(mut stream: TcpStream, heads: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap() == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let value = head.lines().find_map(|line| line.strip_prefix("x-key: Bearer ")).unwrap_or_default().to_owned();
    heads.lock().unwrap().push(head);
    // A client that cares no more is no failure.
    let _ = stream.write_all(&echo(&path, &value));
}

/// Returns what stands for `value` in the ways that servers have.
fn spellings(value: &str) -> Vec<String> {
    let mut spellings = vec![value.to_owned(), percent(value, false), percent(value, true), percent_all(value)];
    for text in [value.to_owned(), format!("u:{value}"), format!("user:{value}!")] {
        spellings.extend([BASE64_STANDARD.encode(&text), BASE64_URL_SAFE.encode(&text)]);
    }
    let json = serde_json::to_string(value).unwrap();
    spellings.push(json[1..json.len() - 1].to_owned());
    spellings.push(value.replace('&', "&amp;").replace('"', "&quot;"));
    spellings
}

fn percent(value: &str, lower: bool) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        byte if lower => format!("%{byte:02x}"),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}

fn percent_all(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn response(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

fn chunks(body: &[u8], size: usize, coding: &str) -> Vec<u8> {
    let mut whole =
        format!("HTTP/1.1 200 OK\r\n{coding}transfer-encoding: chunked\r\nconnection: close\r\n\r\n").into_bytes();
    for chunk in body.chunks(size) {
        whole.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        whole.extend([chunk, b"\r\n"].concat());
    }
    [whole, b"0\r\n\r\n".to_vec()].concat()
}

fn echo(path: &str, value: &str) -> Vec<u8> {
    let all = format!("echo: {} :end", spellings(value).join(" , "));
    let text = ("content-type", "text/plain");
    match path {
        "/chunks" => chunks(all.as_bytes(), 3, "content-type: text/plain\r\n"),
        "/gzip" => response("200 OK", &[text, ("content-encoding", "gzip")], &gzip(&all)),
        "/gzip-chunks" => chunks(&gzip(&all), 4, "content-type: text/plain\r\ncontent-encoding: gzip\r\n"),
        "/html" => {
            let page = format!("<title>{}</title><p>{}</p>", value.replace('&', "&amp;"), value.replace('&', "&#38;"));
            response("200 OK", &[("content-type", "text/html")], page.as_bytes())
        }
        "/headers" => {
            let kind = format!("text/plain; a={value}; b={}", BASE64_STANDARD.encode(value));
            response(&format!("200 {value}"), &[("content-type", &kind), ("x-echo", value)], b"x")
        }
        "/large" => response("200 OK", &[text], format!("{all}\n").repeat(200).as_bytes()),
        "/coding" => response("200 OK", &[("content-encoding", value)], b"x"),
        "/cut" => {
            let mut whole = response("200 OK", &[text], all.repeat(9).as_bytes());
            whole.truncate(whole.len() - all.len());
            whole
        }
        "/redirect" => {
            let to = format!("/plain?key={}", percent(value, false));
            response("302 Found", &[("location", &to)], all.as_bytes())
        }
        "/away" => {
            let to = format!("http://127.0.0.2:9/?key={}", percent(value, false));
            response("302 Found", &[("location", &to)], all.as_bytes())
        }
        "/nothing" => Vec::new(),
        _ => response("200 OK", &[text], all.as_bytes()),
    }
}

const PATHS: [&str; 12] = [
    "/plain",
    "/chunks",
    "/gzip",
    "/gzip-chunks",
    "/html",
    "/headers",
    "/large",
    "/coding",
    "/cut",
    "/redirect",
    "/away",
    "/nothing",
];

/// Returns what of `value` no text of the product's may hold: each spelling whole, and of base64 the middle too, which
/// stays when what stands around it changes.
fn traces(value: &str) -> Vec<String> {
    let mut traces = spellings(value);
    let encoded: Vec<_> =
        ["", "x", "xy"].iter().map(|before| BASE64_STANDARD.encode(format!("{before}{value}"))).collect();
    traces.extend(encoded.iter().map(|text| text[4..text.len() - 4].to_owned()));
    let hex = value.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    traces.extend([
        hex,
        value.to_ascii_lowercase(),
        value[..value.len() / 2].to_owned(),
        value[value.len() / 2..].to_owned(),
    ]);
    traces
}

fn assert_clean(what: &str, bytes: &[u8], traces: &[String]) {
    let text = String::from_utf8_lossy(bytes);
    for trace in traces {
        assert!(!text.contains(trace), "{what} holds {trace}");
    }
}

/// Looks through every file below `folder` but `except`; returns how many there were.
fn search(folder: &Path, except: &Path, traces: &[String]) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            files += search(&path, except, traces);
        } else if path.is_file() && path != except {
            // Other tests use the same cache.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            assert_clean(&path.display().to_string(), &bytes, traces);
            files += 1;
        }
    }
    files
}

fn canary() -> String {
    use rand::Rng as _;
    let random = || rand::rng().next_u64();
    // With everything that encoders treat specially.
    format!("cAn&/ry+{:016x}?\" ~%{:016X}", random(), random())
}

#[test]
fn no_byte_that_the_product_wrote_holds_a_secret() {
    let (machine, server, value) = (Machine::new(), Echo::start(), canary());
    let traces = traces(&value);
    machine.allow(server.port, "[\"CANARY\"]");
    let host = format!("http://127.0.0.1:{}", server.port);
    let set =
        machine.set(&["CANARY", "--host", &host, "--header", "X-Key", "--format", "Bearer {}"], &format!("{value}\n"));
    assert_eq!(set.code, Some(0), "{set:?}");

    let request = |path: &str| json!({"url": server.url(path), "headers": {"X-Key": "{{secret:CANARY}}"}});
    let misplaced = json!({"url": server.url("/{{secret:CANARY}}"), "headers": {"X-Other": "{{secret:CANARY}}"}});
    let mut steps: Vec<_> = PATHS.iter().map(|path| Step::Call("fetch", request(path))).collect();
    steps.push(Step::Call("fetch", misplaced.clone()));
    // What was too large for the model is a file; from there a tool takes it to the workspace, and to its own folder.
    steps.push(Step::Call(
        "shell",
        json!({"script": "cat /results/*.txt > /work/copy.txt; cp /work/copy.txt /tmp/copy"}),
    ));
    steps.push(Step::Call("read", json!({"path": "copy.txt"})));
    steps.push(Step::Say("I sent {{secret:CANARY}} everywhere."));
    let wire = Wire::serve(steps);

    machine.product.allow_model("openai", "any");
    let mut said = vec![set];
    let drive = |arguments: &[&str]| -> Said {
        let mut command = machine.command(arguments);
        command.env("OPENAI_API_KEY", "a-key-for-tests").env("OPENAI_BASE_URL", wire.url("/v1"));
        command.output().unwrap().into()
    };
    for output in ["json", "text"] {
        let ran = drive(&["run", "--headless", "--model", "openai/any", "--output", output, "fetch it all"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        said.push(ran);
    }
    let sessions = machine.run(&["session", "list"]);
    let session = sessions.stdout.split_whitespace().next().unwrap().to_owned();
    for path in PATHS {
        said.push(machine.fetch(&request(path)));
    }
    for arguments in [
        &["session", "show", &session][..],
        &["session", "show", &session, "--output", "json"],
        &["secret", "list"],
        &["changes", "list"],
        &["doctor"],
        &["tool", "show", "fetch"],
    ] {
        said.push(machine.run(arguments));
    }
    said.push(machine.fetch(&misplaced));
    said.push(sessions);

    // The value went out, each time; and what came back held it.
    let heads = server.heads();
    let arrived =
        |path: &str| heads.iter().any(|head| head.starts_with(&format!("GET {path} ")) && head.contains(&value));
    assert!(PATHS.iter().all(|path| arrived(path)), "{heads:?}");
    assert!(!heads.iter().any(|head| head.contains("secret:")), "{heads:?}");

    assert_clean("what the model was sent", serde_json::to_string(&wire.requests()).unwrap().as_bytes(), &traces);
    for Said { stdout, stderr, .. } in &said {
        assert_clean("stdout", stdout.as_bytes(), &traces);
        assert_clean("stderr", stderr.as_bytes(), &traces);
    }
    let values = machine.store().join("values.json");
    let known = serde_json::from_str::<Value>(&std::fs::read_to_string(&values).unwrap()).unwrap();
    assert_eq!(known["values"], json!({"CANARY": value}));
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let files = [machine.product.root(), machine.home.path(), &cache].map(|folder| search(folder, &values, &traces));
    assert!(files.iter().all(|files| *files > 1), "{files:?}");

    // What was searched is what would have held it.
    let copy = machine.product.read("copy.txt");
    assert!(copy.matches("{{secret:CANARY}}").count() > 1000 && copy.contains("echo:"), "{copy:.300}");
    let journal = std::fs::read(machine.product.root().join(".boxagnts/journal.db")).unwrap();
    assert!(String::from_utf8_lossy(&journal).contains("{{secret:CANARY}}"));
    let told = serde_json::to_string(&wire.requests()[0]["messages"][0]).unwrap();
    assert!(told.contains("CANARY: header `x-key` with the value `Bearer {{secret:CANARY}}`"), "{told}");
    let shown = said.iter().find(|said| said.stdout.contains("; with CANARY)"));
    assert!(shown.is_some(), "the session shows which secrets were used");
}

#[test]
fn having_stored_a_secret_gives_it_to_no_workspace() {
    let (machine, server) = (Machine::new(), Echo::start());
    let host = format!("http://127.0.0.1:{}", server.port);
    assert_eq!(machine.set(&["KEY", "--host", &host, "--header", "X-Key"], "0123456789").code, Some(0));
    let request = json!({"url": server.url("/plain"), "headers": {"X-Key": "{{secret:KEY}}"}});
    for (allowed, rule) in [("[]", "secrets.grant"), ("[\"OTHER\"]", "secrets.grant")] {
        machine.allow(server.port, allowed);
        let said = machine.fetch(&request);
        assert_ne!(said.code, Some(0), "{said:?}");
        assert!(said.stderr.contains(rule), "{said:?}");
    }
    machine.allow(server.port, "[\"KEY\", \"OTHER\"]");
    let missing = json!({"url": server.url("/plain"), "headers": {"X-Key": "{{secret:OTHER}}"}});
    let said = machine.fetch(&missing);
    assert!(said.stderr.contains("secrets.unknown"), "{said:?}");
    assert!(server.heads().is_empty(), "{:?}", server.heads());
    assert_eq!(machine.fetch(&request).code, Some(0));
    assert!(server.heads()[0].contains("x-key: 0123456789\r\n"), "{:?}", server.heads());
}

#[test]
fn a_person_stores_lists_and_removes_secrets() {
    let machine = Machine::new();
    let token =
        ["GITHUB_TOKEN", "--host", "https://api.github.com", "--header", "Authorization", "--format", "Bearer {}"];
    let set = machine.set(&token, "0123456789abcdef\n");
    assert_eq!((set.code, set.stdout.as_str()), (Some(0), ""), "{set:?}");
    assert!(set.stderr.contains("values.json") && set.stderr.contains("allowed = [\"GITHUB_TOKEN\"]"), "{set:?}");
    let map = ["MAP_KEY", "--host", "https://*.map.test", "--host", "https://map.test:8443", "--query", "key"];
    assert_eq!(machine.set(&map, "fedcba9876543210").code, Some(0));
    machine.product.write("boxagnts.toml", "[secrets]\nallowed = [\"MAP_KEY\", \"OTHER\"]\n");
    let listed = machine.run(&["secret", "list"]);
    assert_eq!(
        listed.stdout.lines().collect::<Vec<_>>(),
        [
            "GITHUB_TOKEN  header authorization: Bearer {}  https://api.github.com:443  file  not allowed here",
            "MAP_KEY  query parameter key  https://*.map.test:443, https://map.test:8443  file  allowed here",
            "OTHER  allowed here, but not stored",
        ]
    );
    assert_eq!(machine.run(&["secret", "rm", "GITHUB_TOKEN"]).code, Some(0));
    let again = machine.run(&["secret", "rm", "GITHUB_TOKEN"]);
    assert!(again.code == Some(2) && again.stderr.contains("hint: see which there are"), "{again:?}");
    assert_eq!(machine.run(&["secret", "list"]).stdout.lines().count(), 2);
    let left = std::fs::read_to_string(machine.store().join("values.json")).unwrap();
    assert!(!left.contains("0123456789abcdef") && left.contains("fedcba9876543210"));
}

#[test]
fn a_keychain_that_does_not_answer_is_said_and_the_file_takes_its_place() {
    let machine = Machine::new();
    let mut command = machine.command(&["secret", "set", "KEY", "--host", "https://a.test", "--query", "key"]);
    let nowhere = format!("unix:path={}/bus", machine.home.path().display());
    let mut child = command.env("DBUS_SESSION_BUS_ADDRESS", nowhere).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"0123456789").unwrap();
    let said: Said = child.wait_with_output().unwrap().into();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("values.json, which only you can read (not in the keychain: "), "{said:?}");
    assert!(machine.run(&["secret", "list"]).stdout.contains("  file  "));
}

#[test]
fn what_cannot_be_a_secret_is_refused_with_what_to_type() {
    let machine = Machine::new();
    let to = ["--host", "https://a.test"];
    let header = [&["KEY"], &to[..], &["--header", "X-Key"]].concat();
    for (arguments, value, problem) in [
        (header.clone(), "\n", "the value is empty; type it when asked, or pipe it in"),
        (header.clone(), "1234567\n", "the value has 7 bytes"),
        (header.clone(), "12345678\n\n", "a line break"),
        (header.clone(), "1234\n5678\n", "a line break"),
        ([&["my-key"], &to[..], &["--header", "X-Key"]].concat(), "12345678", "write `MY_KEY`"),
        (vec!["KEY", "--host", "a.test", "--header", "X-Key"], "12345678", "write `https://a.test`"),
        (vec!["KEY", "--host", "tcp://a.test:5", "--header", "X-Key"], "12345678", "write `https://…`"),
        (vec!["KEY", "--header", "X-Key"], "12345678", "--host <PATTERN>"),
        ([&["KEY"], &to[..]].concat(), "12345678", "--header <NAME>"),
        ([&["KEY"], &to[..], &["--header", "a b"]].concat(), "12345678", "not the name of a header"),
        ([&["KEY"], &to[..], &["--header", "a", "--format", "x"]].concat(), "12345678", "write `Bearer {}`"),
        ([&["KEY"], &to[..], &["--header", "a", "--query", "b"]].concat(), "12345678", "cannot be used with"),
        ([&["KEY"], &to[..], &["--query", "a", "--format", "{}x"]].concat(), "12345678", "cannot be used with"),
        ([&["KEY"], &to[..], &["--basic", "a:b"]].concat(), "12345678", "without `:`"),
        ([&["KEY", "12345678"], &to[..], &["--header", "a"]].concat(), "", "unexpected argument"),
    ] {
        let said = machine.set(&arguments, value);
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(problem), "{arguments:?}: {}", said.stderr);
    }
    assert!(!machine.store().join("index.json").exists());
}

#[test]
fn secrets_lie_where_no_tool_reads_and_are_read_only_when_nobody_else_could() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let set = ["KEY", "--host", "https://a.test", "--header", "X-Key"];
    // A person's whole home as a workspace would hold the values.
    let inside = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.env("XDG_DATA_HOME", machine.product.root().join("data")).output().unwrap()
    };
    let refused: Said = inside(&["secret", "list"]).into();
    assert!(refused.code == Some(2) && refused.stderr.contains("the folder of secrets"), "{refused:?}");

    machine.product.write("boxagnts.toml", "[secrets]\nallowed = [\"KEY\"]\n");
    assert_eq!(machine.set(&set, "0123456789").code, Some(0));
    let values = machine.store().join("values.json");
    std::fs::set_permissions(&values, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = machine.run(&["tool", "list"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("can be reached by other users") && said.stderr.contains("hint:"), "{said:?}");
}
