//! Files with secrets: read only if nobody but the server's user, or root, can.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// Far more than any real file holds.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// Why a file is not read. Says nothing of what is in it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) detail: String,
    pub(crate) hint: &'static str,
}

/// The text of `path`, which must be a regular file of ours or of root that nobody else can read. It is overwritten in
/// memory when it is dropped.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Refusal> {
    const HINT: &str =
        "The file must exist and be readable by the operating system user that runs the server.";
    let failed = |error: std::io::Error| Refusal { detail: error.to_string(), hint: HINT };
    // Without O_NONBLOCK, opening a FIFO would wait for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let size = check_private(&file, rustix::process::geteuid().as_raw())?;
    if size > MAX_FILE_SIZE {
        return Err(Refusal { detail: "The file is larger than 1 MB.".into(), hint: HINT });
    }
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(size as usize + 1));
    file.take(size + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > size {
        return Err(Refusal { detail: "The file grew while it was read.".into(), hint: HINT });
    }
    String::from_utf8(std::mem::take(&mut *content))
        .map(Zeroizing::new)
        .map_err(|_| Refusal { detail: "The file is not UTF-8 text.".into(), hint: HINT })
}

/// Judges the opened file, not its path, so that nothing can be exchanged in between. Gives its size in bytes.
fn check_private(file: &File, euid: u32) -> Result<u64, Refusal> {
    const HINT: &str = "Make the file readable by its owner alone: chmod 0600.";
    let refused = |detail: &str| Err(Refusal { detail: detail.into(), hint: HINT });
    let metadata = file.metadata().map_err(|error| Refusal { detail: error.to_string(), hint: HINT })?;
    if !metadata.is_file() {
        return refused("It is not a regular file.");
    }
    if metadata.uid() != euid && metadata.uid() != 0 {
        return refused("It belongs neither to the user that runs the server nor to root.");
    }
    if metadata.mode() & 0o077 != 0 {
        return refused("It is open to its group or to others.");
    }
    Ok(metadata.len())
}

/// A file with this content and mode, for tests of what reads such files.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) fn written(content: impl AsRef<[u8]>, mode: u32) -> tempfile::NamedTempFile {
    use std::os::unix::fs::PermissionsExt;

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_open_to_others_are_refused() {
        for mode in [0o640, 0o604, 0o660, 0o644, 0o620] {
            let refusal = read(written(b"secret", mode).path()).unwrap_err();
            assert!(refusal.hint.contains("chmod"), "{mode:o}");
        }
        let file = written(b"secret", 0o400);
        assert_eq!(read(file.path()).unwrap().as_str(), "secret");
        assert!(
            check_private(&File::open(file.path()).unwrap(), u32::MAX).is_ok()
                == (rustix::process::geteuid().is_root())
        );
    }

    #[test]
    fn what_is_no_file_of_text_is_refused() {
        assert!(read(Path::new("/does/not/exist")).is_err());
        assert!(read(Path::new("/")).is_err());
        assert!(read(written(vec![b'#'; MAX_FILE_SIZE as usize + 1], 0o600).path()).is_err());
        assert!(read(written(b"\xff", 0o600).path()).is_err());
        assert_eq!(read(written(b"", 0o600).path()).unwrap().as_str(), "");
    }
}
