//! The one way out: every connection of a guest is judged, recorded and made here.
//!
//! Parse once, resolve once, judge every address, connect to exactly the address that was judged. Each request is a new
//! one: the hop of a redirect passes through the same gate as what came before it.

mod body;
mod dial;
mod exchange;
mod gate;
mod hooks;
mod record;
mod resolver;
mod secrets;
pub(crate) mod sockets;

pub use dial::{InvalidRoots, Tls};
pub(crate) use gate::Gate;
pub use gate::{Network, NotRecorded, Refusal};
pub(crate) use hooks::Hooks;
pub use resolver::{Resolver, SystemResolver};
pub use secrets::{Secrets, Unsearchable};
