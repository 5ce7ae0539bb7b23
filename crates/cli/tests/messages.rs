//! What people read when something is off: the message, the hint, the exit code.

mod product;

use product::Product;

fn shown(files: &[(&str, &str)], arguments: &[&str]) -> String {
    let product = Product::new();
    for (path, content) in files {
        product.write(path, content);
    }
    product.run(arguments).shown(&product)
}

#[test]
fn bad_usage_says_what_to_type() {
    insta::assert_snapshot!("empty_task", shown(&[], &["run", " "]));
    insta::assert_snapshot!("no_provider", shown(&[], &["run", "fix it"]));
    insta::assert_snapshot!("unknown_provider", shown(&[], &["run", "--model", "nobody/model", "fix it"]));
    insta::assert_snapshot!("no_script", shown(&[], &["run", "--model", "script/absent.toml", "fix it"]));
    insta::assert_snapshot!(
        "broken_script",
        shown(&[("s.toml", "[[reply]]\ntxt = 1\n")], &["run", "--model", "script/s.toml", "fix it"])
    );
    insta::assert_snapshot!("unknown_tool", shown(&[], &["tool", "call", "teleport"]));
    insta::assert_snapshot!(
        "broken_input",
        shown(&[], &["tool", "call", "read", "--input", "{\"path\":\"a\",\"path\":\"b\"}"])
    );
    insta::assert_snapshot!("unfit_input", shown(&[], &["tool", "call", "read", "--input", "{\"path\":1}"]));
    insta::assert_snapshot!(
        "missing_file",
        shown(&[], &["tool", "call", "read", "--input", "{\"path\":\"absent.txt\"}"])
    );
    insta::assert_snapshot!("unknown_session", shown(&[], &["session", "show", "zzz"]));
    insta::assert_snapshot!("nothing_to_resume", shown(&[], &["resume"]));
    insta::assert_snapshot!("unknown_change", shown(&[], &["changes", "undo", "zzz"]));
    insta::assert_snapshot!("no_workspace", shown(&[], &["--workspace", "absent", "session", "list"]));
}

#[test]
fn a_configuration_that_is_not_understood_is_not_used() {
    let list = ["session", "list"];
    insta::assert_snapshot!("unknown_key", shown(&[("boxagnts.toml", "max_turn = 5\n")], &list));
    insta::assert_snapshot!("unknown_limit", shown(&[("boxagnts.toml", "[limits]\nwasm_feul = 5\n")], &list));
    insta::assert_snapshot!("limit_out_of_range", shown(&[("boxagnts.toml", "[limits]\nwasm_timeout = 0\n")], &list));
    insta::assert_snapshot!(
        "rule_that_allows_everything",
        shown(&[("boxagnts.toml", "[[rules]]\nname = \"all\"\nverdict = \"allow\"\n")], &list)
    );
    insta::assert_snapshot!(
        "mount_over_the_workspace",
        shown(&[("boxagnts.toml", "[[map_dirs]]\nhost = \".\"\nguest = \"/work\"\naccess = \"read\"\n")], &list)
    );
}

#[test]
fn an_empty_workspace_is_no_error() {
    insta::assert_snapshot!("no_sessions", shown(&[], &["session", "list"]));
    insta::assert_snapshot!("no_changes", shown(&[], &["changes", "list"]));
    insta::assert_snapshot!("tools", shown(&[], &["tool", "list"]));
}
