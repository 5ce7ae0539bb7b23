//! Bodies as a model reads them: HTML as Markdown, text as text, the rest not at all.

use encoding_rs::{Encoding, UTF_8};
use htmd::HtmlToMarkdown;

/// Elements that hold nothing to read.
const SKIPPED: [&str; 8] = ["script", "style", "noscript", "template", "svg", "iframe", "head", "nav"];

/// Bytes in which a NUL means that a body is no text.
const PROBE_BYTES: usize = 8 << 10;

/// What a body turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    Text(String),
    Binary,
}

/// Returns the `body` of this content type, HTML as Markdown unless `raw` is wanted.
pub fn content(kind: &str, body: &[u8], raw: bool) -> Content {
    let encoding = encoding(kind);
    if is_binary(kind) || (encoding == UTF_8 && body[..body.len().min(PROBE_BYTES)].contains(&0)) {
        return Content::Binary;
    }
    let (text, ..) = encoding.decode(body);
    let is_html = media_type(kind).ends_with("html") || media_type(kind) == "application/xhtml+xml";
    Content::Text(if is_html && !raw { markdown(&text) } else { text.into_owned() })
}

fn markdown(html: &str) -> String {
    let title = title(html).map(|title| format!("# {title}\n\n")).unwrap_or_default();
    let converter = HtmlToMarkdown::builder().skip_tags(SKIPPED.to_vec()).build();
    // A parser of HTML takes whatever comes; if it ever fails, the source is better than nothing.
    converter.convert(html).map_or_else(|_| html.to_owned(), |text| format!("{title}{}", text.trim()))
}

/// Returns the text of the first `<title>`, which stands in the head that is skipped.
fn title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let open = start + lower[start..].find('>')? + 1;
    let end = open + lower[open..].find("</title")?;
    let title = html[open..end].split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then_some(title)
}

fn media_type(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_binary(kind: &str) -> bool {
    let kind = media_type(kind);
    let binary =
        ["image/", "audio/", "video/", "font/", "application/octet-stream", "application/zip", "application/pdf"];
    binary.iter().any(|prefix| kind.starts_with(prefix)) && kind != "image/svg+xml"
}

fn encoding(kind: &str) -> &'static Encoding {
    let charset = kind.split(';').skip(1).filter_map(|part| part.split_once('='));
    let charset =
        charset.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset")).map(|(_, value)| value).next();
    charset.and_then(|charset| Encoding::for_label(charset.trim_matches([' ', '"', '\'']).as_bytes())).unwrap_or(UTF_8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: &str, body: &[u8]) -> String {
        match content(kind, body, false) {
            Content::Text(text) => text,
            Content::Binary => panic!("binary"),
        }
    }

    #[test]
    fn html_is_shown_as_markdown_without_what_is_not_read() {
        let html = "<html><head><title>The\n page</title><style>x{}</style></head><body><nav>menu</nav>\
            <h2>One</h2><p>Some <b>bold</b> and a <a href='/x'>link</a>.</p><script>alert(1)</script>\
            <ul><li>a</li><li>b</li></ul></body></html>";
        assert_eq!(
            text("text/html; charset=utf-8", html.as_bytes()),
            "# The page\n\n## One\n\nSome **bold** and a [link](/x).\n\n*   a\n*   b"
        );
        assert_eq!(content("text/html", b"<p>x</p>", true), Content::Text("<p>x</p>".into()));
    }

    #[test]
    fn text_is_decoded_as_its_type_says() {
        assert_eq!(text("application/json", "{\"a\":\"é\"}".as_bytes()), "{\"a\":\"é\"}");
        assert_eq!(text("text/plain; charset=\"ISO-8859-1\"", b"caf\xe9"), "café");
        assert_eq!(text("text/plain", b"caf\xe9"), "caf\u{fffd}");
        assert_eq!(text("text/html", b"<p>unfinished <b>tags"), "unfinished **tags**");
    }

    #[test]
    fn what_is_no_text_is_not_shown() {
        assert_eq!(content("image/png", b"\x89PNG", false), Content::Binary);
        assert_eq!(content("text/plain", b"a\0b", false), Content::Binary);
    }
}
