//! Where credentials come from: always by reference. They are read when a storage is opened, live in the client only,
//! and appear in no error, log or `Debug` output.

mod azure;
mod google;
mod profile;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use walwarden_core::{Error, ErrorClass, Result};

use profile::Profile;

/// What a profile of a credentials file says of a webhook. Has no `Debug` on purpose.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WebhookKeys {
    /// `webhook_url`
    pub url: Option<String>,
    /// `webhook_secret`
    pub secret: Option<String>,
}

/// What a profile says of a webhook; that it says anything is not asked for. Reads the file.
///
/// # Errors
/// `Configuration`: the file cannot be read or is open to others, a line cannot be understood, or there is no such profile.
pub fn webhook_keys(file: &Path, profile: &str) -> Result<WebhookKeys> {
    let keys = profile::read(file, profile)?;
    Ok(WebhookKeys { url: keys.get("webhook_url"), secret: keys.get("webhook_secret") })
}

pub(crate) use azure::AzureIdentity;
pub(crate) use google::GoogleIdentity;

/// The environment variables that say who we are to Amazon. No other `AWS_` variable is heeded: where a storage is and how it is
/// used is said by its URL and its options alone.
const IDENTITY: [&str; 11] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    TOKEN_FILE,
    "AWS_METADATA_ENDPOINT",
];

/// The default region, in the order of precedence.
const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The file whose content becomes a request header when a container's credentials are asked for.
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The places in which to look for credentials.
#[derive(Clone)]
pub struct CredentialSource {
    environment: BTreeMap<String, String>,
    credentials_file: Option<PathBuf>,
}

/// The keys of a profile for S3. Has no `Debug` on purpose.
pub(crate) struct ProfileKeys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
    /// The key of SSE-C, base64.
    pub(crate) sse_customer_key: Option<String>,
}

/// Who we are towards one S3 storage.
pub(crate) enum Identity {
    /// The keys of a profile.
    Profile(ProfileKeys),
    /// Identity variables and their values; where they name no key, the client asks the machine's metadata service.
    Environment(Vec<(&'static str, String)>),
}

impl CredentialSource {
    /// The variables of this process's environment, and the credentials file if there is one.
    pub fn from_environment(credentials_file: Option<PathBuf>) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::from_variables(std::env::vars_os().filter_map(text), credentials_file)
    }

    /// The same with the environment given; only the variables that matter are kept.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
        credentials_file: Option<PathBuf>,
    ) -> Self {
        let known: [&[&str]; 4] = [&IDENTITY, &REGION, &google::VARIABLES, &azure::VARIABLES];
        let matters = |name: &str| known.iter().any(|names| names.contains(&name));
        let environment =
            variables.into_iter().filter(|(name, value)| matters(name) && !value.is_empty()).collect();
        Self { environment, credentials_file }
    }

    /// The environment's region.
    pub(crate) fn region(&self) -> Option<&str> {
        REGION.iter().find_map(|name| self.environment.get(*name)).map(String::as_str)
    }

    /// The identity for an S3 storage with this `profile` option. Reads files.
    ///
    /// # Errors
    /// `Configuration` if a profile is named but no credentials file, if the file or the profile cannot be used, or if a
    /// variable holds what no request header may hold.
    pub(crate) fn identity(&self, profile: Option<&str>) -> Result<Identity> {
        let Some(name) = profile else { return self.environment_identity() };
        let (file, profile) = self.profile(name)?;
        let pair = profile.get("aws_access_key_id").zip(profile.get("aws_secret_access_key"));
        let Some((access_key_id, secret_access_key)) = pair else {
            return Err(profile::refused(file, name, "The profile has no complete pair of keys."));
        };
        Ok(Identity::Profile(ProfileKeys {
            access_key_id,
            secret_access_key,
            session_token: profile.get("aws_session_token"),
            sse_customer_key: profile.get("sse_customer_key"),
        }))
    }

    /// The profile with this name and the file it is in.
    fn profile(&self, name: &str) -> Result<(&Path, Profile)> {
        let Some(file) = &self.credentials_file else {
            return Err(Error::new(ErrorClass::Configuration, "no credentials file is configured")
                .detail("The storage names a profile.")
                .hint("Set walwarden.credentials_file to the file that holds the profile."));
        };
        Ok((file, profile::read(file, name)?))
    }

    /// The variables among `names` that are set, in this order.
    fn variables<const N: usize>(&self, names: [&'static str; N]) -> Result<Vec<(&'static str, String)>> {
        let mut variables = Vec::new();
        for name in names {
            let Some(value) = self.environment.get(name) else { continue };
            // The client library panics on request headers that cannot be built, so they are judged before.
            if value.chars().any(char::is_control) {
                return Err(unusable(format!("environment variable {name} holds a control character")));
            }
            variables.push((name, value.clone()));
        }
        Ok(variables)
    }

    fn environment_identity(&self) -> Result<Identity> {
        let variables = self.variables(IDENTITY)?;
        if let Some((_, file)) = variables.iter().find(|(name, _)| *name == TOKEN_FILE) {
            check_token_file(Path::new(file))?;
        }
        let has = |name: &str| variables.iter().any(|(given, _)| *given == name);
        if has(IDENTITY[0]) != has(IDENTITY[1]) {
            return Err(unusable(format!("only one of {} and {} is set", IDENTITY[0], IDENTITY[1])));
        }
        Ok(Identity::Environment(variables))
    }
}

/// A token file ends up in a header as it is; a newline at its end would break every request.
fn check_token_file(file: &Path) -> Result<()> {
    match std::fs::read_to_string(file) {
        Ok(token) if token.is_empty() || token.chars().any(char::is_control) => {
            Err(unusable(format!("file named by {TOKEN_FILE} is empty or holds a control character")))
        }
        Ok(_) => Ok(()),
        Err(error) => {
            Err(unusable(format!("could not read the file named by {TOKEN_FILE}")).detail(error.to_string()))
        }
    }
}

fn unusable(message: String) -> Error {
    Error::new(ErrorClass::Configuration, message)
        .hint("Correct the environment of the server and restart it.")
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSource")
            .field("variables", &self.environment.keys().collect::<Vec<_>>())
            .field("credentials_file", &self.credentials_file)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(variables: &[(&str, &str)]) -> CredentialSource {
        CredentialSource::from_variables(
            variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
            None,
        )
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "canary"), ("AWS_SECRET_ACCESS_KEY", "canary")];

    #[test]
    fn only_identity_and_region_are_taken_from_the_environment() {
        let mut variables = KEYS.to_vec();
        variables.extend([
            ("AWS_ENDPOINT_URL", "http://evil"),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_SKIP_SIGNATURE", "true"),
            ("AWS_DEFAULT_REGION", "second"),
            ("AWS_REGION", "first"),
            ("AWS_SESSION_TOKEN", ""),
        ]);
        let source = source(&variables);
        assert_eq!(source.region(), Some("first"));
        let Identity::Environment(found) = source.identity(None).unwrap() else {
            panic!("not the environment")
        };
        assert_eq!(
            found.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
        );
        assert!(!format!("{source:?}").contains("canary"));
    }

    #[test]
    fn what_breaks_requests_is_refused_and_not_repeated() {
        for bad in [
            vec![("AWS_ACCESS_KEY_ID", "canary\n"), KEYS[1]],
            vec![KEYS[0]],
            vec![KEYS[1]],
            vec![("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/does/not/exist")],
        ] {
            let error = source(&bad).identity(None).err().unwrap();
            assert_eq!(error.class, ErrorClass::Configuration);
            assert!(!format!("{error:?}").contains("canary"));
        }
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "canary\n").unwrap();
        let named = token.path().to_str().unwrap().to_owned();
        assert!(source(&[("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &named)]).identity(None).is_err());
        std::fs::write(token.path(), "canary").unwrap();
        assert!(source(&[("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &named)]).identity(None).is_ok());
    }

    #[test]
    fn a_profile_needs_a_file_and_never_falls_back_to_the_environment() {
        let error = source(&KEYS).identity(Some("backup")).err().unwrap();
        assert_eq!(error.class, ErrorClass::Configuration);
    }
}
