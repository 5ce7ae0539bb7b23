//! What every guest that uses `std` shares: typed arguments in, text or a clear refusal out.
//!
//! A tool is a type with [`Tool`]; [`export!`] makes the component of it. On other targets `export!` is nothing, so
//! that the pure parts of a tool are tested natively. Deliberately absent: state between calls, and any output that
//! does not pass through [`Output`].

mod declare;
mod paths;

#[doc(hidden)]
pub use declare::{declaration, declaration_bytes};
pub use paths::{display, locate, refuse};

#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub use bindings;

use serde::de::DeserializeOwned;

/// One tool of a component.
pub trait Tool {
    /// The tool's name, the same as in its manifest.
    const NAME: &'static str;
    /// What it does and when to use it, for the model.
    const DESCRIPTION: &'static str;
    /// JSON Schema of [`Tool::Arguments`].
    const SCHEMA: &'static str;
    /// The arguments, as the schema describes them.
    type Arguments: DeserializeOwned;

    /// Runs the tool once.
    fn call(arguments: Self::Arguments) -> Result<Output, Failure>;
}

/// What a successful call says.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// What the model reads.
    pub text: String,
    /// One short line for a person.
    pub summary: String,
}

/// Why a call has no output.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The arguments do not fit the world as it is; the text says what to do next.
    Rejected(String),
    /// The tool is at fault.
    Internal(String),
}

impl Failure {
    /// Returns a rejection that says `reason`.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected(reason.into())
    }
}

/// Returns what `T` answers to `arguments`, a JSON object.
pub fn run<T: Tool>(name: &str, arguments: &str) -> Result<Output, Failure> {
    if name != T::NAME {
        return Err(Failure::Internal(format!("this component offers `{}`, not `{name}`", T::NAME)));
    }
    let arguments = serde_json::from_str(arguments)
        .map_err(|error| Failure::rejected(format!("the arguments do not fit the schema: {error}")))?;
    T::call(arguments)
}

/// Returns `count` and `noun`, with an `s` where there is not exactly one.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Makes a [`Tool`] the component's only tool.
#[macro_export]
macro_rules! export {
    ($tool:ty) => {
        // Elsewhere the tool has no caller but its tests.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&str, &str) -> Result<$crate::Output, $crate::Failure> = $crate::run::<$tool>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            const TOLD: [&str; 3] =
                [<$tool as $crate::Tool>::NAME, <$tool as $crate::Tool>::DESCRIPTION, <$tool as $crate::Tool>::SCHEMA];

            /// What the tool is, for a host that has not compiled it yet.
            #[used]
            #[unsafe(link_section = "boxagnts:tool/definitions")]
            static DECLARATION: [u8; $crate::declaration_bytes(TOLD)] = $crate::declaration(TOLD);

            struct Component;

            impl $crate::bindings::Guest for Component {
                fn definitions() -> Vec<$crate::bindings::Definition> {
                    vec![$crate::bindings::Definition {
                        name: <$tool as $crate::Tool>::NAME.into(),
                        description: <$tool as $crate::Tool>::DESCRIPTION.into(),
                        input_schema: <$tool as $crate::Tool>::SCHEMA.into(),
                    }]
                }

                fn call(
                    name: String,
                    arguments: String,
                ) -> Result<$crate::bindings::Output, $crate::bindings::Failure> {
                    match $crate::run::<$tool>(&name, &arguments) {
                        Ok(output) => Ok($crate::bindings::Output { text: output.text, summary: output.summary }),
                        Err($crate::Failure::Rejected(reason)) => Err($crate::bindings::Failure::Rejected(reason)),
                        Err($crate::Failure::Internal(reason)) => Err($crate::bindings::Failure::Internal(reason)),
                    }
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct EchoArguments {
        word: String,
    }

    impl Tool for Echo {
        const NAME: &'static str = "echo";
        const DESCRIPTION: &'static str = "Says the word.";
        const SCHEMA: &'static str = "{}";
        type Arguments = EchoArguments;

        fn call(arguments: EchoArguments) -> Result<Output, Failure> {
            Ok(Output { text: arguments.word, summary: String::new() })
        }
    }

    #[test]
    fn arguments_reach_the_tool() {
        let output = run::<Echo>("echo", r#"{"word":"hi"}"#);
        assert_eq!(output, Ok(Output { text: "hi".into(), summary: String::new() }));
    }

    #[test]
    fn arguments_that_do_not_fit_are_rejected() {
        let failure = run::<Echo>("echo", r#"{"words":"hi"}"#).unwrap_err();
        assert!(
            matches!(&failure, Failure::Rejected(reason) if reason.contains("unknown field `words`")),
            "{failure:?}"
        );
    }

    #[test]
    fn another_tools_name_is_an_internal_failure() {
        assert!(matches!(run::<Echo>("shout", "{}"), Err(Failure::Internal(_))));
    }
}
