//! Redirects: each hop is a request of its own.

use url::Url;

use crate::{Error, Request, Response};

/// Hops before giving up, as browsers do about twice over.
pub const MAX_REDIRECTS: usize = 10;

/// Headers that say nothing about who asks; others stay behind when a redirect leads to another origin.
const HARMLESS: [&str; 5] = ["accept", "accept-language", "content-type", "range", "user-agent"];

/// A response and the URL that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub url: Url,
    pub response: Response,
}

/// Sends `request` with `send`, and follows redirects.
pub fn follow(
    mut request: Request,
    mut send: impl FnMut(&Request) -> Result<Response, Error>,
) -> Result<Fetched, Error> {
    for _ in 0..=MAX_REDIRECTS {
        let response = send(&request)?;
        match next(&request, &response)? {
            Some(hop) => request = hop,
            None => return Ok(Fetched { url: request.url, response }),
        }
    }
    Err(Error::Redirect(format!("more than {MAX_REDIRECTS} redirects, the last to {}", request.url)))
}

/// Returns the request that a response leads to.
fn next(request: &Request, response: &Response) -> Result<Option<Request>, Error> {
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.header("location") else { return Ok(None) };
    let invalid =
        |_| Error::Redirect(format!("the redirect from {} leads to `{location}`, which is no URL", request.url));
    let url = request.url.join(location).map_err(invalid)?;
    let mut hop = Request { url, ..request.clone() };
    let keeps_method = matches!(response.status, 307 | 308) || matches!(request.method.as_str(), "GET" | "HEAD");
    if !keeps_method {
        hop.method = "GET".into();
        hop.body.clear();
        hop.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    }
    if hop.url.origin() != request.url.origin() {
        hop.headers.retain(|(name, _)| HARMLESS.contains(&name.to_ascii_lowercase().as_str()));
    }
    Ok(Some(hop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str) -> Request {
        let headers = [("Authorization", "Bearer x"), ("X-Api-Key", "k"), ("Accept", "*/*"), ("Content-Type", "a/b")];
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Request { method: method.into(), url: url.parse().unwrap(), headers, body: b"body".to_vec() }
    }

    fn redirect(status: u16, location: &str) -> Response {
        Response { status, headers: vec![("location".into(), location.into())], body: Vec::new(), is_cut: false }
    }

    fn names(request: &Request) -> Vec<&str> {
        request.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let from = request("GET", "https://a.test/x");
        let same = next(&from, &redirect(302, "/y")).unwrap().unwrap();
        assert_eq!((same.url.as_str(), names(&same).len()), ("https://a.test/y", 4));
        for other in ["https://b.test/", "http://a.test/", "https://a.test:444/", "//b.test/"] {
            let hop = next(&from, &redirect(302, other)).unwrap().unwrap();
            assert_eq!(names(&hop), ["Accept", "Content-Type"], "{other}");
        }
    }

    #[test]
    fn only_307_and_308_keep_a_method_that_writes() {
        let from = request("POST", "https://a.test/x");
        for (status, method, body) in
            [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "body"), (308, "POST", "body")]
        {
            let hop = next(&from, &redirect(status, "/y")).unwrap().unwrap();
            assert_eq!((hop.method.as_str(), hop.body.as_slice()), (method, body.as_bytes()), "{status}");
        }
    }

    #[test]
    fn redirects_end() {
        let mut hops = 0;
        let looping = follow(request("GET", "https://a.test/"), |_| {
            hops += 1;
            Ok(redirect(302, "/again"))
        });
        assert!(matches!(looping, Err(Error::Redirect(_))));
        assert_eq!(hops, MAX_REDIRECTS + 1);
        assert!(matches!(
            next(&request("GET", "https://a.test/"), &redirect(302, "http://[")),
            Err(Error::Redirect(_))
        ));
        assert_eq!(next(&request("GET", "https://a.test/"), &redirect(304, "/x")), Ok(None));
    }
}
