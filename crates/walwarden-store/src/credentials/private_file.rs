//! Files with secrets in them: used only if nobody else can read them.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Far more than any real file holds.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// Why a file is not used.
pub(super) struct Refusal {
    pub(super) detail: String,
    pub(super) hint: &'static str,
}

/// Reads a regular file of ours or of root that nobody else can read.
pub(super) fn read_private(path: &Path) -> Result<String, Refusal> {
    const HINT: &str =
        "The file must exist and be readable by the operating system user that runs the server.";
    let failed = |error: std::io::Error| Refusal { detail: error.to_string(), hint: HINT };
    // Without O_NONBLOCK, opening a FIFO would wait for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    check_private(&file, rustix::process::geteuid().as_raw())?;
    let mut content = Vec::new();
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_FILE_SIZE {
        return Err(Refusal { detail: "The file is larger than 1 MB.".into(), hint: HINT });
    }
    String::from_utf8(content)
        .map_err(|_| Refusal { detail: "The file is not UTF-8 text.".into(), hint: HINT })
}

/// Judges the opened file, not its path, so that nothing can be exchanged in between.
fn check_private(file: &File, euid: u32) -> Result<(), Refusal> {
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(content: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn files_open_to_others_are_refused() {
        for mode in [0o640, 0o604, 0o660, 0o644, 0o620] {
            let refusal = read_private(written("x", mode).path()).err().unwrap();
            assert!(refusal.hint.contains("chmod"), "{mode:o}");
        }
        let file = written("x", 0o400);
        assert!(read_private(file.path()).is_ok());
        assert!(
            check_private(&File::open(file.path()).unwrap(), u32::MAX).is_ok()
                == (rustix::process::geteuid().is_root())
        );
        assert!(read_private(Path::new("/does/not/exist")).is_err());
        assert!(read_private(Path::new("/")).is_err());
        let large = written(&"#".repeat(MAX_FILE_SIZE as usize + 1), 0o600);
        assert!(read_private(large.path()).is_err());
    }
}
