//! Layer: the planner's side. Verb: CONVERSES.
//!
//! One [`Model`] trait, one path for streaming and not; three wires (OpenAI Chat Completions, OpenAI Responses,
//! Anthropic Messages) that reach every vendor, which are data; and a model that plays a script. It asks protocol;
//! query and cli ask it.
//!
//! An endpoint is trusted with nothing: bytes, parts and time are bounded before they are held, arguments have one
//! strict reading, a broken stream never yields a call that could run, and a key goes to its configured host only.
//!
//! What a model can hold and what its tokens cost is in a generated file (`cargo xtask models`) or configured; what is
//! neither is unknown, never guessed.
//!
//! Deliberately absent: retries and budgets (the caller decides), environment and files (both come in as values), what a
//! tool does or may do, and any task that outlives a dropped future.

#![warn(clippy::unwrap_used)]

mod assembly;
pub mod catalog;
mod facts;
mod failure;
mod key;
mod limits;
mod model;
mod price;
mod remote;
mod scripted;
mod settings;
mod sse;
mod transport;
mod vendor;
mod wire;

pub use facts::{InvalidFacts, ModelFacts, facts};
pub use key::{ApiKey, InvalidKey};
pub use limits::Timeouts;
pub use model::{CallIds, Delta, DeltaSink, Model, ModelRequest};
pub use price::{Price, Reserved};
pub use scripted::{ScriptError, ScriptedCall, ScriptedModel, ScriptedReply};
pub use settings::{ProviderError, ProviderSettings, ProviderSpec, connect, parse_model, resolve};
pub use transport::TransportError;
pub use vendor::Api;
