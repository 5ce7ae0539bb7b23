//! What may be done again when nobody knows whether it was done.

/// What a second time would do to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectClass {
    /// Nothing was changed the first time.
    Pure,
    /// The second time is the same as the first: what it does has a key, or is put in its place.
    Keyed,
    /// It may be done twice.
    Unknown,
}

impl EffectClass {
    /// Returns the class of a request by its method, as the journal has it, and whether it carried a key. Methods that change
    /// nothing are pure and idempotent ones are keyed by their target (RFC 9110, 9.2); of whatever else nobody knows,
    /// sockets included.
    pub fn of_request(method: &str, has_key: bool) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "lookup" => Self::Pure,
            "PUT" | "DELETE" => Self::Keyed,
            _ if has_key => Self::Keyed,
            _ => Self::Unknown,
        }
    }

    /// Tells whether a person has to be asked before it is done again.
    pub fn asks(self) -> bool {
        self == Self::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_calls_idempotent_is_done_again_without_asking() {
        let asks = |method: &str| EffectClass::of_request(method, false).asks();
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "lookup"] {
            assert!(!asks(method), "{method}");
        }
        // Methods are written in capitals; another spelling is another method.
        for method in ["POST", "PATCH", "CONNECT", "connect", "send", "get", ""] {
            assert!(asks(method), "{method}");
            assert_eq!(EffectClass::of_request(method, true), EffectClass::Keyed, "{method}");
        }
    }
}
