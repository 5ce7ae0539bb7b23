//! Components that are broken, twisted, or meant for the compiler: loading one ends with an error or a component, soon,
//! and never with this process.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sandbox::{Excess, LoadError, LoadedTool};
use serde_json::json;

use crate::conformance;
use crate::handmade;
use crate::neighbour::beside_a_neighbour;
use crate::setting::{Given, fresh, shared, wasm};

/// What a small component may cost. Tens of milliseconds, but this is about hanging, and machines do other things.
const SOON: Duration = Duration::from_mins(1);

/// What the largest bomb that the counts let through may cost: as long as the compiler may take.
const COMPILED: Duration = Duration::from_mins(2);

/// Loads `wasm` beside a neighbour and returns what came of it, which must come within `limit`.
async fn load(wasm: Vec<u8>, limit: Duration) -> Result<LoadedTool, LoadError> {
    let started = Instant::now();
    let loading = async move { tokio::task::spawn_blocking(move || shared().load(wasm)).await.unwrap() };
    let loaded = beside_a_neighbour(loading).await;
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());
    loaded
}

/// Fails unless the component is refused by a count, before the compiler sees it.
async fn is_refused(name: &str, wasm: Vec<u8>, expected: Excess) {
    let got = match load(wasm, SOON).await {
        Err(LoadError::Excess(excess)) => Some(excess),
        Err(other) => panic!("{name}: {other}"),
        Ok(_) => None,
    };
    conformance::holds("probes", name, Some(expected), got);
}

/// Fails unless the component compiles within its time.
async fn is_compiled(name: &str, wasm: Vec<u8>) {
    let got = load(wasm, COMPILED).await.err().map(|error| error.to_string());
    conformance::holds("probes", name, None, got);
}

/// A reproducible stream of numbers (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        usize::try_from(number).unwrap() % limit
    }
}

/// Loads every mutant and asks some of what still is a tool what it offers; returns how many were refused.
async fn mutants(mutants: impl Iterator<Item = Vec<u8>> + Send + 'static) -> usize {
    let (_folder, sandbox) = fresh(2);
    let trying = async move {
        let mut refused = 0;
        for mutant in mutants {
            let started = Instant::now();
            match sandbox.load(mutant) {
                // It may do anything in there, and end by any limit.
                Ok(tool) => drop(tool.definitions().await.map(<[_]>::len)),
                Err(_) => refused += 1,
            }
            assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        }
        refused
    };
    beside_a_neighbour(trying).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits() {
    let real = wasm("flood");
    let mut numbers = Numbers(1);
    let flipped = move || {
        let mut mutant = real.clone();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(mutant.len());
            mutant[at] ^= 1 << numbers.below(8);
        }
        mutant
    };
    let refused = mutants(std::iter::repeat_with(flipped).take(2_000)).await;
    conformance::write(
        "probes",
        "malformed bit flips",
        "an error or a component",
        &format!("{refused} of 2000 refused"),
        true,
    );
    assert!(refused > 0 && refused < 2_000, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spliced_bytes() {
    let real = wasm("spin");
    let mut numbers = Numbers(2);
    let spliced = move || {
        let mut mutant = real.clone();
        let (from, to) = (numbers.below(real.len()), numbers.below(real.len()));
        let length = numbers.below(64).min(real.len() - from.max(to));
        mutant.splice(to..to + length, real[from..from + length].to_vec());
        mutant.splice(from..from, real[to..to + numbers.below(8).min(real.len() - to)].to_vec());
        mutant
    };
    let refused = mutants(std::iter::repeat_with(spliced).take(1_000)).await;
    conformance::write(
        "probes",
        "malformed splices",
        "an error or a component",
        &format!("{refused} of 1000 refused"),
        true,
    );
    assert!(refused > 0, "{refused}");
}

/// Sections at the end of a component that only describe it (names, producers), with room for a linker that adds some.
const DESCRIPTIONS: usize = 4;

/// Every beginning of a component is refused, but for those that lack nothing except descriptions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_short() {
    let real = wasm("spin");
    let lengths = 0..real.len();
    let count = lengths.len();
    let refused = mutants(lengths.map(move |length| real[..length].to_vec())).await;
    let holds = refused >= count - DESCRIPTIONS;
    let (expected, got) = (format!("all but {DESCRIPTIONS} of {count} refused"), format!("{refused} refused"));
    conformance::write("probes", "malformed cut short", &expected, &got, holds);
    assert!(holds, "{got}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage() {
    let mut numbers = Numbers(3);
    let bytes = move || {
        let mut component = wat::parse_str("(component)").unwrap();
        component.extend((0..numbers.below(200)).map(|_| u8::try_from(numbers.below(256)).unwrap()));
        component
    };
    let refused = mutants(std::iter::repeat_with(bytes).take(2_000)).await;
    conformance::holds("probes", "malformed garbage", 2_000, refused);
}

/// Returns a tool with a function more, of these locals and this body.
fn with_function(locals: &str, body: &str) -> Vec<u8> {
    handmade::component(&format!(r#"(memory (export "memory") 1) (func (export "more") {locals} {body})"#), "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_of_a_megabyte() {
    let large = with_function("", &"(drop (i32.const 1))".repeat(400_000));
    is_refused("bomb function size", large, Excess::Function(1_200_002)).await;
    is_compiled("bomb function below the limit", with_function("", &"(drop (i32.const 1))".repeat(300_000))).await;
}

/// Each local is looked for at each loop that it is used beneath.
fn loops(depth: usize, locals: usize) -> Vec<u8> {
    let declared = "i32 ".repeat(locals);
    let uses: String = (0..locals).fold(String::new(), |mut text, local| {
        write!(text, "(local.set {local} (i32.add (local.get {local}) (i32.const 1)))").unwrap();
        text
    });
    let body = format!("{} {uses} (br_if 0 (local.get 0)) {}", "(loop ".repeat(depth), ")".repeat(depth));
    with_function(&format!("(local {declared})"), &body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_times_locals() {
    is_refused("bomb loops times locals", loops(10_000, 10_000), Excess::JoinedLocals(800_000_000)).await;
    is_compiled("bomb loops times locals below the limit", loops(300, 1_000)).await;
}

/// Many functions that would each pass are one component that does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_times_locals_are_summed() {
    let function =
        format!("(func (local {}) (local.set 999 (i32.const 1)) {})", "i32 ".repeat(1_000), "(block)".repeat(1_000));
    let many = handmade::component(&format!(r#"(memory (export "memory") 1) {}"#, function.repeat(31)), "");
    is_refused("bomb joins times locals", many, Excess::JoinedLocals(31_000_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_nesting() {
    let depth = 20_000;
    is_compiled("bomb deep blocks", with_function("", &format!("{}{}", "(block ".repeat(depth), ")".repeat(depth))))
        .await;
    let sum = format!("(drop {}(i32.const 1){})", "(i32.add (i32.const 1) ".repeat(depth), ")".repeat(depth));
    is_compiled("bomb deep expression", with_function("", &sum)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_locals() {
    let declared = format!("(local {})", "i64 ".repeat(49_999));
    is_compiled("bomb locals", with_function(&declared, "(drop (local.get 49998))")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_jump_table() {
    let table = |targets| with_function("", &format!("(block (br_table {} (i32.const 7)))", "0 ".repeat(targets)));
    is_compiled("bomb jump table", table(60_000)).await;
    let error = load(table(200_000), SOON).await.err();
    assert!(matches!(error, Some(LoadError::Invalid(_))), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_functions() {
    let functions = "(func (result i32) (i32.const 1))".repeat(20_000);
    is_compiled("bomb functions", handmade::component(&format!(r#"(memory (export "memory") 1) {functions}"#), ""))
        .await;
}

/// Data that does not fit the memory is refused when the guest starts, not before: it is the guest's own crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huge_data_segments() {
    let data = format!(r#"(memory (export "memory") 1) (data (i32.const 65535) "{}")"#, "x".repeat(4 << 20));
    let tool = load(handmade::component(&data, ""), COMPILED).await.unwrap();
    let run = async move { Given::nothing().run_in(shared(), &tool, "any", &json!({}), Vec::new()).await.ending };
    let ending = beside_a_neighbour(run).await;
    let crashed = matches!(&ending, sandbox::Ending::Trapped(text) if text.contains("out of bounds"));
    conformance::write("probes", "bomb data segments", "Trapped: out of bounds", &format!("{ending:?}"), crashed);
    assert!(crashed, "{ending:?}");
}

/// Components that each instantiate the one before twice: unfolded, the last is `2^links` instances.
fn doubling(links: usize) -> Vec<u8> {
    let mut text = String::from("(component (component $c0 (core module $m) (core instance (instantiate $m)))");
    for link in 1..=links {
        let before = format!("(alias outer 1 $c{} (component $b))", link - 1);
        write!(text, "(component $c{link} {before} (instance (instantiate $b)) (instance (instantiate $b)))").unwrap();
    }
    write!(text, "(instance (instantiate $c{links})))").unwrap();
    wat::parse_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_double() {
    is_refused("bomb doubling instances", doubling(30), Excess::Instantiations(18)).await;
    // What unfolds to less is counted by the pool, which has room for so many core instances in one component.
    let many = load(doubling(6), SOON).await.err().unwrap();
    assert!(
        matches!(&many, LoadError::Invalid(error) if format!("{error:#}").contains("64 core module instances")),
        "{many}"
    );
    let few = load(doubling(3), SOON).await.err().unwrap();
    assert!(matches!(few, LoadError::World(_)), "{few}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_nest_and_imports_without_end() {
    let nested = |depth: usize| format!("(component {}{})", "(component ".repeat(depth), ")".repeat(depth));
    is_refused("bomb nested components", wat::parse_str(nested(65)).unwrap(), Excess::Nesting(65)).await;
    let few = load(wat::parse_str(nested(64)).unwrap(), SOON).await.err().unwrap();
    assert!(matches!(few, LoadError::World(_)), "{few}");
    let imports: Vec<_> = (0..1_001).map(|at| format!(r#"(import "a{at}" (instance))"#)).collect();
    let imports = wat::parse_str(format!("(component {})", imports.concat())).unwrap();
    is_refused("bomb imports", imports, Excess::Imports(1_001)).await;
    let long = wat::parse_str(format!(r#"(component (import "{}" (instance)))"#, "a".repeat(1 << 12))).unwrap();
    let error = load(long, SOON).await.err().unwrap().to_string();
    assert!(error.contains("the name of an import is too long") && error.len() < 200, "{error}");
}

/// Types that each name the one before twice: written out, the last is `2^links` types.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_double() {
    let mut text = String::from("(component (type $t0 (tuple u8 u8))");
    for link in 1..40 {
        write!(text, "(type $t{link} (tuple $t{0} $t{0}))", link - 1).unwrap();
    }
    text.push_str(r#"(import "wasi:io/poll@0.2.0" (func (param "p" $t39))))"#);
    let error = load(wat::parse_str(text).unwrap(), SOON).await.err().unwrap();
    let refused = matches!(error, LoadError::Invalid(_));
    conformance::write("probes", "bomb doubling types", "Invalid", &error.to_string(), refused);
    assert!(refused, "{error}");
}
