//! Azure Blob Storage.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::azure::{
    AzureConfigKey, AzureCredential, MicrosoftAzure, MicrosoftAzureBuilder, split_sas,
};
use object_store::{ObjectStore, PutMode, PutOptions};
use uuid::Uuid;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_reach::AllowList;

use crate::credentials::AzureIdentity;
use crate::failure::{Failure, one_line};
use crate::options::AzureOptions;
use crate::remote::client_options::{client_options, no_retries};
use crate::remote::connection::Shared;
use crate::remote::{Client, Remote};

/// One container and prefix.
pub(crate) struct Azure {
    pub(crate) remote: Remote<MicrosoftAzure>,
    pub(crate) options: AzureOptions,
}

impl Client for MicrosoftAzure {
    const CREDENTIALS_HINT: &'static str = "Set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN in the server's environment, give the machine a managed \
         identity, or name a profile of the credentials file in the storage option \"profile\".";

    async fn secrets(&self) -> object_store::Result<Vec<String>> {
        Ok(match &*self.credentials().get_credential().await? {
            // It signs and is never sent.
            AzureCredential::AccessKey(_) => Vec::new(),
            AzureCredential::BearerToken(token) => vec![token.clone()],
            AzureCredential::SASToken(pairs) => {
                pairs.iter().filter(|(name, _)| name == "sig").map(|(_, value)| value.clone()).collect()
            }
        })
    }
}

impl Azure {
    /// Makes the client; nothing is sent yet.
    pub(crate) fn open(
        account: &str,
        container: &str,
        prefix: &str,
        options: &AzureOptions,
        identity: AzureIdentity,
        allow: &AllowList,
    ) -> Result<Self> {
        let unusable = |error: object_store::Error| unusable(container, &error);
        let base = Self::address(account, options);
        let http = Shared::open(&base, &[], allow, options.allow_http, options.timeout)?;
        let builder = || {
            MicrosoftAzureBuilder::new()
                .with_account(account)
                .with_container_name(container)
                .with_endpoint(base.clone())
                .with_retry(no_retries())
                .with_client_options(client_options(options.allow_http, options.timeout))
        };
        // One client finds the credentials, at hosts that the environment names; the other one works with them.
        let finder = identify(builder(), identity)?.build().map_err(unusable)?;
        let client = builder()
            .with_http_connector(http.clone())
            .with_credentials(Arc::clone(finder.credentials()))
            .build()
            .map_err(unusable)?;
        Ok(Self { remote: Remote::new(client, http.0, prefix, Vec::new()), options: options.clone() })
    }

    /// Where requests go.
    pub(crate) fn address(account: &str, options: &AzureOptions) -> String {
        let public = || format!("https://{account}.blob.core.windows.net");
        options.endpoint.clone().unwrap_or_else(public)
    }

    pub(crate) async fn create(&self, key: &str, bytes: Bytes, limit: Duration) -> Result<(), Failure> {
        let path = self.remote.path(key)?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let request = self.remote.client.put_opts(&path, bytes.into(), options);
        self.remote.attempt(limit, request).await.map(|_| ())
    }

    /// Azure has no uploads: blocks wait at the blob until a list of them is committed. The id is ours alone.
    pub(crate) fn begin() -> String {
        Uuid::new_v4().simple().to_string()
    }
}

fn identify(builder: MicrosoftAzureBuilder, identity: AzureIdentity) -> Result<MicrosoftAzureBuilder> {
    let malformed = |what: &str| {
        Error::new(ErrorClass::Configuration, format!("{what} is not one"))
            .hint("Copy it from the storage account once more.")
    };
    match identity {
        AzureIdentity::AccountKey(key) => Ok(builder.with_access_key(key)),
        AzureIdentity::Signature(signature) => {
            let pairs = split_sas(&signature).map_err(|_| malformed("shared access signature"))?;
            Ok(builder.with_sas_authorization(pairs))
        }
        AzureIdentity::Environment(variables) => {
            variables.into_iter().try_fold(builder, |builder, (name, value)| {
                let key: AzureConfigKey = name
                    .to_ascii_lowercase()
                    .parse()
                    .map_err(|_| Error::internal(format!("client does not know the variable {name}")))?;
                Ok(builder.with_config(key, value))
            })
        }
    }
}

/// The library's text may repeat the key it could not read.
fn unusable(container: &str, error: &object_store::Error) -> Error {
    let told = Error::new(
        ErrorClass::Configuration,
        format!("could not set up the client for container \"{container}\""),
    );
    let text = one_line(&error.to_string());
    if text.contains("key") { told.detail("The account's key is not base64.") } else { told.detail(text) }
}
