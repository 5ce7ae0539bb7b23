//! The carrier that the sample repository speaks to: a server on this machine's loopback that wants a key, and says it
//! back, as careless servers do.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use policy::{Placement, SecretSpec};
use workspace::SecretStore;

use crate::boot::random;
use crate::exit::Failure;

/// Lines of a request that are read: more than any tool sends.
const MAX_LINES: usize = 64;

pub(super) struct Carrier {
    address: SocketAddr,
    /// The key that the person stored.
    key: String,
    state: Arc<State>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    requests: AtomicU32,
    got_key: AtomicBool,
    is_over: AtomicBool,
}

impl Carrier {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, state) = (listener.local_addr()?, Arc::new(State::default()));
        let key = format!("parcel-{:016x}{:016x}", random(), random());
        let (expected, seen) = (format!("Bearer {key}"), state.clone());
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok).take_while(|_| !seen.is_over.load(Ordering::SeqCst))
            {
                // A client that goes away is its own affair.
                let _ = serve(&stream, &expected, &seen);
            }
        });
        Ok(Self { address, key, state, listening: Some(listening) })
    }

    /// Returns `text` with the port of this server where it says `{PORT}`, and one that is not where it says
    /// `{OTHER_PORT}`.
    pub(super) fn addressed(&self, text: &str) -> String {
        let port = self.address.port();
        text.replace("{PORT}", &port.to_string()).replace("{OTHER_PORT}", &port.wrapping_sub(1).max(1).to_string())
    }

    /// Returns how often the server was asked.
    pub(super) fn requests(&self) -> u32 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Stores the key as the person would.
    pub(super) fn give_key(&self, store: &SecretStore) -> Result<(), Failure> {
        let host = format!("http://{}", self.address).parse().map_err(Failure::internal)?;
        let placement = Placement::Header { name: "Authorization".into(), format: "Bearer {}".into() };
        let name = "CARRIER_KEY".parse().map_err(Failure::internal)?;
        let spec = SecretSpec::new(name, BTreeSet::from([host]), placement).map_err(Failure::internal)?;
        store.set(spec, &self.key.as_str().into()).map(drop).map_err(Failure::internal)
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Tells whether a request came that had the real key.
    pub(super) fn got_key(&self) -> bool {
        self.state.got_key.load(Ordering::SeqCst)
    }

    /// Tells whether the key lies in a file below `folder`.
    pub(super) fn key_lies_in(&self, folder: &Path) -> io::Result<bool> {
        for entry in std::fs::read_dir(folder)? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            let found = if kind.is_dir() { self.key_lies_in(&path)? } else { kind.is_file() && self.is_in(&path)? };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_in(&self, file: &Path) -> io::Result<bool> {
        let (content, key) = (std::fs::read(file)?, self.key.as_bytes());
        Ok(content.windows(key.len()).any(|window| window == key))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        let _ = self.listening.take().map(JoinHandle::join);
    }
}

/// Reads one request and says back what it carried.
fn serve(mut stream: &TcpStream, expected: &str, state: &State) -> io::Result<()> {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let mut said = String::new();
    for line in BufReader::new(stream).lines().take(MAX_LINES) {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            let is_key = name.eq_ignore_ascii_case("authorization");
            said = if is_key { value.to_owned() } else { said };
        }
    }
    if said == expected {
        state.got_key.store(true, Ordering::SeqCst);
    }
    let body = format!("event,parcel\nreceived,7\n# you are signed in with {said}\n");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())
}
