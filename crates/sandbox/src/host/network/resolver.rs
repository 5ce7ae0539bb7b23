//! Names to addresses.

use std::io;
use std::net::IpAddr;

use async_trait::async_trait;

/// What looks names up. A parameter, so that a test can answer as an attacker would.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Returns the addresses of `name`, a lower-case ASCII name without a final dot.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}
