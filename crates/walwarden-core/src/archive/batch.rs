//! Gathers rows for a compressor that must see the same slices of a text however its rows arrive.

use crate::error::Result;

/// Splits a text into slices of one length.
///
/// A compressor's output may depend on where its input was cut, and COPY gives one row at a time: so the cuts
/// are put where only the text itself says. It also spares a call of the compressor per row.
pub(super) struct Batch {
    /// What does not fill a slice yet.
    waiting: Vec<u8>,
    /// Bytes of a slice.
    length: usize,
}

impl Batch {
    pub(super) fn new(length: usize) -> Self {
        Self { waiting: Vec::new(), length }
    }

    /// Passes on every slice that `text` fills.
    pub(super) fn write(&mut self, mut text: &[u8], mut pass: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if !self.waiting.is_empty() {
            let (now, later) = text.split_at(text.len().min(self.length - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            if self.waiting.len() < self.length {
                return Ok(());
            }
            pass(&self.waiting)?;
            self.waiting.clear();
            text = later;
        }
        let mut slices = text.chunks_exact(self.length);
        slices.by_ref().try_for_each(pass)?;
        self.waiting.extend_from_slice(slices.remainder());
        Ok(())
    }

    /// What is left of the text, less than a slice. [`Self::clear`] it afterwards.
    pub(super) fn rest(&self) -> &[u8] {
        &self.waiting
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slices_do_not_depend_on_how_text_arrives(
            text in prop::collection::vec(any::<u8>(), 0..100),
            length in 1..20usize,
            step in 1..50usize,
        ) {
            let mut batch = Batch::new(length);
            let mut slices = Vec::new();
            for part in text.chunks(step) {
                batch.write(part, |slice| {
                    slices.push(slice.to_vec());
                    Ok(())
                }).unwrap();
            }
            prop_assert!(slices.iter().all(|slice| slice.len() == length));
            prop_assert!(batch.rest().len() < length);
            slices.push(batch.rest().to_vec());
            prop_assert_eq!(slices.concat(), text);
        }
    }
}
