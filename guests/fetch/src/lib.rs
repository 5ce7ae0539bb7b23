//! `fetch`: one HTTP request with its redirects, readable.

mod readable;

use std::collections::BTreeMap;

use http::{Error, Fetched, Request, Response, Url};
use kit::{Failure, Output, Tool};
use readable::{Content, content};
use serde::Deserialize;

/// Bytes of a body that are read when the call does not say how many.
const DEFAULT_MAX_BYTES: usize = 1 << 20;

struct Fetch;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    format: Format,
    max_bytes: Option<usize>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Auto,
    Raw,
}

impl Tool for Fetch {
    const NAME: &'static str = "fetch";
    const DESCRIPTION: &'static str = "Fetches a URL and shows status, type and body; HTML becomes Markdown. \
        Follows up to 10 redirects. Only hosts that the person allows can be reached. A secret is named by its \
        placeholder, {{secret:NAME}}, as the whole value of the header or query parameter that it is bound to; the host \
        puts the value in on the way out, and nobody here ever sees it.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Arguments = Arguments;

    fn call(arguments: Arguments) -> Result<Output, Failure> {
        let limit = arguments.max_bytes.unwrap_or(DEFAULT_MAX_BYTES);
        let format = arguments.format;
        let request = request(arguments)?;
        let method = request.method.clone();
        match http::follow(request, |hop| send(hop, limit)) {
            Ok(fetched) => Ok(answer(&method, &fetched, format)),
            Err(error) => Err(explain(&error)),
        }
    }
}

kit::export!(Fetch);

#[cfg(target_arch = "wasm32")]
fn send(request: &Request, limit: usize) -> Result<Response, Error> {
    http::send(request, limit)
}

/// There is no gate to send through elsewhere.
#[cfg(not(target_arch = "wasm32"))]
fn send(_: &Request, _: usize) -> Result<Response, Error> {
    Err(Error::Denied)
}

fn request(arguments: Arguments) -> Result<Request, Failure> {
    let Arguments { url, method, mut headers, body, .. } = arguments;
    let invalid =
        |error| Failure::rejected(format!("`{url}` is not a URL: {error}. Write it whole: https://example.com/"));
    let url = Url::parse(&url).map_err(invalid)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::rejected(format!("only http and https URLs can be fetched, not `{}:`", url.scheme())));
    }
    let given = |name: &str| headers.keys().any(|key| key.eq_ignore_ascii_case(name));
    let defaults = [("Accept", "text/html, text/plain, application/json, */*;q=0.5"), ("User-Agent", "BoxAgnts")];
    let missing: Vec<_> = defaults.into_iter().filter(|(name, _)| !given(name)).collect();
    headers.extend(missing.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let method = method.unwrap_or_else(|| "GET".into());
    Ok(Request { method, url, headers: headers.into_iter().collect(), body: body.into_bytes() })
}

fn explain(error: &Error) -> Failure {
    match error {
        Error::Denied => Failure::rejected("the runtime refused the connection; the reason follows"),
        other => Failure::rejected(other.to_string()),
    }
}

fn answer(method: &str, fetched: &Fetched, format: Format) -> Output {
    let Fetched { url, response } = fetched;
    let kind = response.header("content-type").unwrap_or("no content type");
    let length = response.body.len();
    let head = format!("{method} {url}: {}, {kind}, {length} bytes", response.status);
    let body = match content(kind, &response.body, format == Format::Raw) {
        Content::Text(text) => text,
        Content::Binary => format!("(binary content of {length} bytes, not shown)"),
    };
    let cut = if response.is_cut { "\n(the body is longer; ask for more with `max_bytes`)" } else { "" };
    let location = response.header("location").map(|location| format!("\nlocation: {location}")).unwrap_or_default();
    Output {
        text: format!("{head}{location}\n\n{body}{cut}"),
        summary: format!("{} from {}", response.status, url.authority()),
    }
}
