//! The signature of a request: HMAC-SHA256 over `<t>.<body>`, where t is when it was sent, in seconds since the Unix epoch.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// What a webhook's requests are signed with.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A secret as it stands in the credentials file.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The value of the header `Walwarden-Signature`.
    pub fn sign(&self, unix_seconds: i64, body: &str) -> String {
        // HMAC takes keys of every length (RFC 2104): what is behind this error cannot be.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return String::new() };
        mac.update(format!("{unix_seconds}.").as_bytes());
        mac.update(body.as_bytes());
        format!("t={unix_seconds},v1={}", hex::encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;
    use std::process::Command;

    #[test]
    fn openssl_computes_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (secret, body) in [("canary", "{\"text\":\"Größe\"}"), ("x", ""), (&"long".repeat(50), "{}")] {
            let signature = Secret::new(secret.to_owned()).sign(1_800_000_000, body);
            std::fs::write(file.path(), format!("1800000000.{body}")).unwrap();
            let output = Command::new("openssl")
                .args(["dgst", "-sha256", "-hmac", secret, "-r"])
                .arg(file.path())
                .output()
                .unwrap();
            let hex = String::from_utf8(output.stdout).unwrap();
            assert_eq!(signature, format!("t=1800000000,v1={}", hex.split_whitespace().next().unwrap()));
        }
    }

    #[test]
    fn it_is_never_shown() {
        assert!(!format!("{:?}", Secret::new("canary".to_owned())).contains("canary"));
    }
}
