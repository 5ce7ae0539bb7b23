//! The demo holds what it shows.

mod product;

use product::Product;

#[test]
fn every_line_of_the_demo_is_as_it_should_be() {
    let product = Product::new();
    let said = product.run(&["demo"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let rows: Vec<_> =
        said.stdout.lines().filter(|line| line.starts_with("  ok  ") || line.starts_with("  FAIL")).collect();
    assert!(rows.iter().all(|row| row.starts_with("  ok  ")), "{rows:#?}");
    let expected = [
        "8 commits",
        "byte for byte",
        "the server got the key",
        "the server was not asked",
        "`grant.files`",
        "`grant.files`",
        "not possible",
        "`wasm_fuel`",
        "`wasm_max_memory_size`",
        "`protected-paths`",
        "`protected-paths`",
        "`grant.network`",
        "`network.private`",
        "`secrets.host`",
        "from the journal",
        "12 model calls",
        "stopped before model call",
        "resumed: 3 of 3, each written once",
    ];
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, expected) in rows.iter().zip(expected) {
        assert!(row.contains(expected), "{row} does not say {expected}");
    }
}
