//! Names become addresses here and nowhere else, and are judged before anything connects to them: the client connects to
//! exactly the addresses that were judged, so a name that changes its mind in between gains nothing.

use crate::allow::AllowList;
use crate::target::Target;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use walwarden_core::{Error, ErrorClass, Result};

/// The addresses of a name, in time.
pub type Found = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// What knows the addresses of names.
pub trait Lookup: Send + Sync {
    /// The addresses of a name.
    fn lookup(&self, name: String) -> Found;
}

/// The system's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> Found {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Resolves the name of one target, and gives its addresses only if a request may go to every one of them.
pub(crate) struct Judge {
    pub(crate) target: Target,
    pub(crate) allow: AllowList,
    pub(crate) lookup: Arc<dyn Lookup>,
}

impl Judge {
    async fn addresses(&self, name: String) -> Result<Vec<IpAddr>> {
        let destination = self.target.destination();
        let unknown = |detail: String| {
            Error::new(ErrorClass::NotFound, "could not find the webhook's host").detail(detail)
        };
        if destination.name != Some(name.as_str()) {
            return Err(Error::internal("asked for the address of another host than the webhook's"));
        }
        let found = self.lookup.lookup(name).await.map_err(|cause| unknown(cause.to_string()))?;
        if found.is_empty() {
            return Err(unknown("The name has no address.".to_owned()));
        }
        self.allow.judge(destination, &found)?;
        Ok(found)
    }
}

/// The same for the client.
pub(crate) struct JudgedResolver(pub(crate) Arc<Judge>);

impl Resolve for JudgedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let judge = self.0.clone();
        Box::pin(async move {
            let found = judge.addresses(name.as_str().to_ascii_lowercase()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
