//! What a database has to write down when it meets a signing key: that it is the first one, that it follows the one before by
//! statements which the keys between have signed, or that it took its place without any.

use super::rotation::SignedRotation;
use crate::error::{Error, ErrorClass, Result};
use crate::key::PublicKey;

/// A key that the database has met before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The key.
    pub public: PublicKey,
    /// Whether it is the one that signs, as far as the database knows.
    pub is_current: bool,
}

/// What is new about the key that would sign now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Nothing: it is the current one.
    None,
    /// It is the first one.
    First,
    /// It follows the current one by these statements, in this order.
    Rotated(Vec<SignedRotation>),
    /// It is in the place of the current one, and nothing that this one has signed says so.
    Replaced,
}

/// Whether a key is one that the current key has come after, be it that the database has met it or that statements say so.
pub fn is_retired(known: &[KnownKey], presented: &PublicKey, statements: &[SignedRotation]) -> bool {
    known.iter().any(|key| !key.is_current && key.public == *presented)
        || known.iter().any(|key| key.is_current && path(presented, &key.public, statements).is_some())
}

/// What is new about a key, given every statement that is at hand. Statements that do not begin at the current key say nothing.
///
/// # Errors
/// `Key` when it is one that was retired before.
pub fn news(known: &[KnownKey], presented: &PublicKey, statements: &[SignedRotation]) -> Result<News> {
    let Some(current) = known.iter().find(|key| key.is_current) else { return Ok(News::First) };
    if current.public == *presented {
        return Ok(News::None);
    }
    if is_retired(known, presented, statements) {
        return Err(Error::new(
            ErrorClass::Key,
            format!("signing key {} was retired and signs nothing any more", presented.key_id()),
        )
        .detail(format!("The signing key of this database is {}.", current.public.key_id()))
        .hint(
            "Put the current key back from its copy, or set walwarden.signer back; if it is lost, \
             SELECT walwarden.rotate_key(lost => true) begins with a new one.",
        ));
    }
    let path = path(&current.public, presented, statements);
    Ok(path.map_or(News::Replaced, News::Rotated))
}

/// The shortest way from one key to another.
fn path(from: &PublicKey, to: &PublicKey, statements: &[SignedRotation]) -> Option<Vec<SignedRotation>> {
    let mut ways: Vec<Vec<&SignedRotation>> = vec![Vec::new()];
    let mut met = vec![*from];
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in &ways {
            let end = way.last().map_or(*from, |last| last.rotation.new);
            for step in statements.iter().filter(|step| step.rotation.old == end) {
                if met.contains(&step.rotation.new) {
                    continue;
                }
                met.push(step.rotation.new);
                let mut way = way.clone();
                way.push(step);
                if step.rotation.new == *to {
                    return Some(way.into_iter().cloned().collect());
                }
                longer.push(way);
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use crate::signature::rotation::KeyRotation;
    use chrono::DateTime;
    use proptest::prelude::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::generate([seed; 32])
    }

    fn step(old: u8, new: u8) -> SignedRotation {
        let rotation =
            KeyRotation { old: key(old).public(), new: key(new).public(), at: DateTime::UNIX_EPOCH };
        rotation.sign(&key(old)).unwrap()
    }

    fn known(keys: &[(u8, bool)]) -> Vec<KnownKey> {
        keys.iter()
            .map(|(seed, is_current)| KnownKey { public: key(*seed).public(), is_current: *is_current })
            .collect()
    }

    #[test]
    fn the_first_key_and_the_same_key() {
        assert_eq!(news(&[], &key(1).public(), &[]).unwrap(), News::First);
        assert_eq!(news(&known(&[(1, true)]), &key(1).public(), &[]).unwrap(), News::None);
    }

    #[test]
    fn a_successor_is_known_by_the_statements_on_the_way() {
        let known = known(&[(1, false), (2, true)]);
        let statements = [step(3, 4), step(1, 2), step(2, 3), step(2, 9)];
        let News::Rotated(way) = news(&known, &key(4).public(), &statements).unwrap() else {
            panic!("there is a way");
        };
        assert_eq!(way, [step(2, 3), step(3, 4)]);
    }

    #[test]
    fn without_a_way_it_has_replaced_the_current_one() {
        let known = known(&[(1, true)]);
        for statements in [&[][..], &[step(2, 3)], &[step(1, 2), step(4, 3)]] {
            assert_eq!(news(&known, &key(3).public(), statements).unwrap(), News::Replaced);
        }
    }

    #[test]
    fn a_retired_key_does_not_come_back() {
        let known = known(&[(1, false), (2, true)]);
        for (retired, statements) in [(1, &[step(2, 1)][..]), (1, &[]), (7, &[step(8, 2), step(7, 8)])] {
            let error = news(&known, &key(retired).public(), statements).unwrap_err();
            assert_eq!(error.class, ErrorClass::Key);
            assert!(error.message.contains(&key(retired).public().key_id()), "{error}");
        }
    }

    proptest! {
        /// Whatever statements there are, a way that is found begins at the current key, ends at the new one, and each step of
        /// it begins where the one before ended.
        #[test]
        fn a_way_has_no_gap(pairs in prop::collection::vec((0..6_u8, 0..6_u8), 0..12), to in 1..6_u8) {
            let statements: Vec<_> =
                pairs.iter().filter(|(old, new)| old != new).map(|(old, new)| step(*old, *new)).collect();
            let known = known(&[(0, true)]);
            let Ok(news) = news(&known, &key(to).public(), &statements) else {
                prop_assert!(is_retired(&known, &key(to).public(), &statements));
                return Ok(());
            };
            match news {
                News::Rotated(way) => {
                    let mut at = key(0).public();
                    for step in &way {
                        prop_assert_eq!(step.rotation.old, at);
                        at = step.rotation.new;
                    }
                    prop_assert_eq!(at, key(to).public());
                }
                other => {
                    prop_assert_eq!(other, News::Replaced);
                    let mut reached = vec![0_u8];
                    for _ in 0..6 {
                        for (old, new) in &pairs {
                            if old != new && reached.contains(old) { reached.push(*new); }
                        }
                    }
                    prop_assert!(!reached.contains(&to));
                }
            }
        }
    }
}
