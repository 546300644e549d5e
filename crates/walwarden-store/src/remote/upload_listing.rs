//! Uploads in parts that were begun and neither completed nor aborted.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use walwarden_core::ErrorClass;

use super::{Client, Remote, document, same_page};
use crate::failure::Failure;
use crate::uploads_found::{UploadFound, UploadPage, UploadPlace};

/// "ListMultipartUploads", Amazon S3 API Reference; "List multipart uploads", Google Cloud Storage XML API.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    upload_id: String,
    initiated: DateTime<Utc>,
}

/// Names and values of the query that asks for one page.
pub(crate) type Query = Vec<(&'static str, String)>;

impl<C: Client> Remote<C> {
    /// The query for one page of the uploads whose keys begin with the folder and a slash.
    pub(crate) fn upload_query(&self, place: &UploadPlace) -> Result<Query, Failure> {
        let prefix = format!("{}/", self.path(&place.folder)?);
        let mut query = vec![("uploads", String::new()), ("prefix", prefix)];
        if let Some((key, id)) = &place.after {
            query.push(("key-marker", key.clone()));
            query.push(("upload-id-marker", id.clone()));
        }
        query.sort_unstable();
        Ok(query)
    }

    /// Reads what came for that query.
    pub(crate) fn read_uploads(&self, body: &[u8], place: &UploadPlace) -> Result<UploadPage, Failure> {
        let document: Document = document::read(body, "ListMultipartUploadsResult")?;
        let more = if document.is_truncated {
            let after = document.next_key_marker.zip(document.next_upload_id_marker);
            let Some(after) = after.filter(|(key, _)| !key.is_empty()) else {
                return Err(Failure::new(
                    ErrorClass::Storage,
                    "the listing of uploads ends early and does not say where it goes on",
                ));
            };
            if place.after.as_ref() == Some(&after) {
                return Err(same_page());
            }
            Some(UploadPlace { folder: place.folder.clone(), after: Some(after) })
        } else {
            None
        };
        let uploads = document.uploads.into_iter().filter_map(|listed| {
            let key = self.key(&listed.key)?.to_owned();
            // Some servers take the prefix for a folder, some forget it.
            let is_below = key.strip_prefix(&place.folder)?.starts_with('/');
            is_below.then_some(UploadFound { key, id: listed.upload_id, initiated: listed.initiated })
        });
        Ok(UploadPage { uploads: uploads.collect(), more: more.into_iter().collect() })
    }
}
