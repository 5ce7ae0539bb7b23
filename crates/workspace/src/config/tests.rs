use std::fs;

use protocol::{Spending, Verdict};
use serde::Deserialize;

use super::*;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    base_url: Option<String>,
    api: Option<String>,
}

type Read = Result<Config<Provider>, ConfigError>;

fn parse(text: &str) -> Read {
    Config::parse(Path::new("/project/boxagnts.toml"), text)
}

fn fault(text: &str) -> (usize, String, Option<String>) {
    match parse(text).unwrap_err() {
        ConfigError::Invalid { line, message, hint, path } => {
            assert_eq!(path, Path::new("/project/boxagnts.toml"));
            (line, message, hint)
        }
        error @ ConfigError::Io { .. } => panic!("{error}"),
    }
}

#[test]
fn the_checked_in_defaults_hold_where_nothing_is_said() {
    let expected = Config {
        model: None,
        fallback_model: None,
        max_turns: 50,
        max_tokens_recovery_limit: 3,
        max_retries: 4,
        max_repeats: 5,
        budget: Budget::default(),
        commit: CommitMode::PerCall,
        approvals_expire_after: Duration::from_hours(24),
        work_dir: "/project/.".into(),
        map_dirs: Vec::new(),
        limits: Limits::default(),
        rules: Vec::new(),
        allowed_outbound_hosts: BTreeSet::new(),
        network: NetworkRules::default(),
        allowed_secrets: BTreeSet::new(),
        retention: Retention { max_bytes: 2 << 30, keep_ms: 30 * 86_400_000 },
        providers: BTreeMap::new(),
    };
    assert_eq!(parse("").unwrap(), expected);
    // The defaults are a configuration like any other.
    assert_eq!(parse(DEFAULTS).unwrap(), expected);
}

#[test]
fn everything_that_can_be_said_is_understood() {
    let config = parse(
        r#"
        model = "openai/some"
        fallback_model = "openai/other"
        commit = "manual"
        max_turns = 7
        max_tokens_recovery_limit = 0
        max_retries = 1
        max_repeats = 2
        work_dir = "src"

        [[map_dirs]]
        host = "../lib"
        guest = "/lib"
        access = "read"

        [[map_dirs]]
        host = "/data"
        guest = "/data"
        access = "read_write"

        [limits]
        wasm_fuel = 5
        wasm_timeout = 6

        [budget.session]
        usd = 2.5
        time = "90s"

        [[rules]]
        name = "no-secrets"
        verdict = "deny"
        paths = ["secrets/**"]

        [network]
        allowed_outbound_hosts = ["https://*.example.com"]
        block_networks = ["203.0.113.0/24"]
        block_url = ["https://a.example.com/admin"]
        allow_private = ["http://localhost:8080"]
        idempotency_keys = ["https://pay.example.com"]

        [secrets]
        allowed = ["GITHUB_TOKEN"]

        [approvals]
        expire_after = "1h 30m"

        [retention]
        max_size = "512MiB"

        [providers.local]
        base_url = "http://127.0.0.1:8080/v1"
        "#,
    )
    .unwrap();
    let map_dir = |host: &str, guest: &str, access| MapDir { host: host.into(), guest: guest.into(), access };
    let rule = RuleSpec {
        name: "no-secrets".into(),
        verdict: Verdict::Deny,
        tools: None,
        paths: Some(vec!["secrets/**".into()]),
        hosts: None,
        levels: None,
    };
    let session = Spending { micro_usd: 2_500_000, time_ms: 90_000, ..Budget::default().session };
    let provider = Provider { base_url: Some("http://127.0.0.1:8080/v1".into()), api: None };
    let expected = Config {
        model: Some("openai/some".into()),
        fallback_model: Some("openai/other".into()),
        max_turns: 7,
        max_tokens_recovery_limit: 0,
        max_retries: 1,
        max_repeats: 2,
        budget: Budget { session, ..Budget::default() },
        commit: CommitMode::Manual,
        approvals_expire_after: Duration::from_mins(90),
        work_dir: "/project/src".into(),
        map_dirs: vec![map_dir("/project/../lib", "/lib", Access::Read), map_dir("/data", "/data", Access::ReadWrite)],
        limits: Limits { fuel: 5, timeout_ms: 6, ..Limits::default() },
        rules: vec![rule],
        allowed_outbound_hosts: BTreeSet::from(["https://*.example.com".parse().unwrap()]),
        network: NetworkRules {
            block_networks: vec!["203.0.113.0/24".parse().unwrap()],
            block_url: vec!["https://a.example.com/admin".parse().unwrap()],
            allow_private: vec!["http://localhost:8080".parse().unwrap()],
            idempotency_keys: vec!["https://pay.example.com".parse().unwrap()],
        },
        allowed_secrets: BTreeSet::from(["GITHUB_TOKEN".parse().unwrap()]),
        retention: Retention { max_bytes: 512 << 20, keep_ms: 30 * 86_400_000 },
        providers: BTreeMap::from([("local".into(), provider)]),
    };
    assert_eq!(config, expected);
}

#[test]
fn a_budget_that_cannot_be_kept_is_refused_where_it_stands() {
    for (text, message) in [
        ("[budget.session]\nusd = \"lots\"", "`lots` is not an amount of dollars: write 2 or 2.50"),
        ("[budget.session]\ntime = \"soon\"", "`soon` is not a length of time: write \"90s\""),
        ("[budget.session]\ntokens = 0", "0 is outside of what `tokens` of a session's budget can be: 1 to"),
        ("[budget.week]\nusd = 1", "unknown field `week`"),
        ("max_retries = 1000\n", "`max_retries = 1000` is outside 0..=100"),
        ("[approvals]\nexpire_after = \"0s\"", "`expire_after` is outside"),
        ("[approvals]\nexpire_after = \"721h\"", "`expire_after` is outside"),
        ("max_repeats = 0\n", "`max_repeats = 0` is outside 1..="),
    ] {
        let (line, found, _) = fault(text);
        assert!((1..=2).contains(&line) && found.contains(message), "{line}: {found}");
    }
}

#[test]
fn a_retention_that_cannot_be_is_refused_where_it_stands() {
    for (text, message) in [
        ("[retention]\nmax_size = \"2GB\"", "`2GB` is not a number of bytes: write 1000000, \"512MiB\" or \"2GiB\""),
        ("[retention]\nkeep_days = 40000", "`keep_days = 40000` is outside 0..=36500"),
        ("[retention]\nmax_sise = 1", "unknown field `max_sise`"),
    ] {
        let (line, found, _) = fault(text);
        assert!((1..=2).contains(&line) && found.contains(message), "{line}: {found}");
    }
}

#[test]
fn a_host_that_is_not_understood_is_refused_with_one_that_would_be() {
    for (key, entry, message) in [
        ("allowed_outbound_hosts", "example.com", "write `https://example.com`"),
        ("allowed_outbound_hosts", "https://example.com/admin", "write `https://example.com`"),
        ("allow_private", "tcp://db", "write `tcp://db:*`"),
        ("block_url", "ftp://example.com", "the scheme is none of http, https and *"),
        ("block_networks", "10.0.0.0/40", "invalid"),
    ] {
        let (line, found, _) = fault(&format!("[network]\n{key} = [\"{entry}\"]"));
        assert!(line == 2 && found.contains(message), "{line}: {found}");
    }
}

#[test]
fn a_secret_that_cannot_be_called_so_is_refused_with_a_name_that_can() {
    let (line, found, _) = fault("[secrets]\nallowed = [\"github-token\"]");
    assert!(line == 2 && found.contains("write `GITHUB_TOKEN`"), "{line}: {found}");
    let (line, _, hint) = fault("[secrets]\nalowed = []");
    assert_eq!((line, hint.as_deref()), (2, Some("did you mean `allowed`?")));
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_meant() {
    let cases = [
        ("max_turn = 3", 1, "max_turn", "max_turns"),
        ("\n\nmodle = \"x\"", 3, "modle", "model"),
        ("[limits]\nwasm_fule = 3", 2, "wasm_fule", "wasm_fuel"),
        ("[[rules]]\nname = \"x\"\nverdict = \"deny\"\npath = [\"a\"]", 4, "path", "paths"),
        ("[[map_dirs]]\nhost = \"a\"\nguset = \"/a\"\naccess = \"read\"", 3, "guset", "guest"),
        ("[providers.x]\nbase_ulr = \"a\"", 2, "base_ulr", "base_url"),
        ("[[rules]]\nname = \"x\"\nverdict = \"denny\"", 3, "denny", "deny"),
    ];
    for (text, line, written, meant) in cases {
        let (found, message, hint) = fault(text);
        assert_eq!((found, hint), (line, Some(format!("did you mean `{meant}`?"))), "{text}: {message}");
        assert!(message.contains(&format!("`{written}`")), "{message}");
    }
    let (_, message, hint) = fault("zzzzzz = 1");
    assert_eq!(hint, None);
    assert!(message.starts_with("unknown field `zzzzzz`"), "{message}");
}

#[test]
fn what_makes_no_sense_is_refused_where_it_stands() {
    let mount = |guest: &str| format!("\n[[map_dirs]]\nhost = \"x\"\nguest = \"{guest}\"\naccess = \"read\"");
    let twice = format!("{}{}", mount("/lib"), mount("/lib"));
    let cases: Vec<(String, usize, &str)> = vec![
        ("max_turns = 0".into(), 1, "`max_turns = 0` is outside 1..=100000"),
        ("max_turns = 100001".into(), 1, "`max_turns = 100001` is outside 1..=100000"),
        (mount("lib"), 2, "`guest = \"lib\"` is not absolute: write \"/NAME\""),
        (mount("/"), 2, "`guest = \"/\"` is not the name of a mount: write \"/NAME\""),
        (mount("/a/b"), 2, "`guest = \"/a/b\"` is not the name of a mount: write \"/NAME\""),
        (mount("/.."), 2, "`guest = \"/..\"` is not the name of a mount: write \"/NAME\""),
        (mount("/."), 2, "`guest = \"/.\"` is not the name of a mount: write \"/NAME\""),
        (mount("/lib/"), 2, "`guest = \"/lib/\"` is not the name of a mount: write \"/NAME\""),
        (mount("//lib"), 2, "`guest = \"//lib\"` is not the name of a mount: write \"/NAME\""),
        (mount("/work"), 2, "`guest = \"/work\"` is taken by the runtime"),
        (mount("/results"), 2, "`guest = \"/results\"` is taken by the runtime"),
        (mount("/.BoxAgnts"), 2, "`guest = \"/.BoxAgnts\"` is taken by the runtime"),
        (twice, 6, "`guest = \"/lib\"` is mounted twice"),
        ("\n[limits]\nwasm_timeout = 0".into(), 2, "`wasm_timeout = 0` is outside 1..=3600000"),
        (
            "[[rules]]\nname = \"all\"\nverdict = \"allow\"".into(),
            1,
            "rule `all` allows everything: name tools, paths, hosts or levels",
        ),
    ];
    for (text, line, message) in cases {
        assert_eq!(fault(&text), (line, message.to_owned(), None), "{text}");
    }
    for text in ["max_turns = \"x\"", "model = 1", "max_turns = 1\nmax_turns = 2", "[[map_dirs]]\nhost = \"a\"", "x ="]
    {
        fault(text);
    }
}

#[test]
fn a_missing_file_means_the_defaults_and_a_broken_one_is_never_written_to() {
    let root = tempfile::tempdir().unwrap();
    let config: Config<Provider> = Config::load(root.path()).unwrap();
    assert_eq!(config.max_turns, 50);
    let path = root.path().join("boxagnts.toml");
    assert!(!path.exists());
    let missing: Read = Config::load_from(&path);
    assert!(matches!(missing, Err(ConfigError::Io { .. })));
    fs::write(&path, "modle = \"x\"\n").unwrap();
    let broken: Read = Config::load(root.path());
    let expected = format!("{}:1: unknown field `modle`", path.display());
    assert!(broken.unwrap_err().to_string().starts_with(&expected));
    assert_eq!(fs::read_to_string(&path).unwrap(), "modle = \"x\"\n");
    fs::write(&path, "#".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1)).unwrap();
    let huge: Read = Config::load(root.path());
    assert!(matches!(huge, Err(ConfigError::Io { .. })));
}
