//! Google Cloud Storage.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::multipart::MultipartStore;
use object_store::signer::HeaderValue;
use object_store::{Attribute, Attributes, ObjectStore, PutMode, PutMultipartOptions, PutOptions};
use url::Url;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_reach::AllowList;

use crate::credentials::GoogleIdentity;
use crate::failure::{Failure, one_line};
use crate::options::GcsOptions;
use crate::remote::client_options::{client_options, no_retries};
use crate::remote::connection::Shared;
use crate::remote::{Client, Remote, answer, get};
use crate::uploads_found::{UploadPage, UploadPlace};

/// Google's own.
const ENDPOINT: &str = "https://storage.googleapis.com";

/// Where the library has the addresses of downloads signed, if the machine has no key of its own.
const SIGNER: &str = "iamcredentials.googleapis.com";

/// One bucket and prefix.
pub(crate) struct Gcs {
    pub(crate) remote: Remote<GoogleCloudStorage>,
    pub(crate) options: GcsOptions,
    bucket: String,
    attributes: Attributes,
}

impl Client for GoogleCloudStorage {
    const CREDENTIALS_HINT: &'static str = "Set GOOGLE_APPLICATION_CREDENTIALS in the server's environment to the key file of a service account, give the \
         machine a service account, or name a profile of the credentials file in the storage option \"profile\".";

    async fn secrets(&self) -> object_store::Result<Vec<String>> {
        Ok(vec![self.credentials().get_credential().await?.bearer.clone()])
    }
}

impl Gcs {
    /// Makes the client; nothing is sent yet.
    pub(crate) fn open(
        bucket: &str,
        prefix: &str,
        options: &GcsOptions,
        identity: GoogleIdentity,
        allow: &AllowList,
    ) -> Result<Self> {
        let mut attributes = Attributes::new();
        if let Some(class) = &options.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        // Said in any case: the key file of a service account may name another.
        let base = Self::address(options);
        let http = Shared::open(base, &[SIGNER], allow, options.allow_http, options.timeout)?;
        let builder = || {
            GoogleCloudStorageBuilder::new()
                .with_bucket_name(bucket)
                .with_base_url(base)
                .with_retry(no_retries())
                .with_client_options(client_options(options.allow_http, options.timeout))
        };
        // One client finds the credentials, at hosts that the key file or the machine names; the other one works with them.
        let finder = match identity {
            GoogleIdentity::ServiceAccount(key) => builder().with_service_account_key(key),
            _ => builder(),
        };
        let finder = finder.build().map_err(|error| unusable(bucket, &error))?;
        let client = builder()
            .with_http_connector(http.clone())
            .with_credentials(Arc::clone(finder.credentials()))
            .with_signing_credentials(Arc::clone(finder.signing_credentials()))
            .build()
            .map_err(|error| unusable(bucket, &error))?;
        Ok(Self {
            remote: Remote::new(client, http.0, prefix, Vec::new()),
            options: options.clone(),
            bucket: bucket.to_owned(),
            attributes,
        })
    }

    /// Where requests go.
    pub(crate) fn address(options: &GcsOptions) -> &str {
        options.endpoint.as_deref().unwrap_or(ENDPOINT)
    }

    pub(crate) async fn create(&self, key: &str, bytes: Bytes, limit: Duration) -> Result<(), Failure> {
        let path = self.remote.path(key)?;
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: self.attributes.clone(),
            ..PutOptions::default()
        };
        let request = self.remote.client.put_opts(&path, bytes.into(), options);
        self.remote.attempt(limit, request).await.map(|_| ())
    }

    pub(crate) async fn begin(&self, key: &str, limit: Duration) -> Result<String, Failure> {
        let path = self.remote.path(key)?;
        let options =
            PutMultipartOptions { attributes: self.attributes.clone(), ..PutMultipartOptions::default() };
        self.remote.attempt(limit, self.remote.client.create_multipart_opts(&path, options)).await
    }

    pub(crate) async fn list_uploads(
        &self,
        place: &UploadPlace,
        limit: Duration,
    ) -> Result<UploadPage, Failure> {
        let endpoint = Self::address(&self.options);
        let mut url = Url::parse(endpoint).map_err(|_| Failure::internal("an endpoint is no URL"))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(&self.bucket);
        }
        url.query_pairs_mut().extend_pairs(self.remote.upload_query(place)?);
        let asked = async {
            let credential = self.remote.client.credentials().get_credential().await;
            let credential = credential.map_err(|error| answer::judge(&error))?;
            let mut request = get(url.as_str())?;
            let bad = |_| Failure::internal("a token is not one of a header");
            let mut token = HeaderValue::from_str(&format!("Bearer {}", credential.bearer)).map_err(bad)?;
            token.set_sensitive(true);
            request.headers_mut().insert("authorization", token);
            self.remote.send(request).await
        };
        let (_, body) = self.remote.attempt_own(limit, asked).await?;
        self.remote.read_uploads(&body, place)
    }
}

fn unusable(bucket: &str, error: &object_store::Error) -> Error {
    Error::new(ErrorClass::Configuration, format!("could not set up the client for bucket \"{bucket}\""))
        .detail(one_line(&error.to_string()))
}
