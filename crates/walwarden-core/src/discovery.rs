//! Backups that storage knows and the database does not: what a manifest's key says, and whether the manifest says the same.
//!
//! A signature proves who wrote a manifest, not that it lies where it was put: one that was copied under another name would
//! pass for another backup.

use uuid::Uuid;

use crate::exact_uuid::exact_uuid;
use crate::manifest::Manifest;

/// What stands in the key of a manifest: `org/<organization>/db/<database id>/backup/<YYYY>/<MM>/<DD>/<job id>.manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestKey {
    /// The organization.
    pub organization: String,
    /// The id of the database.
    pub database: Uuid,
    /// The job that made the backup.
    pub job: Uuid,
    key: String,
}

impl ManifestKey {
    /// How every manifest's key ends.
    pub const SUFFIX: &str = ".manifest.json";

    /// What the keys of encrypted objects have behind the rest.
    pub const ENCRYPTED: &str = ".age";

    /// Reads a key; None for one of another form.
    pub fn parse(key: &str) -> Option<Self> {
        let mut segments = key.split('/');
        let mut next = || segments.next().filter(|segment| !segment.is_empty());
        let named = |found: &str, name: &str| (found == name).then_some(());
        named(next()?, "org")?;
        let organization = next()?.to_owned();
        named(next()?, "db")?;
        let database = exact_uuid(next()?)?;
        named(next()?, "backup")?;
        for digits in [4, 2, 2] {
            let number = next()?;
            (number.len() == digits && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
        }
        let job = exact_uuid(next()?.strip_suffix(Self::SUFFIX)?)?;
        if next().is_some() {
            return None;
        }
        Some(Self { organization, database, job, key: key.to_owned() })
    }

    /// Whether this is the key of that manifest, and its objects lie beside it; else a sentence says what disagrees.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check(&self, manifest: &Manifest) -> Result<(), String> {
        let key = &self.key;
        if manifest.job.id != self.job {
            return Err(format!("object \"{key}\" is of job {}", manifest.job.id));
        }
        if manifest.database.id != self.database {
            return Err(format!("object \"{key}\" is of database {}", manifest.database.id));
        }
        if manifest.organization != self.organization {
            return Err(format!("object \"{key}\" is of organization \"{}\"", manifest.organization));
        }
        let archive = &manifest.archive;
        let globals = manifest.globals.as_ref();
        let globals =
            globals.map(|globals| (globals.key.as_str(), ".globals.sql", globals.encryption.is_some()));
        let objects = [Some((archive.key.as_str(), ".dump", archive.encryption.is_some())), globals];
        let stem = key.strip_suffix(Self::SUFFIX).unwrap_or(key);
        for (named, suffix, is_encrypted) in objects.into_iter().flatten() {
            let plain = if is_encrypted { named.strip_suffix(Self::ENCRYPTED) } else { Some(named) };
            if plain.and_then(|plain| plain.strip_suffix(suffix)) != Some(stem) {
                return Err(format!("object \"{key}\" names \"{named}\", which does not lie beside it"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::sample;

    fn key() -> String {
        let archive = sample::manifest().archive.key;
        format!("{}{}", archive.strip_suffix(".dump").unwrap(), ManifestKey::SUFFIX)
    }

    #[test]
    fn a_key_says_whose_backup_it_is() {
        let manifest = sample::manifest();
        let read = ManifestKey::parse(&key()).unwrap();
        assert_eq!(read.organization, manifest.organization);
        assert_eq!((read.database, read.job), (manifest.database.id, manifest.job.id));
        assert_eq!(read.check(&manifest), Ok(()));
    }

    #[test]
    fn keys_of_another_form_are_none() {
        let good = key();
        for bad in [
            String::new(),
            "org".to_owned(),
            format!("/{good}"),
            format!("x/{good}"),
            format!("{good}.sig"),
            format!("{good}/x"),
            good.replace("/2026/", "/26/"),
            good.replace("/2026/", "/20x6/"),
            good.replace("/backup/", "/audit/"),
            good.replace("0198a5d2", "0198A5D2"),
            good.replace("0198a5d2-7c00", "0198a5d27c00"),
            good.replace("org/default", "org/"),
        ] {
            assert_eq!(ManifestKey::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_manifest_under_another_key_is_told() {
        let manifest = sample::manifest();
        let told = |key: &str| ManifestKey::parse(key).unwrap().check(&manifest).unwrap_err();
        let other = Uuid::from_u128(7).to_string();
        let of_job = told(&key().replace(&manifest.job.id.to_string(), &other));
        assert!(
            of_job.contains(&format!("is of job {}", manifest.job.id)) && of_job.contains(&other),
            "{of_job}"
        );
        assert!(told(&key().replace(&manifest.database.id.to_string(), &other)).contains("is of database"));
        assert!(told(&key().replace("/default/", "/acme/")).contains("is of organization \"default\""));
        assert!(told(&key().replace("/2026/", "/2027/")).contains("does not lie beside it"));
    }

    #[test]
    fn objects_of_other_backups_are_told() {
        let at = ManifestKey::parse(&key()).unwrap();
        let mut manifest = sample::manifest();
        manifest.globals = None;
        assert_eq!(at.check(&manifest), Ok(()));
        manifest.archive.key = manifest.archive.key.replace(".dump", ".globals.sql");
        assert!(at.check(&manifest).is_err());

        let mut manifest = sample::manifest();
        let globals = manifest.globals.as_mut().unwrap();
        globals.key = globals.key.replace("/2026/", "/2025/");
        let told = at.check(&manifest).unwrap_err();
        assert!(told.contains("/2025/") && told.contains(".globals.sql"), "{told}");
    }

    #[test]
    fn encrypted_objects_have_keys_of_their_own() {
        let at = ManifestKey::parse(&key()).unwrap();
        assert_eq!(at.check(&sample::encrypted()), Ok(()));
        let mut manifest = sample::encrypted();
        manifest.archive.key = sample::manifest().archive.key;
        assert!(at.check(&manifest).unwrap_err().contains("does not lie beside it"));
        let mut manifest = sample::manifest();
        manifest.archive.key.push_str(".age");
        assert!(at.check(&manifest).is_err());
    }
}
