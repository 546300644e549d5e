//! Names become addresses here and nowhere else, and are judged before anything connects to them: the client connects to
//! exactly the addresses that were judged, so a name that changes its mind in between gains nothing.

use crate::allow::AllowList;
use crate::host::Host;
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

/// Resolves the name of one host, and gives its addresses only if a request may go to every one of them.
#[derive(Clone)]
pub struct JudgedResolver(Arc<Judge>);

struct Judge {
    host: Host,
    allow: AllowList,
    lookup: Arc<dyn Lookup>,
    /// Names of other hosts, which nobody who defines storages or webhooks has chosen.
    unjudged: Vec<String>,
}

impl JudgedResolver {
    /// For requests to this host. Those in `unjudged`, in lower case, are a proxy's or the like: chosen by an administrator, and
    /// reached wherever they are.
    pub fn new(host: Host, allow: AllowList, lookup: Arc<dyn Lookup>, unjudged: Vec<String>) -> Self {
        Self(Arc::new(Judge { host, allow, lookup, unjudged }))
    }
}

impl Judge {
    async fn addresses(&self, name: String) -> Result<Vec<IpAddr>> {
        let purpose = self.allow.purpose();
        let unknown = |detail: String| {
            Error::new(ErrorClass::NotFound, format!("could not find the {purpose}'s host")).detail(detail)
        };
        let is_ours = self.host.name() == Some(name.as_str());
        if !is_ours && !self.unjudged.contains(&name) {
            return Err(Error::internal(format!(
                "asked for the address of another host than the {purpose}'s"
            )));
        }
        let found = self.lookup.lookup(name).await.map_err(|cause| unknown(cause.to_string()))?;
        if found.is_empty() {
            return Err(unknown("The name has no address.".to_owned()));
        }
        if is_ours {
            self.allow.judge(&self.host, &found)?;
        }
        Ok(found)
    }
}

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
