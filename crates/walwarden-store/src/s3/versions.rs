//! The versions of one object.

use std::time::Duration;

use object_store::signer::{HeaderMap, Method};
use serde::Deserialize;
use walwarden_core::ErrorClass;

use super::S3;
use crate::failure::Failure;
use crate::remote::{document, same_page};
use crate::removal::Version;

/// "ListObjectVersions", Amazon S3 API Reference.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    #[serde(default, rename = "Version")]
    versions: Vec<Listed>,
    #[serde(default, rename = "DeleteMarker")]
    delete_markers: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    version_id: String,
}

/// Where a listing goes on.
type Markers = (String, Option<String>);

impl S3 {
    /// One page of what there is under exactly this key, and where the next begins.
    pub(crate) async fn list_versions(
        &self,
        key: &str,
        after: Option<&Markers>,
        limit: Duration,
    ) -> Result<(Vec<Version>, Option<Markers>), Failure> {
        let path = self.remote.path(key)?;
        let mut query = vec![("prefix", path.as_ref()), ("versions", "")];
        if let Some((key, version)) = after {
            query.push(("key-marker", key));
            query.extend(version.iter().map(|version| ("version-id-marker", version.as_str())));
        }
        query.sort_unstable();
        let answer = self.request(Method::GET, None, &query, HeaderMap::new(), limit).await?;
        let document: Document = document::read(&answer.body, "ListVersionsResult")?;
        let next = match (document.is_truncated, document.next_key_marker) {
            (false, _) => None,
            (true, Some(key)) if !key.is_empty() => Some((key, document.next_version_id_marker)),
            (true, _) => {
                return Err(Failure::new(
                    ErrorClass::Storage,
                    "the listing of versions ends early and does not say where it goes on",
                ));
            }
        };
        if next.is_some() && next.as_ref() == after {
            return Err(same_page());
        }
        let ours = |listed: Vec<Listed>, is_delete_marker| {
            let path = path.as_ref().to_owned();
            listed
                .into_iter()
                .filter(move |listed| listed.key == path)
                .map(move |listed| Version { id: Some(listed.version_id), is_delete_marker })
        };
        let versions = ours(document.versions, false).chain(ours(document.delete_markers, true)).collect();
        Ok((versions, next))
    }
}
