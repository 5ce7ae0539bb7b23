//! providers
mod model;
pub use model::{CallIds, Delta, DeltaSink, Model, ModelRequest};
