//! Calls of every shipped tool, recorded and run again: byte for byte, whatever became of the world since.

extern crate boxagnts_tools as tools;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use protocol::{Arguments, CallId, CallOutcome, ContentHash, EventBody, Taped, ToolCall};
use serde_json::{Value, json};
use testkit::{Runtime, Server, Setup, random};
use tokio_util::sync::CancellationToken;
use tools::{ReplayResult, ToolSession};
use workspace::{Durability, SessionAccount};

/// One runtime, one session, and what was called in it.
struct Story {
    runtime: Runtime,
    session: ToolSession,
}

impl Story {
    fn with(setup: Setup) -> Self {
        let runtime = Runtime::with(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("replay"), setup);
        let session = runtime.session();
        Self { runtime, session }
    }

    fn new() -> Self {
        Self::with(Setup::default())
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.runtime.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Calls `tool`, which must end with `outcome`. Returns what the model reads.
    async fn call_to(&self, tool: &str, arguments: Value, outcome: CallOutcome) -> String {
        let call = CallId::from_random(random());
        let proposal = ToolCall { call, wire_id: "w".into(), tool: tool.into(), arguments: Arguments::Json(arguments) };
        let proposed = EventBody::CallProposed { proposal: proposal.clone() };
        self.runtime.workspace.journal().append(self.session.id(), &[proposed], Durability::Process).unwrap();
        let finished = self.runtime.call(&self.session, proposal).await;
        assert_eq!(finished.outcome, outcome, "{tool}: {}", finished.result.text);
        finished.result.text
    }

    async fn call(&self, tool: &str, arguments: Value) -> String {
        self.call_to(tool, arguments, CallOutcome::Succeeded).await
    }

    fn account(&self) -> SessionAccount {
        let mut account = SessionAccount::default();
        self.runtime.workspace.journal().for_each(self.session.id(), |event| account.apply(&event)).unwrap();
        account
    }

    /// Runs every call again.
    async fn replay(&self) -> Vec<(String, ReplayResult)> {
        let (account, replayer) = (self.account(), self.runtime.replayer());
        let mut results = Vec::new();
        for call in account.calls() {
            let result = replayer.replay(&account, call, None, &CancellationToken::new()).await;
            results.push((call.tool.clone(), result));
        }
        results
    }

    async fn assert_same(&self) {
        for (tool, result) in self.replay().await {
            assert!(matches!(result, ReplayResult::Same { fuel } if fuel > 0), "{tool}: {result:#?}");
        }
    }

    /// Makes the workspace another one.
    fn forget(&self) {
        for entry in std::fs::read_dir(self.runtime.root()).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(".boxagnts") {
                continue;
            }
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
        self.put("src/other.rs", "something else entirely\n");
    }
}

#[tokio::test]
async fn files_are_as_they_were() {
    let story = Story::new();
    story.put("src/main.rs", "fn main() {\n    println!(\"one\");\n}\n");
    story.put("src/lib/a.rs", "pub fn one() {}\n");
    story.put("notes.md", &"a line of many\n".repeat(5_000));
    std::os::unix::fs::symlink("src/main.rs", story.runtime.root().join("link")).unwrap();
    story.call("read", json!({ "path": "src/main.rs" })).await;
    story.call("read", json!({ "path": "link" })).await;
    story.call("read", json!({ "path": "notes.md", "offset": 4_000, "limit": 10 })).await;
    story.call_to("read", json!({ "path": "missing" }), CallOutcome::Rejected).await;
    story.call("list", json!({ "path": "." })).await;
    story.call("glob", json!({ "pattern": "**/*.rs" })).await;
    story.call("grep", json!({ "pattern": "one" })).await;
    story.call("edit", json!({ "path": "src/main.rs", "edits": [{ "old": "one", "new": "two" }] })).await;
    story.call("read", json!({ "path": "src/main.rs" })).await;
    story.call("write", json!({ "path": "new/deep/file.txt", "content": "made\n" })).await;
    story.call("write", json!({ "path": "notes.md", "content": "short\n" })).await;
    story.assert_same().await;
    story.forget();
    story.assert_same().await;
}

#[tokio::test]
async fn scripts_are_as_they_were() {
    let story = Story::new();
    story.put("data.csv", "b,2\na,1\nc,3\n");
    story.put("old/x", "x");
    for script in [
        "sort data.csv | tee sorted.csv; wc -l sorted.csv; date +%s%N; ls -la",
        "for i in $(seq 200); do echo $i $RANDOM >> log; done; md5sum log; cat log",
        "mv old new; rm data.csv; mkdir -p empty; ln -s new/x link; chmod +x new/x; export KEEP=1; cd new; find ..",
        "pwd; echo $KEEP; cat x; stat x; sleep 0.05; date +%N",
    ] {
        story.call("shell", json!({ "script": script })).await;
    }
    story.call_to("shell", json!({ "script": "cat nowhere; exit 3" }), CallOutcome::Succeeded).await;
    story.forget();
    story.assert_same().await;
}

#[tokio::test]
async fn programs_are_as_they_were() {
    let story = Story::new();
    story.put("data.json", "{\"a\": [1, 2, 3]}");
    let code = "
        const fs = require('fs');
        const data = JSON.parse(fs.readFileSync('data.json', 'utf8'));
        await new Promise(done => setTimeout(done, 30));
        fs.writeFileSync('out.json', JSON.stringify({ at: Date.now(), random: Math.random(), sum: data.a.length }));
        [Date.now(), Math.random(), performance.now(), fs.readdirSync('.'), fs.statSync('out.json').mtimeMs]";
    story.call("js", json!({ "code": code })).await;
    story.forget();
    story.assert_same().await;
}

/// Returns a server that counts, and a story that may reach it.
fn served(answer: &'static str) -> (Server, Arc<AtomicU32>, Story) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let server = Server::start(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let body = format!("{answer} {number}\n").repeat(3_000);
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-number: {number}\r\ncontent-length: {length}\r\n\r\n{body}")
            .into_bytes()
    });
    let hosts = vec![format!("http://{}", server.address()).parse().unwrap()];
    let story = Story::with(Setup { hosts, ..Setup::default() });
    (server, asked, story)
}

#[tokio::test]
async fn nothing_is_connected_to() {
    let (server, asked, story) = served("answer");
    let at = format!("http://{}", server.address());
    story.call("fetch", json!({ "url": format!("{at}/a") })).await;
    story.call("fetch", json!({ "url": format!("{at}/b"), "method": "POST", "body": "é".repeat(20_000) })).await;
    story.call("fetch", json!({ "url": format!("{at}/c"), "max_bytes": 100 })).await;
    let code = format!(
        "const all = await Promise.all([1, 2, 3].map(n => fetch('{at}/' + n, {{ method: 'POST', body: 'b' + n }})));
         const refused = await fetch('http://elsewhere.example/').catch(error => String(error));
         [all.map(a => a.headers.get('x-number')), (await all[1].text()).length, await all[0].text(), refused]"
    );
    story.call("js", json!({ "code": code })).await;
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(before, 6);
    drop(server);
    story.assert_same().await;
    assert_eq!(asked.load(Ordering::SeqCst), before, "a replay asks nobody");
}

/// Returns the hash of the last call's tape.
fn tape(story: &Story) -> Result<ContentHash, String> {
    let account = story.account();
    match account.calls().last().and_then(|call| call.taped.clone()).expect("it ran") {
        Taped::Kept { tape, .. } => Ok(tape),
        Taped::NotKept { reason } => Err(reason),
    }
}

#[tokio::test]
async fn what_a_tape_does_not_hold_is_said() {
    let story = Story::new();
    story.put("large", &"0123456789abcde\n".repeat((9 << 20) / 16));
    story.call("shell", json!({ "script": "wc -c large; cat large | wc -l" })).await;
    let reason = tape(&story).unwrap_err();
    assert!(reason.contains("8388608 bytes"), "{reason}");
    let [(_, ReplayResult::NotReplayable { reason: said })] = &story.replay().await[..] else {
        panic!("it has a tape")
    };
    assert_eq!(*said, reason);
}

#[tokio::test]
async fn an_altered_tape_is_refused() {
    let story = Story::new();
    story.put("large", &"0123456789abcde\n".repeat(20_000));
    story.call("shell", json!({ "script": "md5sum large" })).await;
    story.assert_same().await;
    let content = ContentHash::of("0123456789abcde\n".repeat(20_000).as_bytes());
    let (folder, name) = content.as_str().split_at(2);
    let blob = story.runtime.root().join(".boxagnts/blobs").join(folder).join(name);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[7] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let [(_, ReplayResult::NotReplayable { reason })] = &story.replay().await[..] else { panic!("it was altered") };
    assert!(reason.contains("is not what its hash says"), "{reason}");
}
