//! Taking values out of responses: in whole texts, and in streams whose chunks may cut a value anywhere.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use policy::SecretName;
use regex_automata::meta::{self, Regex};
use regex_automata::util::syntax;
use secrecy::{ExposeSecret as _, SecretString};

use super::Unsearchable;
use super::spelling::spellings;

/// Bytes of all values: tens of long tokens. Each becomes tens of states of the search.
const MAX_VALUES_BYTES: usize = 16 << 10;

/// Bytes that the compiled search may take.
const MAX_SEARCH_BYTES: usize = 64 << 20;

/// Finds the values of secrets in every usual spelling. Clones share it.
#[derive(Clone)]
pub(crate) struct Scrubber(Arc<Search>);

struct Search {
    regex: Regex,
    /// What stands in the place of each of the patterns.
    placeholders: Vec<String>,
    /// The longest that a spelling can be.
    max_bytes: usize,
    /// Values as a header's name would hold them.
    lower_case: Vec<SecretString>,
}

impl Scrubber {
    /// Returns what finds `values`.
    pub(super) fn new(values: &[(&SecretName, &str)]) -> Result<Self, Unsearchable> {
        if values.iter().map(|(_, value)| value.len()).sum::<usize>() > MAX_VALUES_BYTES {
            return Err(Unsearchable);
        }
        let syntax = syntax::Config::new().unicode(false).utf8(false).nest_limit(1000);
        let (mut placeholders, mut parsed) = (Vec::new(), Vec::new());
        // Where one value is the beginning of another, the longer one is found: the first pattern wins.
        let mut longest_first = values.to_vec();
        longest_first.sort_by_key(|(_, value)| Reverse(value.len()));
        for (name, value) in longest_first {
            for spelling in spellings(value) {
                parsed.push(syntax::parse_with(&spelling, &syntax).expect("spellings are well-formed"));
                placeholders.push(name.placeholder());
            }
        }
        let longest = parsed.iter().map(|hir| hir.properties().maximum_len().expect("no spelling is without an end"));
        let max_bytes = longest.max().unwrap_or(0);
        let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(MAX_SEARCH_BYTES));
        let regex = meta::Builder::new().configure(config).build_many_from_hir(&parsed).map_err(|_| Unsearchable)?;
        let lower_case = values.iter().map(|(_, value)| SecretString::from(value.to_ascii_lowercase())).collect();
        Ok(Self(Arc::new(Search { regex, placeholders, max_bytes, lower_case })))
    }

    /// Returns `text` with placeholders in the place of values.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Some(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// Returns `bytes` with placeholders in the place of values, if there is one.
    fn bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if !self.0.regex.is_match(bytes) {
            return None;
        }
        let mut clean = Vec::with_capacity(bytes.len());
        let end = self.0.replace(bytes, bytes.len(), &mut clean);
        clean.extend_from_slice(&bytes[end..]);
        Some(clean)
    }

    /// Takes the values out of the headers of a response.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        let echoes = |name: &&HeaderName| self.is_in_name(name);
        let named: Vec<_> = headers.keys().filter(echoes).cloned().collect();
        for name in named {
            headers.remove(name);
        }
        for value in headers.values_mut() {
            if let Some(clean) = self.bytes(value.as_bytes()) {
                // Placeholders are plain ASCII, and the rest was a value before.
                *value = HeaderValue::from_bytes(&clean).unwrap_or(HeaderValue::from_static(""));
            }
        }
    }

    fn is_in_name(&self, name: &HeaderName) -> bool {
        self.0.lower_case.iter().any(|value| name.as_str().contains(value.expose_secret()))
    }

    /// Returns what scrubs one stream.
    pub(crate) fn stream(&self) -> Scrubbing {
        Scrubbing { scrubber: self.clone(), held: Vec::new() }
    }
}

impl Search {
    /// Writes `bytes` to `clean`, scrubbed, up to the last value that begins before `border` or up to the border, and
    /// returns where that is.
    fn replace(&self, bytes: &[u8], border: usize, clean: &mut Vec<u8>) -> usize {
        let mut at = 0;
        for found in self.regex.find_iter(bytes).take_while(|found| found.start() < border) {
            clean.extend_from_slice(&bytes[at..found.start()]);
            clean.extend_from_slice(self.placeholders[found.pattern().as_usize()].as_bytes());
            at = found.end();
        }
        let end = at.max(border);
        clean.extend_from_slice(&bytes[at..end]);
        end
    }
}

/// One stream on its way through. It holds back what may be the beginning of a value.
pub(crate) struct Scrubbing {
    scrubber: Scrubber,
    held: Vec<u8>,
}

impl Scrubbing {
    /// Takes the next bytes and returns those that are clean.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Bytes {
        self.held.extend_from_slice(bytes);
        let search = &self.scrubber.0;
        // Twice as much as must be held back: what is held is searched again with what comes, and a server that sends
        // byte by byte must not make that expensive.
        if self.held.len() < 2 * search.max_bytes {
            return Bytes::new();
        }
        let mut clean = Vec::with_capacity(self.held.len());
        // Whatever begins before the border also ends in what is here.
        let end = search.replace(&self.held, self.held.len() - search.max_bytes, &mut clean);
        self.held.drain(..end);
        clean.into()
    }

    /// Returns the rest.
    pub(crate) fn finish(self) -> Bytes {
        self.scrubber.bytes(&self.held).unwrap_or(self.held).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};

    /// Everything that some encoder treats specially, and what base64 spells with `+` and `/`.
    const VALUE: &str = "k\u{3f}?>~ÿ+/= &<\"'\\%-_zaq1 end";

    fn scrubber(value: &str) -> Scrubber {
        Scrubber::new(&[(&"KEY".parse().unwrap(), value), (&"OTHER".parse().unwrap(), "another value")]).unwrap()
    }

    fn percent(value: &str, spelled: impl Fn(u8) -> bool, upper: bool) -> String {
        let byte = |byte: u8| match (spelled(byte), upper) {
            (true, true) => format!("%{byte:02X}").into_bytes(),
            (true, false) => format!("%{byte:02x}").into_bytes(),
            (false, _) => vec![byte],
        };
        String::from_utf8(value.bytes().flat_map(byte).collect()).unwrap()
    }

    fn forms(value: &str) -> Vec<Vec<u8>> {
        let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let json = serde_json::to_string(value).unwrap();
        let html = value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\'', "&#39;");
        let mut texts = vec![
            value.to_owned(),
            form,
            percent(value, |byte| !byte.is_ascii_alphanumeric(), true),
            percent(value, |byte| !byte.is_ascii_alphanumeric(), false),
            percent(value, |_| true, true),
            percent(value, |byte| byte == b' ' || byte == b'"' || byte >= 0x80, true),
            json[1..json.len() - 1].to_owned(),
            json[1..json.len() - 1].replace('/', "\\/"),
            value.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<Vec<_>>().concat(),
            value.chars().map(|char| format!("&#x{:x};", u32::from(char))).collect::<Vec<_>>().concat(),
            value.chars().map(|char| format!("&#{};", u32::from(char))).collect::<Vec<_>>().concat(),
            html,
            value.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat(),
            value.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat(),
        ];
        for before in ["", "x", "xy", "user:", "a longer user:"] {
            for after in ["", "y", "yz"] {
                let text = format!("{before}{value}{after}");
                texts.push(BASE64_STANDARD.encode(&text));
                texts.push(BASE64_STANDARD_NO_PAD.encode(&text));
                texts.push(BASE64_URL_SAFE.encode(&text));
                texts.push(BASE64_STANDARD.encode(&text).replace('+', "%2B").replace('/', "%2f"));
                let lines = BASE64_STANDARD.encode(&text);
                texts.push(
                    lines
                        .as_bytes()
                        .chunks(7)
                        .map(|line| std::str::from_utf8(line).unwrap())
                        .collect::<Vec<_>>()
                        .join("\r\n"),
                );
            }
        }
        let mut forms: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
        forms.push(value.encode_utf16().flat_map(u16::to_le_bytes).collect());
        forms.push(value.encode_utf16().flat_map(u16::to_be_bytes).collect());
        forms
    }

    fn has(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn no_usual_spelling_of_a_value_gets_through() {
        for value in [VALUE, "12345678", "ghp_0123456789abcdefABCDEF", "aaaaaaaaa", &"long/".repeat(40)] {
            let scrubber = scrubber(value);
            for form in forms(value) {
                let text = [b"before: ", form.as_slice(), b" :after"].concat();
                let clean = scrubber.bytes(&text).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&text)));
                assert!(has(&clean, b"{{secret:KEY}}"), "{}", String::from_utf8_lossy(&clean));
                // Of base64, what follows from neighbours may stay: some characters of other words.
                assert!(!has(&clean, &form[form.len() / 3..form.len() * 2 / 3]), "{}", String::from_utf8_lossy(&clean));
                assert!(clean.starts_with(b"before: ") && clean.ends_with(b" :after"));
            }
        }
    }

    #[test]
    fn what_is_no_value_stays_as_it_is() {
        let scrubber = scrubber(VALUE);
        for text in ["", "{{secret:KEY}}", "{{secret:OTHER}}", &VALUE[1..], &VALUE[..VALUE.len() - 1], "a \u{1f980} b"]
        {
            assert_eq!(scrubber.text(text), text);
        }
        assert_eq!(scrubber.text("another value, another%20value"), "{{secret:OTHER}}, {{secret:OTHER}}");
    }

    #[test]
    fn of_two_values_that_begin_alike_the_longer_is_found() {
        let (short, long) = ("A".parse().unwrap(), "B".parse().unwrap());
        let scrubber = Scrubber::new(&[(&short, "12345678"), (&long, "12345678/abc")]).unwrap();
        assert_eq!(scrubber.text("12345678/abc 12345678%2Fabc 12345678"), "{{secret:B}} {{secret:B}} {{secret:A}}");
    }

    #[test]
    fn a_value_that_is_cut_anywhere_is_found() {
        let scrubber = scrubber("12345678/abc");
        for form in forms("12345678/abc") {
            let filler = "x".repeat(scrubber.0.max_bytes * 3);
            let text = [filler.as_bytes(), &form, b" ", filler.as_bytes(), &form].concat();
            let whole = scrubber.bytes(&text).unwrap();
            for size in [1, 2, 3, 7, 64, 1000, text.len() - form.len() / 2] {
                let mut stream = scrubber.stream();
                let mut clean: Vec<u8> = text.chunks(size).flat_map(|chunk| stream.push(chunk)).collect();
                clean.extend(stream.finish());
                assert_eq!(clean, whole, "{size}");
            }
        }
    }

    #[test]
    fn what_a_workspace_may_allow_can_be_searched_for_and_more_is_refused() {
        let names: Vec<SecretName> = (0..5).map(|number| format!("KEY_{number}").parse().unwrap()).collect();
        let values: Vec<String> = (0..5).map(|number| format!("{number}<{}", "é/+x".repeat(818))).collect();
        let all: Vec<_> =
            names.iter().zip(values.iter().map(|value| &value[..value.floor_char_boundary(4096)])).collect();
        assert!(Scrubber::new(&all).is_err());
        let scrubber = Scrubber::new(&all[..4]).unwrap();
        assert_eq!(scrubber.text(&format!("a{}b", all[3].1)), "a{{secret:KEY_3}}b");
    }

    #[test]
    fn a_stream_holds_back_no_more_than_it_must() {
        let scrubber = scrubber("12345678");
        let mut stream = scrubber.stream();
        let clean = stream.push(&vec![b'x'; 1 << 20]);
        assert_eq!(clean.len(), (1 << 20) - scrubber.0.max_bytes);
    }

    #[test]
    fn headers_are_scrubbed_and_one_whose_name_echoes_is_gone() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("token GHP_12345678, R0hQXzEyMzQ1Njc4"));
        headers.append("x-a", HeaderValue::from_static("other"));
        headers.append("x-ghp_12345678", HeaderValue::from_static("1"));
        scrubber("GHP_12345678").headers(&mut headers);
        let values: Vec<_> = headers.get_all("x-a").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(values, ["token {{secret:KEY}}, {{secret:KEY}}", "other"]);
        assert!(!headers.contains_key("x-ghp_12345678"));
    }
}
