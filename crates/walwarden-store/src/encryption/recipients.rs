//! Who can decrypt: the storage option `age_recipients`, public keys.

use std::fmt;

use age::Encryptor;
use age::x25519::Recipient;
use serde_json::{Map, Value};
use walwarden_core::{Error, Result};

/// Each costs some hundred bytes in front of an object, and a moment for whoever decrypts.
const MAX_RECIPIENTS: usize = 32;

/// Public keys of age, one at least.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipients {
    keys: Vec<Recipient>,
}

impl Recipients {
    /// The storage option that holds them.
    pub const OPTION: &str = "age_recipients";

    /// The recipients that the options of a storage name, whatever its kind; None where they name none: nothing is encrypted
    /// there.
    ///
    /// # Errors
    /// `InvalidInput` for anything but an array of 1 to 32 different `age1...` keys. A secret key is not repeated.
    pub fn of_options(options: &Value) -> Result<Option<Self>> {
        options.as_object().map_or(Ok(None), Self::of_object)
    }

    /// The same of the options' object.
    pub(crate) fn of_object(options: &Map<String, Value>) -> Result<Option<Self>> {
        match options.get(Self::OPTION) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(values)) => Self::read(values).map(Some),
            Some(_) => Err(invalid("The value must be an array of strings.")),
        }
    }

    fn read(values: &[Value]) -> Result<Self> {
        if values.is_empty() || values.len() > MAX_RECIPIENTS {
            return Err(invalid(&format!("The array must have 1 to {MAX_RECIPIENTS} keys."))
                .hint("Leave the option out for a storage that keeps backups as they are."));
        }
        let mut keys = Vec::with_capacity(values.len());
        for (number, value) in (1..).zip(values) {
            let key = read_key(number, value)?;
            if keys.contains(&key) {
                return Err(invalid(&format!("Key {number} is there twice.")));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The keys as text, in their one normal form: `age1...`.
    pub fn names(&self) -> Vec<String> {
        self.keys.iter().map(ToString::to_string).collect()
    }

    /// A new file key for these recipients.
    pub(super) fn encryptor(&self) -> Result<Encryptor> {
        Encryptor::with_recipients(self.keys.iter().map(|key| key as &dyn age::Recipient))
            .map_err(|_| Error::internal("age takes no such set of recipients"))
    }
}

/// Public keys, and nothing else.
impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

/// What is given may be a secret key: it is never repeated.
fn read_key(number: usize, value: &Value) -> Result<Recipient> {
    let Value::String(text) = value else {
        return Err(invalid(&format!("Key {number} is not a string.")));
    };
    if text.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
        return Err(invalid(&format!("Key {number} is a secret key.")).hint(
            "Give the public key, age1..., as age-keygen -y prints it. This secret key may be in the server's log now: \
             make a new one.",
        ));
    }
    text.parse().map_err(|_| {
        invalid(&format!("Key {number} is not a public key of age.")).hint(
            "A key looks like age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p; age-keygen makes one. \
             Keys of SSH, of plugins and passphrases are not supported.",
        )
    })
}

fn invalid(detail: &str) -> Error {
    Error::invalid(format!("storage option \"{}\" has an invalid value", Recipients::OPTION)).detail(detail)
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;
    use serde_json::json;
    use walwarden_core::ErrorClass;

    use super::*;

    const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn read(value: Value) -> Result<Option<Recipients>> {
        Recipients::of_options(&json!({ "age_recipients": value }))
    }

    #[test]
    fn public_keys_are_read() {
        assert_eq!(Recipients::of_options(&json!({})).unwrap(), None);
        assert_eq!(Recipients::of_options(&Value::Null).unwrap(), None);
        assert_eq!(read(Value::Null).unwrap(), None);
        let other = age::x25519::Identity::generate().to_public().to_string();
        let both = read(json!([KEY, other])).unwrap().unwrap();
        assert_eq!(both.names(), [KEY, &other]);
        assert_eq!(format!("{both:?}"), format!("[{KEY}, {other}]"));
    }

    #[test]
    fn what_is_no_list_of_public_keys_is_refused() {
        for bad in [
            json!(KEY),
            json!([]),
            json!([1]),
            json!([""]),
            json!([format!(" {KEY}")]),
            json!([KEY, KEY]),
            json!([&KEY[..KEY.len() - 1]]),
            json!(["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL4+0T0dnyP3AtT3mFtp5TbX2BFDHQ2mIM6Rgv3wf3VX"]),
            Value::from(vec![KEY; 33]),
            json!({ "key": KEY }),
        ] {
            assert_eq!(read(bad.clone()).unwrap_err().class, ErrorClass::InvalidInput, "{bad}");
        }
    }

    #[test]
    fn secret_keys_are_refused_and_not_repeated() {
        let secret = age::x25519::Identity::generate().to_string();
        let secret = secret.expose_secret();
        for bad in
            [secret.to_owned(), secret.to_lowercase(), format!("{secret}\n"), format!("{KEY} {secret}")]
        {
            let error = read(json!([KEY, bad])).unwrap_err();
            assert!(error.hint.as_deref().unwrap().contains("make a new one"), "{error:?}");
            let shown = format!("{error:?}").to_lowercase();
            assert!(!shown.contains(&secret.to_lowercase()[15..40]), "{shown}");
        }
    }
}
