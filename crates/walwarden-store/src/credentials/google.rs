//! Who we are towards Google.

use std::path::Path;

use walwarden_core::{Error, ErrorClass, Result};

use super::{CredentialSource, profile};
use crate::private_file;

/// The variable that names the file of a service account, and the one below which the client library looks for another.
pub(super) const VARIABLES: [&str; 2] = ["GOOGLE_APPLICATION_CREDENTIALS", "HOME"];

/// Where gcloud keeps a login, below the home folder. The client library would use it whoever can read or change it.
const LOGIN: &str = ".config/gcloud/application_default_credentials.json";

/// How a file begins to say what it is. Others (external accounts, a person's own login) are not followed: they are about
/// interactive use, or name programs to run.
const SERVICE_ACCOUNT: &str = "service_account";

/// Who we are. Has no `Debug` on purpose.
pub(crate) enum GoogleIdentity {
    /// The content of a service account's key file, JSON.
    ServiceAccount(String),
    /// What the machine's metadata service says.
    Machine,
}

impl CredentialSource {
    /// The identity for a Google storage with this `profile` option. Reads files.
    ///
    /// # Errors
    /// `Configuration` if the profile or the file it names cannot be used, or is open to others.
    pub(crate) fn google_identity(&self, profile: Option<&str>) -> Result<GoogleIdentity> {
        let path = match profile {
            Some(name) => {
                let (file, profile) = self.profile(name)?;
                let path = profile.get("google_service_account");
                Some(path.ok_or_else(|| {
                    profile::refused(file, name, "The profile has no google_service_account.")
                })?)
            }
            None => {
                let variables = self.variables(VARIABLES)?;
                let get =
                    |name: &str| variables.iter().find(|(given, _)| *given == name).map(|(_, value)| value);
                let login = || {
                    let file = Path::new(get(VARIABLES[1])?).join(LOGIN);
                    file.exists().then(|| file.to_string_lossy().into_owned())
                };
                get(VARIABLES[0]).cloned().or_else(login)
            }
        };
        path.map_or(Ok(GoogleIdentity::Machine), |path| {
            read(Path::new(&path)).map(GoogleIdentity::ServiceAccount)
        })
    }
}

fn read(path: &Path) -> Result<String> {
    let refused = |detail: String, hint: &str| {
        Error::new(ErrorClass::Configuration, format!("could not use service account file {path:?}"))
            .detail(detail)
            .hint(hint)
    };
    let content = private_file::read(path).map_err(|refusal| refused(refusal.detail, refusal.hint))?;
    let kind = serde_json::from_str::<serde_json::Value>(&content)
        .ok()
        .and_then(|value| value.get("type")?.as_str().map(str::to_owned));
    if kind.as_deref() == Some(SERVICE_ACCOUNT) {
        return Ok(content.as_str().to_owned());
    }
    Err(refused(
        "It is not the key file of a service account.".to_owned(),
        "Make a key for a service account and store it as JSON.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_file::written;

    fn identity(path: &str) -> Result<GoogleIdentity> {
        let variable = (VARIABLES[0].to_owned(), path.to_owned());
        CredentialSource::from_variables([variable], None).google_identity(None)
    }

    #[test]
    fn only_a_private_file_of_a_service_account_is_used() {
        let good = r#"{"type": "service_account", "private_key": "canary"}"#;
        let file = written(good, 0o600);
        assert!(matches!(identity(file.path().to_str().unwrap()), Ok(GoogleIdentity::ServiceAccount(_))));
        let profiles =
            written(format!("[p]\ngoogle_service_account = {}\n[q]\n", file.path().display()), 0o600);
        let source = CredentialSource::from_variables([], Some(profiles.path().to_owned()));
        assert!(matches!(source.google_identity(Some("p")), Ok(GoogleIdentity::ServiceAccount(_))));
        assert!(matches!(source.google_identity(None), Ok(GoogleIdentity::Machine)));
        assert!(source.google_identity(Some("q")).is_err());
        for (content, mode) in
            [(good, 0o644), ("canary", 0o600), (r#"{"type": "authorized_user", "x": "canary"}"#, 0o600)]
        {
            let error = identity(written(content, mode).path().to_str().unwrap()).err().unwrap();
            assert_eq!(error.class, ErrorClass::Configuration);
            assert!(!format!("{error:?}").contains("canary"));
        }
        assert!(identity("/does/not/exist").is_err());

        let home = tempfile::tempdir().unwrap();
        let login = home.path().join(LOGIN);
        std::fs::create_dir_all(login.parent().unwrap()).unwrap();
        std::fs::write(&login, r#"{"type": "authorized_user"}"#).unwrap();
        let variable = (VARIABLES[1].to_owned(), home.path().to_str().unwrap().to_owned());
        assert!(CredentialSource::from_variables([variable], None).google_identity(None).is_err());
    }
}
