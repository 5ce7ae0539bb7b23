//! Questions that outlive a run, through the real binary: parked, shown, answered from elsewhere, taken up again.

mod product;

use product::{Product, Said};

const RULES: &str = "[[rules]]\nname = \"ask-before-docs\"\nverdict = \"ask\"\npaths = [\"docs/**\"]\n";

const SCRIPT: &str = r#"
[[reply]]
[[reply.call]]
tool = "write"
arguments = { path = "docs/new.md", content = "one\n" }
[[reply]]
[[reply.call]]
tool = "shell"
arguments = { script = "date +%s%N > docs/at; echo done" }
[[reply]]
[[reply.call]]
tool = "write"
arguments = { path = "docs/new.md", content = "two\n" }
[[reply]]
text = "Enough."
"#;

const WAITS: Option<i32> = Some(8);

struct Place {
    product: Product,
    model: String,
}

impl Place {
    fn new(config: &str) -> Self {
        let product = Product::new();
        product.write("boxagnts.toml", config);
        let script = product.write("plan/script.toml", SCRIPT);
        let model = format!("script/{}", script.display());
        Self { product, model }
    }

    fn begin(&self, more: &[&str]) -> Said {
        self.product.run(&[&["run", "--model", &self.model], more, &["write docs"]].concat())
    }

    fn resume(&self) -> Said {
        self.product.run(&["resume", "--park"])
    }

    /// Returns the lines of what is listed.
    fn listed(&self, more: &[&str]) -> Vec<String> {
        let said = self.product.run(&[&["approvals", "list"], more].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stdout.lines().map(str::to_owned).collect()
    }

    /// Returns the identifier of the one question that waits.
    fn open(&self) -> String {
        let listed = self.listed(&[]);
        let waiting: Vec<_> = listed.iter().filter(|line| line.contains("  waits  ")).collect();
        assert_eq!(waiting.len(), 1, "{listed:?}");
        waiting[0].split(' ').next().unwrap().to_owned()
    }
}

fn says(said: &Said, code: i32, text: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(format!("{}{}", said.stdout, said.stderr).contains(text), "{said:?}");
}

#[test]
fn a_session_that_waits_is_answered_from_elsewhere_and_goes_on() {
    let place = Place::new(RULES);
    let product = &place.product;
    let said = place.begin(&["--park"]);
    assert_eq!(said.code, WAITS, "{said:?}");
    let id = place.open();
    assert!(said.stderr.contains(&format!("boxagnts approve {id}")), "{said:?}");
    assert!(!product.root().join("docs").exists());
    says(&product.run(&["session", "list"]), 0, "waiting");
    let shown = product.run(&["approvals", "show", &id[..6]]);
    for part in ["write /work/docs/new.md", "30 s", "ask-before-docs", r#""content":"one\n""#] {
        says(&shown, 0, part);
    }

    says(&product.run(&["approve", &id]), 0, "Allowed once: write: run, write /work/docs/new.md");
    says(&product.run(&["approve", &id]), 2, "answered before");
    says(&product.run(&["deny", &id]), 2, "answered before");

    // The next question is about what a script really wrote, and shows it.
    assert_eq!(place.resume().code, WAITS);
    assert_eq!(product.read("docs/new.md"), "one\n");
    let second = place.open();
    assert_ne!(second, id);
    let shown = product.run(&["approvals", "show", &second]);
    let when: Vec<_> = shown.stdout.lines().filter_map(|line| line.strip_prefix("+1")).collect();
    assert_eq!(when.len(), 1, "{shown:?}");
    says(&product.run(&["approve", &second]), 0, "Allowed once: shell");
    assert_eq!(place.resume().code, WAITS);
    // What was shown is what was written: the script did not run again.
    assert_eq!(product.read("docs/at").trim_end(), format!("1{}", when[0]));

    says(&product.run(&["deny", &place.open()]), 0, "Refused: write");
    says(&place.resume(), 0, "Enough.");
    assert_eq!(product.read("docs/new.md"), "one\n");
    assert_eq!(place.listed(&[]), ["Nothing waits for approval."]);
    let all = place.listed(&["--all"]);
    let words: Vec<_> = all.iter().map(|line| line.split("  ").nth(2).unwrap()).collect();
    assert_eq!(words, ["refused", "allowed", "allowed"]);
    says(&product.run(&["audit", "verify"]), 0, "");
}

#[test]
fn what_is_remembered_is_listed_and_revoked() {
    let place = Place::new(RULES);
    let product = &place.product;
    assert_eq!(place.begin(&["--park"]).code, WAITS);
    let first = place.open();
    says(&product.run(&["approve", "--remember", &first]), 0, "Allowed for the rest of the session: write");
    assert_eq!(place.resume().code, WAITS);
    let second = place.open();
    let listed = place.listed(&[]);
    assert!(listed.iter().any(|line| line.starts_with(&first) && line.contains("for the session")), "{listed:?}");
    says(&product.run(&["approvals", "revoke", &second]), 2, "is not allowed for the rest");
    says(&product.run(&["deny", &second]), 0, "Refused: shell");
    // The third call writes what the first may write.
    says(&place.resume(), 0, "Enough.");
    assert_eq!(product.read("docs/new.md"), "two\n");
    says(&product.run(&["approvals", "revoke", &first]), 0, "asks again");
    assert_eq!(place.listed(&[]), ["Nothing waits for approval."]);
}

#[test]
fn a_question_that_is_over_or_too_late_is_not_answered() {
    let place = Place::new(&format!("[approvals]\nexpire_after = \"1ms\"\n{RULES}"));
    assert_eq!(place.begin(&["--park"]).code, WAITS);
    let all = place.listed(&["--all"]);
    let id = all[0].split(' ').next().unwrap();
    says(&place.product.run(&["approve", id]), 2, "it expired");

    let place = Place::new(RULES);
    assert_eq!(place.begin(&["--park"]).code, WAITS);
    let id = place.open();
    let session = place.product.run(&["session", "list"]).stdout;
    let session = session.split(' ').next().unwrap();
    let never = place.product.write("plan/never.toml", "[[reply]]\ntext = \"So.\"\n[[reply]]\ntext = \"Fine.\"\n");
    let model = format!("script/{}", never.display());
    says(&place.product.run(&["run", "--session", session, "--model", &model, "never mind"]), 0, "");
    says(&place.product.run(&["approve", &id]), 2, "its call has ended");
    says(&place.product.run(&["approve", "zzzz"]), 2, "nothing begins with");
}

#[test]
fn without_parking_nobody_is_there_and_the_answer_is_no() {
    let place = Place::new(RULES);
    says(&place.begin(&["--headless"]), 0, "Enough.");
    assert!(!place.product.root().join("docs").exists());
    assert_eq!(place.listed(&["--all"]), ["Nothing was asked yet."]);
    says(&place.begin(&["--park", "--headless"]), 2, "cannot be used with");
}
