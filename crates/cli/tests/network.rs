//! The network of tools, through the real binary.

mod product;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use product::{Product, Said};
use serde_json::json;

/// Answers `requests` requests with a page and ends; returns how many connections came.
fn serve(requests: usize) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        for stream in listener.incoming().take(requests) {
            answer(stream.unwrap());
        }
    });
    (port, serving)
}

fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let body = "<title>A page</title><p>Some <b>text</b>.";
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .unwrap();
}

fn fetch(product: &Product, url: &str) -> Said {
    let input = json!({"url": url}).to_string();
    let mut command = product.command(&["tool", "call", "fetch", "--headless", "--input", &input]);
    // Nobody listens there: were it used, nothing would come.
    let proxied = command.env("http_proxy", "http://127.0.0.1:9").env("ALL_PROXY", "http://127.0.0.1:9");
    proxied.output().unwrap().into()
}

#[test]
fn a_host_is_reached_when_the_person_allows_it_and_its_network() {
    let product = Product::new();
    let (port, serving) = serve(1);
    let url = format!("http://127.0.0.1:{port}/");

    let nothing_allowed = fetch(&product, &url);
    assert_eq!(nothing_allowed.code, Some(4), "{nothing_allowed:?}");
    assert!(nothing_allowed.stderr.contains("grant.network"), "{nothing_allowed:?}");

    let allowed = format!("[network]\nallowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n");
    product.write("boxagnts.toml", &allowed);
    let private = fetch(&product, &url);
    assert_ne!(private.code, Some(0), "{private:?}");
    assert!(format!("{private:?}").contains("network.private"), "{private:?}");

    product.write("boxagnts.toml", &format!("{allowed}allow_private = [\"http://127.0.0.1:{port}\"]\n"));
    let fetched = fetch(&product, &url);
    assert_eq!(fetched.code, Some(0), "{fetched:?}");
    assert!(fetched.stdout.ends_with("# A page\n\nSome **text**.\n"), "{fetched:?}");
    serving.join().unwrap();
}

#[test]
fn a_host_that_is_not_understood_refuses_to_start_and_says_what_to_write() {
    let product = Product::new();
    product.write("boxagnts.toml", "[network]\nallowed_outbound_hosts = [\"example.com\"]\n");
    let said = fetch(&product, "https://example.com/");
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.stderr.contains("boxagnts.toml:2:") && said.stderr.contains("write `https://example.com`"),
        "{said:?}"
    );
}
