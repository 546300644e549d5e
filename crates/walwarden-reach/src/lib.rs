//! Which hosts the server connects to for storages and webhooks: what the settings permit, and names resolved and judged at
//! the moment of connecting. No PostgreSQL.
#![forbid(unsafe_code)]

pub mod allow;
mod dns;
mod host;

pub use allow::{AllowList, Purpose};
pub use dns::{JudgedResolver, Lookup, SystemLookup};
pub use host::Host;
