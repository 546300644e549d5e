//! Where each object of a database stands in a storage. The keys are part of the format: they do not change.

use chrono::{Datelike, NaiveDate};
use uuid::Uuid;
use walwarden_core::audit::AuditObject;
use walwarden_core::discovery::ManifestKey;
use walwarden_core::{Error, Result};

use crate::key::is_plain_segment;

/// The longest organization name, in bytes.
const MAX_ORGANIZATION_LENGTH: usize = 63;

/// The keys of one database: `org/<organization>/db/<database id>/...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    organization: String,
    database_id: Uuid,
}

/// The keys of one backup's objects, in the order they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupKeys {
    /// The archive in pg_dump's custom format.
    pub archive: String,
    /// Roles and tablespaces.
    pub globals: String,
    /// The signature of the manifest, 64 bytes.
    pub signature: String,
    /// The manifest: the backup exists if and only if this object does.
    pub manifest: String,
}

impl BackupKeys {
    /// The same for a storage that holds archive and globals encrypted.
    #[must_use]
    pub fn encrypted(self) -> Self {
        let suffix = ManifestKey::ENCRYPTED;
        Self {
            archive: format!("{}{suffix}", self.archive),
            globals: format!("{}{suffix}", self.globals),
            ..self
        }
    }
}

impl Layout {
    /// The layout of one database.
    ///
    /// # Errors
    /// `InvalidInput` if `organization` cannot be one segment of a key: 1 to 63 of `A-Z a-z 0-9 . _ -`, beginning with a
    /// letter or a digit.
    pub fn new(organization: &str, database_id: Uuid) -> Result<Self> {
        let usable = is_plain_segment(organization)
            && organization.len() <= MAX_ORGANIZATION_LENGTH
            && organization.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !usable {
            return Err(Error::invalid("organization name cannot be used in object keys").hint(
                "Use 1 to 63 letters, digits, dots, underscores and hyphens, beginning with a letter or a digit.",
            ));
        }
        Ok(Self { organization: organization.to_owned(), database_id })
    }

    /// The keys of the backup that `job` makes; `at` is the UTC date on which the job was queued.
    pub fn backup_keys(&self, job: Uuid, at: NaiveDate) -> BackupKeys {
        let stem = format!(
            "{}/backup/{:04}/{:02}/{:02}/{}",
            self.folder(),
            at.year(),
            at.month(),
            at.day(),
            job.hyphenated()
        );
        BackupKeys {
            archive: format!("{stem}.dump"),
            globals: format!("{stem}.globals.sql"),
            signature: format!("{stem}.manifest.json.sig"),
            manifest: format!("{stem}.manifest.json"),
        }
    }

    /// The key of an object of the audit chain.
    pub fn audit_key(&self, object: &AuditObject) -> String {
        format!("{}/{object}", self.folder())
    }

    /// What of the audit chain has this key; None for anything else.
    pub fn audit_object(&self, key: &str) -> Option<AuditObject> {
        AuditObject::parse(key.strip_prefix(&self.folder())?.strip_prefix('/')?)
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> String {
        format!("{}/{}", self.folder(), AuditObject::CHECKPOINTS)
    }

    /// The key of an evidence bundle by its name.
    pub fn evidence_key(&self, name: &str) -> String {
        format!("{}/evidence/{name}", self.folder())
    }

    /// The folder of all objects of the database.
    pub fn folder(&self) -> String {
        format!("org/{}/db/{}", self.organization, self.database_id.hyphenated())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::validate_key;

    #[test]
    fn keys_are_those_of_the_format() {
        let layout = Layout::new("default", Uuid::from_u128(1)).unwrap();
        let at = NaiveDate::from_ymd_opt(2026, 3, 7).unwrap();
        let keys = layout.backup_keys(Uuid::from_u128(0xabc), at);
        let stem = "org/default/db/00000000-0000-0000-0000-000000000001/backup/2026/03/07/\
                    00000000-0000-0000-0000-000000000abc";
        assert_eq!(keys.archive, format!("{stem}.dump"));
        assert_eq!(keys.globals, format!("{stem}.globals.sql"));
        assert_eq!(keys.manifest, format!("{stem}.manifest.json"));
        assert_eq!(keys.signature, format!("{stem}.manifest.json.sig"));
        let encrypted = keys.clone().encrypted();
        assert_eq!(encrypted.archive, format!("{stem}.dump.age"));
        assert_eq!(encrypted.globals, format!("{stem}.globals.sql.age"));
        assert_eq!((&encrypted.manifest, &encrypted.signature), (&keys.manifest, &keys.signature));
        let evidence = layout.evidence_key("job.tar");
        assert_eq!(evidence, "org/default/db/00000000-0000-0000-0000-000000000001/evidence/job.tar");
        validate_key(&evidence).unwrap();
        let checkpoint = AuditObject::Checkpoint { epoch: 1, size: 42 };
        let checkpoint_key = layout.audit_key(&checkpoint);
        assert_eq!(
            checkpoint_key,
            "org/default/db/00000000-0000-0000-0000-000000000001/audit/checkpoint/0000000001/00000000000000000042"
        );
        assert!(checkpoint_key.starts_with(&layout.checkpoints()));
        assert_eq!(layout.audit_object(&checkpoint_key), Some(checkpoint));
        assert_eq!(layout.audit_object(&keys.manifest), None);
        let entries = layout.audit_key(&AuditObject::Entries { epoch: 1, from: 1, to: u64::MAX });
        for key in [keys.archive, keys.signature, encrypted.archive, checkpoint_key, entries] {
            validate_key(&key).unwrap();
        }
    }

    #[test]
    fn organizations_are_one_plain_segment() {
        for good in ["default", "ACME-1", "a.b_c", "0"] {
            assert!(Layout::new(good, Uuid::nil()).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".x", "a/b", "a b", "-a", "a\n", "é", &"x".repeat(64)] {
            assert!(Layout::new(bad, Uuid::nil()).is_err(), "{bad:?}");
        }
    }
}
