//! The real binary in a temporary workspace.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A workspace that the binary is run in.
pub(crate) struct Product {
    folder: TempDir,
    data: TempDir,
}

impl Product {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap() }
    }

    /// Returns the person's data folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Configures a model that costs nothing and is not called again when it fails.
    pub(crate) fn allow_model(&self, provider: &str, model: &str) {
        let path = self.root().join("boxagnts.toml");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let price = format!("[providers.{provider}.models.\"{model}\"]\nprice = \"free\"\n");
        let never_again = if before.contains("max_retries") { "" } else { "max_retries = 0\n" };
        std::fs::write(path, format!("{never_again}{before}\n{price}")).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    /// Returns the command, with nothing of this machine's environment that could matter. Compiled tools are shared by
    /// all tests: compiling them each time would be most of their time.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boxagnts"));
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
            .env("XDG_DATA_HOME", self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::from(self.command(arguments).output().unwrap())
    }
}

/// What the binary said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Said {
    /// Returns the events of `--output json`: every line of stdout is one.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not an event: {line}")))
            .collect()
    }

    pub(crate) fn types(&self) -> Vec<String> {
        self.events().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the snapshot form: exit code, stdout and stderr, with the workspace's own path and identifiers hidden.
    pub(crate) fn shown(&self, product: &Product) -> String {
        let root = product.root().canonicalize().unwrap();
        let hide = |text: &str| {
            let text = text
                .replace(root.to_str().unwrap(), "[workspace]")
                .replace(product.root().to_str().unwrap(), "[workspace]");
            text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
        };
        format!(
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code.unwrap_or(-1),
            hide(&self.stdout),
            hide(&self.stderr)
        )
    }
}
