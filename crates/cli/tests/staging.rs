//! Changes that wait for a person, through the real binary: shown, committed, thrown away.

mod product;

use product::{Product, Said};

const SCRIPT: &str = r#"
[[reply]]
[[reply.call]]
tool = "write"
arguments = { path = "a.txt", content = "one\n" }
[[reply]]
[[reply.call]]
tool = "shell"
arguments = { script = "cat a.txt a.txt > b.txt" }
[[reply]]
text = "Done."
[[reply]]
[[reply.call]]
tool = "shell"
arguments = { script = "rm a.txt" }
[[reply]]
text = "Gone."
"#;

fn says(said: &Said, code: i32, text: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(format!("{}{}", said.stdout, said.stderr).contains(text), "{said:?}");
}

fn begun(config: &str, more: &[&str]) -> (Product, String, Said) {
    let product = Product::new();
    product.write("boxagnts.toml", config);
    let script = product.write("plan/script.toml", SCRIPT);
    let model = format!("script/{}", script.display());
    let said = product.run(&[&["run", "--model", &model], more, &["write it"]].concat());
    (product, model, said)
}

fn session(product: &Product) -> String {
    product.run(&["session", "list"]).stdout.split(' ').next().unwrap().to_owned()
}

#[test]
fn what_is_staged_is_shown_and_committed_when_a_person_says_so() {
    let (product, model, said) = begun("", &["--commit", "manual"]);
    says(&said, 0, "see what is staged: boxagnts changes diff");
    let files = |product: &Product| ["a.txt", "b.txt"].map(|path| product.root().join(path).exists());
    assert_eq!(files(&product), [false, false]);
    says(&product.run(&["changes", "list"]), 0, "No changes yet.");
    let shown = product.run(&["changes", "diff"]);
    assert_eq!(shown.stdout.lines().filter(|line| *line == "+one").count(), 3, "{shown:?}");

    // The mode holds for the session, and does not change over what is staged.
    let id = session(&product);
    let go_on =
        |more: &[&str]| product.run(&[&["run", "--session", &id, "--model", &model], more, &["remove it"]].concat());
    says(&go_on(&["--commit", "per_call"]), 2, "cannot change now");
    says(&go_on(&[]), 0, "Gone.");
    assert_eq!(files(&product), [false, false]);
    says(&product.run(&["changes", "commit"]), 0, "committed");
    assert_eq!((files(&product), product.read("b.txt").as_str()), ([false, true], "one\none\n"));
    says(&product.run(&["changes", "commit"]), 2, "nothing is staged");
    says(&product.run(&["changes", "discard"]), 2, "nothing is staged");
    says(&product.run(&["audit", "verify"]), 0, "");
}

#[test]
fn what_a_person_did_meanwhile_is_never_overwritten() {
    let (product, ..) = begun("commit = \"manual\"\n", &[]);
    product.write("a.txt", "mine\n");
    let said = product.run(&["changes", "commit"]);
    says(&said, 6, "changed since: a.txt");
    says(&product.run(&["changes", "discard", &session(&product)]), 0, "thrown away: 2 paths");
    assert_eq!(product.read("a.txt"), "mine\n");
    says(&product.run(&["changes", "diff"]), 2, "nothing is staged");
}

#[test]
fn a_turn_is_committed_and_taken_back_as_one() {
    let (product, _, said) = begun("commit = \"per_turn\"\n", &[]);
    says(&said, 0, "see what changed: boxagnts changes list");
    let listed = product.run(&["changes", "list"]).stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    says(&product.run(&["changes", "undo", listed.split(' ').next().unwrap()]), 0, "removed a.txt");
    assert!(!product.root().join("b.txt").exists());
    says(&product.run(&["run", "--commit", "sometimes", "x"]), 2, "per_call");
}

#[test]
fn what_is_staged_is_not_freed_and_what_ran_over_it_is_replayed() {
    let (product, model, _) = begun("commit = \"manual\"\n", &[]);
    let id = session(&product);
    let free = || product.run(&["gc", "--max-size", "0", "--keep-days", "0"]);
    says(&free(), 0, "kept: ");
    let go_on = product.run(&["run", "--session", &id, "--model", &model, "remove it"]);
    says(&go_on, 0, "Gone.");
    says(&free(), 0, "kept: ");
    let replayed = product.run(&["replay", &id]);
    says(&replayed, 0, "3 calls: 3 the same");
    says(&replayed, 0, "2 turns: 2 the same");
    says(&product.run(&["changes", "commit"]), 0, "committed");
    assert_eq!(product.read("b.txt"), "one\none\n");
    // What was committed is the person's, and the record may go.
    says(&free(), 0, "freed");
    says(&product.run(&["replay", &id]), 9, "0 the same");
}

#[test]
fn a_turn_that_was_committed_as_one_is_replayed() {
    let (product, ..) = begun("commit = \"per_turn\"\n", &[]);
    std::fs::remove_file(product.root().join("a.txt")).unwrap();
    let replayed = product.run(&["replay", &session(&product)]);
    says(&replayed, 0, "2 calls: 2 the same");
    says(&replayed, 0, "1 turns: 1 the same");
}
