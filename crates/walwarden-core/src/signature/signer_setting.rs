//! What the setting `walwarden.signer` says: who keeps the key, if it is not the key file.

use std::path::PathBuf;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::error::{Error, ErrorClass, Result};
use crate::key::SIGNATURE_LENGTH;

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerSetting {
    /// The key file of the cluster.
    File,
    /// A program that is run for each signature.
    Command {
        /// Its absolute path.
        program: PathBuf,
        /// What it is given before the verb.
        arguments: Vec<String>,
    },
    /// An ssh-agent that listens on a socket.
    Agent {
        /// The absolute path of the socket.
        socket: PathBuf,
        /// The id of the key to use; None where the agent has only one.
        key_id: Option<String>,
    },
}

impl SignerSetting {
    /// Reads `command:/path arguments...`, `unix:/path [key id]` or nothing at all.
    ///
    /// # Errors
    /// `Configuration` for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::File);
        }
        if text.contains(|c: char| c.is_control()) {
            return Err(refused("It has control characters."));
        }
        let (kind, rest) = text.split_once(':').ok_or_else(|| refused("It names no kind of signer."))?;
        let mut words = rest.split_ascii_whitespace().map(str::to_owned);
        let path = words.next().map(PathBuf::from).filter(|path| path.is_absolute());
        let path = path.ok_or_else(|| refused("It names no absolute path."))?;
        match kind {
            "command" => Ok(Self::Command { program: path, arguments: words.collect() }),
            "unix" => {
                let key_id = words.next();
                let is_id = |id: &String| {
                    id.len() == 16 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                };
                if !key_id.iter().all(is_id) || words.next().is_some() {
                    return Err(refused(
                        "Only the id of a key, 16 hexadecimal digits, may follow the socket.",
                    ));
                }
                Ok(Self::Agent { socket: path, key_id })
            }
            _ => Err(refused(&format!("\"{kind}\" is no kind of signer."))),
        }
    }

    /// What it is called in errors.
    pub fn name(&self) -> String {
        match self {
            Self::File => "key file".to_owned(),
            Self::Command { program, .. } => format!("signer \"{}\"", program.display()),
            Self::Agent { socket, .. } => format!("ssh-agent at \"{}\"", socket.display()),
        }
    }
}

/// The beginning of what a signer said, in one line: enough to know why it failed.
pub fn excerpt(said: &str) -> String {
    const LONGEST: usize = 200;
    let line: Vec<&str> =
        said.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty()).collect();
    let mut line: String = line.join(" ");
    if line.chars().count() > LONGEST {
        line = line.chars().take(LONGEST).chain(['…']).collect();
    }
    line
}

/// The signature that a command wrote: 64 bytes as they are, or in base64, in however many lines.
///
/// # Errors
/// `Key` when it is neither.
pub fn signature_of_output(output: &[u8]) -> Result<[u8; SIGNATURE_LENGTH]> {
    if let Ok(raw) = output.try_into() {
        return Ok(raw);
    }
    let digits: Vec<u8> = output.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(digits).ok().and_then(|raw| raw.try_into().ok()).ok_or_else(|| {
        Error::new(ErrorClass::Key, "the signer gave no signature").detail(format!(
            "It wrote {} bytes, which are neither a raw Ed25519 signature nor one in base64.",
            output.len()
        ))
    })
}

fn refused(why: &str) -> Error {
    Error::new(ErrorClass::Configuration, "walwarden.signer cannot be used").detail(why).hint(
        "It is empty for the key file, command:/path/to/program arguments, or unix:/path/to/agent.sock.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms() {
        assert_eq!(SignerSetting::parse("").unwrap(), SignerSetting::File);
        assert_eq!(SignerSetting::parse("  ").unwrap(), SignerSetting::File);
        assert_eq!(
            SignerSetting::parse("command:/usr/bin/sign --slot 9c").unwrap(),
            SignerSetting::Command {
                program: "/usr/bin/sign".into(),
                arguments: vec!["--slot".to_owned(), "9c".to_owned()]
            }
        );
        let agent = |key_id: Option<&str>| SignerSetting::Agent {
            socket: "/run/agent.sock".into(),
            key_id: key_id.map(str::to_owned),
        };
        assert_eq!(SignerSetting::parse("unix:/run/agent.sock").unwrap(), agent(None));
        assert_eq!(
            SignerSetting::parse("unix:/run/agent.sock 21fe31dfa154a261").unwrap(),
            agent(Some("21fe31dfa154a261"))
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "/usr/bin/sign",
            "command:",
            "command:sign",
            "command:./sign",
            "command: ",
            "unix:agent.sock",
            "unix:/run/agent.sock 21fe",
            "unix:/run/agent.sock 21FE31DFA154A261",
            "unix:/run/agent.sock 21fe31dfa154a261 more",
            "tcp:/run/agent.sock",
            "command:/usr/bin/sign a\nb",
        ] {
            let error = SignerSetting::parse(text).unwrap_err();
            assert_eq!(error.class, ErrorClass::Configuration, "{text}");
        }
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt("no\n\tkey\u{1b}[31m\r\n"), "no key [31m");
        assert_eq!(excerpt(&"x".repeat(300)).chars().count(), 201);
    }

    #[test]
    fn a_signature_is_raw_or_base64() {
        let raw = [7; SIGNATURE_LENGTH];
        assert_eq!(signature_of_output(&raw).unwrap(), raw);
        let text = format!("{}\n", BASE64_STANDARD.encode(raw));
        assert_eq!(signature_of_output(text.as_bytes()).unwrap(), raw);
        let (first, second) = text.split_at(76);
        assert_eq!(signature_of_output(format!("{first}\n{second}").as_bytes()).unwrap(), raw);
        for wrong in [&raw[..63], b"", b"\n", &text.as_bytes()[..40], b"error: no key"] {
            let error = signature_of_output(wrong).unwrap_err();
            assert!(!format!("{error:?}").contains("no key"), "{error:?}");
        }
    }
}
