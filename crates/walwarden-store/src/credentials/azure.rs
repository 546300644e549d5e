//! Who we are towards Azure.

use walwarden_core::Result;

use super::{CredentialSource, profile, unusable};

/// The environment variables that say who we are: an account's key, a shared access signature, an application with a secret
/// or a federated token (workload identity), the machine's managed identity.
pub(super) const VARIABLES: [&str; 8] = [
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "IDENTITY_ENDPOINT",
];

/// Who we are. Has no `Debug` on purpose.
pub(crate) enum AzureIdentity {
    /// The account's key, base64.
    AccountKey(String),
    /// A shared access signature: the query of a URL.
    Signature(String),
    /// What these variables say; where they say nothing, the machine's managed identity.
    Environment(Vec<(&'static str, String)>),
}

impl CredentialSource {
    /// The identity for an Azure storage with this `profile` option. Reads files.
    ///
    /// # Errors
    /// `Configuration` if the profile or a variable cannot be used.
    pub(crate) fn azure_identity(&self, profile: Option<&str>) -> Result<AzureIdentity> {
        let Some(name) = profile else { return self.azure_environment() };
        let (file, profile) = self.profile(name)?;
        let refused = |detail: &str| Err(profile::refused(file, name, detail));
        match (profile.get("azure_account_key"), profile.get("azure_sas_token")) {
            (Some(key), None) => Ok(AzureIdentity::AccountKey(key)),
            (None, Some(signature)) => Ok(AzureIdentity::Signature(signature)),
            (None, None) => refused("The profile has neither azure_account_key nor azure_sas_token."),
            (Some(_), Some(_)) => refused("The profile has both azure_account_key and azure_sas_token."),
        }
    }

    fn azure_environment(&self) -> Result<AzureIdentity> {
        let variables = self.variables(VARIABLES)?;
        let get =
            |name: &str| variables.iter().find(|(given, _)| *given == name).map(|(_, value)| value.clone());
        match (get(VARIABLES[0]), get(VARIABLES[1])) {
            (Some(key), None) => Ok(AzureIdentity::AccountKey(key)),
            (None, Some(signature)) => Ok(AzureIdentity::Signature(signature)),
            (None, None) => Ok(AzureIdentity::Environment(variables)),
            (Some(_), Some(_)) => {
                Err(unusable(format!("both {} and {} are set", VARIABLES[0], VARIABLES[1])))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(variables: &[(&str, &str)]) -> Result<AzureIdentity> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        CredentialSource::from_variables(variables, None).azure_identity(None)
    }

    #[test]
    fn one_identity_is_taken_and_two_are_refused() {
        let key = ("AZURE_STORAGE_ACCOUNT_KEY", "canary");
        let signature = ("AZURE_STORAGE_SAS_TOKEN", "sig=canary");
        assert!(matches!(identity(&[key]), Ok(AzureIdentity::AccountKey(_))));
        assert!(matches!(identity(&[signature]), Ok(AzureIdentity::Signature(_))));
        assert!(matches!(identity(&[]), Ok(AzureIdentity::Environment(found)) if found.is_empty()));
        for bad in [vec![key, signature], vec![("AZURE_STORAGE_ACCOUNT_KEY", "canary\n")]] {
            let error = identity(&bad).err().unwrap();
            assert!(!format!("{error:?}").contains("canary"));
        }
        assert!(
            CredentialSource::from_variables([], None).azure_identity(Some("p")).is_err(),
            "a profile needs a file"
        );
    }
}
