//! What the parts of a manifest must agree on: a signature proves who said it, this that it can be true.

use std::collections::HashSet;

use super::model::{Archive, Encryption, Format, Manifest, Stored, StoredObject, Table};

impl Manifest {
    /// Checks that the parts agree with each other; the reason is a sentence fragment naming the place.
    pub(super) fn check_consistency(&self) -> Result<(), String> {
        if self.format != Format::current() {
            return Err(format!("the format is {} {}", self.format.name, self.format.version));
        }
        let is_key_id =
            |id: &str| id.len() == 16 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_key_id(&self.key_id) {
            return Err(format!("the key id \"{}\" is not 16 hexadecimal digits", self.key_id));
        }
        check_archive(&self.archive)?;
        self.globals.as_ref().map_or(Ok(()), check_globals)?;
        let mut dump_ids = HashSet::with_capacity(self.tables.len());
        let mut end = 0;
        for table in &self.tables {
            let name = || format!("table {}.{}", table.schema, table.name);
            if table.dump_id <= 0 || !dump_ids.insert(table.dump_id) {
                return Err(format!(
                    "{}: the dump id {} is not above 0 or not the only one",
                    name(),
                    table.dump_id
                ));
            }
            if table.block_offset < end {
                return Err(format!(
                    "{}: the block at offset {} begins before {end}",
                    name(),
                    table.block_offset
                ));
            }
            end = check_pieces(table, self.archive.size).map_err(|why| format!("{}: {why}", name()))?;
        }
        self.check_totals()
    }

    fn check_totals(&self) -> Result<(), String> {
        let sums = [
            ("tables", self.totals.tables, self.tables.len() as u128),
            ("rows", self.totals.rows, sum(&self.tables, |table| table.rows)),
            ("raw_bytes", self.totals.raw_bytes, sum(&self.tables, |table| table.raw_bytes)),
        ];
        for (what, said, is) in sums {
            if u128::from(said) != is {
                return Err(format!("the total of {what} is {said}, but the tables add up to {is}"));
            }
        }
        Ok(())
    }
}

/// Parts cover what lies in storage, and there are no others.
fn check_archive(archive: &Archive) -> Result<(), String> {
    if let Some(encryption) = &archive.encryption {
        check_encryption("archive", encryption)?;
        if !archive.parts.is_empty() {
            return Err("the archive is encrypted, but has parts that are not".to_owned());
        }
    }
    check_parts(archive.stored())
}

fn check_globals(globals: &StoredObject) -> Result<(), String> {
    let Some(encryption) = &globals.encryption else { return Ok(()) };
    check_encryption("globals", encryption)?;
    if encryption.parts.is_empty() { Ok(()) } else { check_parts(globals.stored()) }
}

fn check_encryption(what: &str, encryption: &Encryption) -> Result<(), String> {
    if encryption.format != Encryption::AGE {
        return Err(format!("the {what}: \"{}\" is no known format of encryption", encryption.format));
    }
    if encryption.recipients.is_empty() {
        return Err(format!("the {what}: encrypted for nobody"));
    }
    Ok(())
}

/// Parts cover an object from its first byte to its last, in order.
fn check_parts(stored: Stored<'_>) -> Result<(), String> {
    let mut end = 0_u64;
    for part in stored.parts {
        if part.offset != end || part.size == 0 {
            return Err(format!(
                "the part at offset {} does not follow the one that ends at {end}",
                part.offset
            ));
        }
        end = end.saturating_add(part.size);
    }
    if end != stored.size {
        return Err(format!("the parts end at {end}, but the archive has {} bytes", stored.size));
    }
    Ok(())
}

/// Pieces lie in order within the archive, after the start of their block, and add up to their table. Gives their end.
fn check_pieces(table: &Table, archive_size: u64) -> Result<u64, String> {
    let mut end = table.block_offset;
    for piece in &table.pieces {
        if piece.offset < end {
            return Err(format!("the piece at offset {} begins before {end}", piece.offset));
        }
        end = piece.offset.saturating_add(piece.length);
    }
    if end > archive_size {
        return Err(format!("its data ends at {end}, but the archive has {archive_size} bytes"));
    }
    if table.pieces.is_empty() {
        return Ok(end);
    }
    let sums = [
        ("rows", table.rows, sum(&table.pieces, |piece| piece.rows)),
        ("raw bytes", table.raw_bytes, sum(&table.pieces, |piece| piece.raw_length)),
    ];
    for (what, said, is) in sums {
        if u128::from(said) != is {
            return Err(format!("it has {said} {what}, but its pieces add up to {is}"));
        }
    }
    Ok(end)
}

/// Too wide to overflow.
fn sum<T>(items: &[T], number: impl Fn(&T) -> u64) -> u128 {
    items.iter().map(|item| u128::from(number(item))).sum()
}

#[cfg(test)]
mod tests {
    use crate::manifest::model::{Encryption, Manifest};
    use crate::manifest::sample;

    #[test]
    fn the_sample_is_consistent() {
        sample::manifest().check_consistency().unwrap();
        sample::smallest().check_consistency().unwrap();
        sample::encrypted().check_consistency().unwrap();
    }

    #[test]
    fn every_disagreement_is_found() {
        type Damage = (fn(&mut Manifest), &'static str);
        let damages: [Damage; 19] = [
            (|m| m.format.version = 2, "the format is walwarden-manifest 2"),
            (|m| m.format.name = "other".to_owned(), "the format is other 1"),
            (|m| m.key_id = "21FE31DFA154A261".to_owned(), "16 hexadecimal digits"),
            (|m| m.key_id.push('0'), "16 hexadecimal digits"),
            (|m| m.archive.size += 1, "the parts end at"),
            (|m| m.archive.parts[1].offset += 1, "does not follow"),
            (|m| m.archive.parts[1].size = 0, "does not follow"),
            (|m| m.archive.parts.swap(0, 1), "does not follow"),
            (|m| m.archive.parts.truncate(1), "the parts end at"),
            (|m| m.tables[1].dump_id = m.tables[0].dump_id, "the dump id 3401 is not"),
            (|m| m.tables[0].dump_id = 0, "the dump id 0 is not"),
            (|m| m.tables[0].pieces[1].offset -= 1, "begins before"),
            (|m| m.tables[0].pieces[1].length = u64::MAX, "its data ends at"),
            (|m| m.tables[1].block_offset = u64::MAX, "its data ends at"),
            (|m| m.tables.swap(0, 1), "public.orders: the block at offset 52000 begins before"),
            (|m| m.tables[0].pieces[0].rows += 1, "public.orders: it has"),
            (|m| m.tables[0].raw_bytes += 1, "raw bytes, but its pieces add up to"),
            (|m| m.totals.rows = u64::MAX, "the total of rows"),
            (|m| m.tables.truncate(1), "the total of tables"),
        ];
        for (damage, reason) in damages {
            let mut manifest = sample::manifest();
            damage(&mut manifest);
            let why = manifest.check_consistency().unwrap_err();
            assert!(why.contains(reason), "{why} should say {reason}");
        }
    }

    #[test]
    fn every_disagreement_about_encryption_is_found() {
        fn archive(manifest: &mut Manifest) -> &mut Encryption {
            manifest.archive.encryption.as_mut().unwrap()
        }
        fn globals(manifest: &mut Manifest) -> &mut Encryption {
            manifest.globals.as_mut().unwrap().encryption.as_mut().unwrap()
        }
        type Damage = (fn(&mut Manifest), &'static str);
        let damages: [Damage; 9] = [
            (|m| archive(m).format = "gpg".to_owned(), "the archive: \"gpg\" is no known format"),
            (|m| archive(m).recipients.clear(), "the archive: encrypted for nobody"),
            (|m| archive(m).size += 1, "the parts end at"),
            (|m| archive(m).parts[1].offset -= 1, "does not follow"),
            (|m| archive(m).parts.clear(), "the parts end at 0"),
            (|m| m.archive.parts = archive(m).parts.clone(), "has parts that are not"),
            (|m| m.archive.encryption = None, "the parts end at 0"),
            (|m| globals(m).format.clear(), "the globals: \"\" is no known format"),
            (|m| globals(m).recipients.clear(), "the globals: encrypted for nobody"),
        ];
        for (damage, reason) in damages {
            let mut manifest = sample::encrypted();
            damage(&mut manifest);
            let why = manifest.check_consistency().unwrap_err();
            assert!(why.contains(reason), "{why} should say {reason}");
        }
    }
}
