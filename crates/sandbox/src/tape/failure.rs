//! The ways in which a request fails, as a tape names them.

use wasmtime_wasi_http::Error;

/// Writes both directions of the failures that have nothing to say beside their name.
macro_rules! plain {
    ($($name:ident),* $(,)?) => {
        fn plain(error: &Error) -> Option<&'static str> {
            match error {
                $(Error::$name => Some(stringify!($name)),)*
                _ => None,
            }
        }

        fn of_plain(name: &str) -> Option<Error> {
            match name {
                $(stringify!($name) => Some(Error::$name),)*
                _ => None,
            }
        }
    };
}

plain!(
    DnsTimeout,
    DestinationNotFound,
    DestinationUnavailable,
    DestinationIpProhibited,
    DestinationIpUnroutable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    ConnectionWriteTimeout,
    ConnectionLimitReached,
    TlsProtocolError,
    TlsCertificateError,
    HttpRequestDenied,
    HttpRequestMethodInvalid,
    HttpRequestUriInvalid,
    HttpRequestUriTooLong,
    HttpResponseIncomplete,
    HttpResponseTimeout,
    HttpUpgradeFailed,
    HttpProtocolError,
    LoopDetected,
    ConfigurationError,
);

/// Returns the name of a failure and what it says beside it; `None` of what a tape cannot hold.
pub(super) fn name(error: &Error) -> Option<(String, Option<String>)> {
    let said = |name: &str, text: Option<String>| Some((name.to_owned(), text));
    match error {
        Error::DnsError { rcode, info_code: None } => said("DnsError", rcode.clone()),
        Error::HttpResponseBodySize(size) => said("HttpResponseBodySize", size.map(|size| size.to_string())),
        Error::HttpResponseContentCoding(coding) => said("HttpResponseContentCoding", coding.clone()),
        Error::InternalError(text) => said("InternalError", text.clone()),
        error => said(plain(error)?, None),
    }
}

/// Returns the failure of this name; `None` of one that there is not.
pub(super) fn error(name: &str, text: Option<String>) -> Option<Error> {
    match name {
        "DnsError" => Some(Error::DnsError { rcode: text, info_code: None }),
        "HttpResponseBodySize" => Some(Error::HttpResponseBodySize(text.and_then(|size| size.parse().ok()))),
        "HttpResponseContentCoding" => Some(Error::HttpResponseContentCoding(text)),
        "InternalError" => Some(Error::InternalError(text)),
        name => of_plain(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_back_as_it_was() {
        let errors = [
            Error::ConnectionRefused,
            Error::HttpRequestDenied,
            Error::DnsError { rcode: Some("no address for a".into()), info_code: None },
            Error::HttpResponseBodySize(Some(7)),
            Error::HttpResponseContentCoding(None),
            Error::InternalError(Some("b".into())),
        ];
        for failure in errors {
            let (name, text) = name(&failure).unwrap();
            assert_eq!(format!("{:?}", error(&name, text).unwrap()), format!("{failure:?}"));
        }
        assert!(error("Gone", None).is_none());
    }
}
