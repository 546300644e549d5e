//! An evidence bundle.

use std::io::{self, Read};

use tar::{Archive, EntryType};
use walwarden_core::evidence::{Collected, FOLDER, Member, Report, examine};
use walwarden_core::key::PublicKey;

/// Reads a tar file once, from front to back, and checks what is in it. Nothing is written anywhere.
pub fn check(tar: impl Read, keys: &[PublicKey]) -> io::Result<Report> {
    let mut collected = Collected::new();
    let entries_name = Member::Entries.to_string();
    let mut archive = Archive::new(tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path.strip_prefix(FOLDER).and_then(|path| path.strip_prefix('/'));
        match (entry.header().entry_type(), name) {
            (EntryType::Directory, _) => {}
            (EntryType::Regular, Some(name)) if name == entries_name => {
                let mut buffer = vec![0; 1 << 16];
                loop {
                    match entry.read(&mut buffer)? {
                        0 => break,
                        count => collected.entries(&buffer[..count]),
                    }
                }
                collected.end_of_entries();
            }
            (EntryType::Regular, Some(name)) => {
                let mut bytes = Vec::new();
                // One byte more than fits is enough to see that it does not.
                entry.by_ref().take(collected.room() as u64 + 1).read_to_end(&mut bytes)?;
                collected.file(name, bytes);
            }
            (EntryType::Regular, None) => {
                collected.foreign(&path, "It is outside of the folder of the bundle.")
            }
            _ => collected.foreign(&path, "It is neither a file nor a folder."),
        }
    }
    Ok(examine(collected, keys))
}
