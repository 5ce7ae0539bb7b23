//! The artifact cache as the sandbox uses it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sandbox::Sandbox;
use serde_json::json;
use tempfile::TempDir;

use crate::setting::{Given, open, text, wasm};

/// A cache that knows the guest `flood`.
fn warm() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    runs(&cache);
    (folder, cache)
}

fn runs(cache: &Path) {
    runs_in(&open(cache, 1));
}

/// Loads and runs `flood` as a new process would.
fn runs_in(sandbox: &Sandbox) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let tool = sandbox.load(wasm("flood")).unwrap();
        assert_eq!(tool.definitions().await.unwrap()[0].name, "flood");
        let outcome = Given::nothing().run_in(sandbox, &tool, "flood", &json!({ "bytes": 2 }), Vec::new()).await;
        assert_eq!(text(&outcome), "xx");
    });
}

fn file(cache: &Path, extension: &str) -> PathBuf {
    let paths = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    paths.into_iter().find(|path| path.extension().is_some_and(|found| found == extension)).unwrap()
}

fn written(path: &Path) -> (Vec<u8>, SystemTime) {
    (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap())
}

#[test]
fn a_warm_cache_is_used_and_left_alone() {
    let (_folder, cache) = warm();
    let before = ["code", "definitions"].map(|extension| written(&file(&cache, extension)));
    runs(&cache);
    assert_eq!(["code", "definitions"].map(|extension| written(&file(&cache, extension))), before);
}

#[test]
fn a_forged_artifact_is_compiled_again_not_run() {
    let (_folder, cache) = warm();
    let code = file(&cache, "code");
    let genuine = fs::read(&code).unwrap();
    let mut flipped = genuine.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let cut = genuine[..genuine.len() - 100].to_vec();
    for forged in [flipped, cut, Vec::new(), b"\x7fELF".repeat(1000)] {
        fs::write(&code, &forged).unwrap();
        runs(&cache);
        assert_ne!(fs::read(&code).unwrap(), forged, "it was not replaced");
    }
}

#[test]
fn an_artifact_under_a_foreign_key_is_compiled_again() {
    let (_folder, cache) = warm();
    let code = file(&cache, "code");
    let before = fs::read(&code).unwrap();
    fs::remove_file(cache.join("key")).unwrap();
    runs(&cache);
    assert_ne!(fs::read(&code).unwrap()[..32], before[..32], "the MAC is another key's");
}

#[test]
fn lost_code_is_made_again_at_the_first_call() {
    let (_folder, cache) = warm();
    let sandbox = open(&cache, 1);
    fs::remove_file(file(&cache, "code")).unwrap();
    runs_in(&sandbox);
    assert!(file(&cache, "code").exists());
}

#[test]
fn a_cache_that_cannot_be_written_costs_only_time() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let sandbox = open(&cache, 1);
    fs::remove_dir_all(&cache).unwrap();
    runs_in(&sandbox);
    assert!(!cache.exists());
}

#[test]
fn processes_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| runs(&cache));
        }
    });
    runs(&cache);
}
