//! One audit entry and its one byte encoding.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Event, Head};
use crate::error::{Error, ErrorClass, Result};
use crate::exact_uuid::exact_uuid;
use crate::manifest::{Sha256Sum, canonical, timestamp};

/// What one entry says. Its body is the canonical JSON of these fields by these names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: 1 for the first, without gaps.
    pub seq: u64,
    /// When it happened, as in [`timestamp`]: RFC 3339 in UTC with six fractional digits and `Z`.
    pub at: String,
    /// Which incarnation of the log it belongs to; goes up after a rollback.
    pub epoch: u64,
    /// The name of an [`Event`].
    pub event: String,
    /// The job it is about; left out of the body when there is none.
    pub job: Option<Uuid>,
    /// The role or process that did it.
    pub actor: String,
    /// What else there is to say: strings, integers within 2^53-1, booleans, arrays and objects. Never a
    /// secret.
    pub detail: Map<String, Value>,
    /// The hash of the entry before, hexadecimal; 64 zeros for the first.
    pub prev: String,
}

/// An entry ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEntry {
    /// Its number.
    pub seq: u64,
    /// Its canonical bytes.
    pub body: String,
    /// The hash of the body.
    pub hash: Sha256Sum,
}

impl SealedEntry {
    /// The head of the chain once this entry is in it.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

/// `SHA-256(0x00 || body)`, the leaf hash of RFC 6962, section 2.1.
pub fn leaf_hash(body: &[u8]) -> Sha256Sum {
    Sha256Sum(Sha256::new().chain_update([0]).chain_update(body).finalize().into())
}

impl Entry {
    /// The entry that follows `head`, without job or detail.
    ///
    /// `now` must not be before the time of the head's entry: take the later of that and the clock, so that a
    /// clock set back does not look like tampering.
    pub fn following(head: &Head, now: DateTime<Utc>, epoch: u64, event: Event, actor: &str) -> Self {
        Self {
            seq: head.seq.saturating_add(1),
            at: timestamp::format(now),
            epoch,
            event: event.to_string(),
            job: None,
            actor: actor.to_owned(),
            detail: Map::new(),
            prev: head.hash.to_string(),
        }
    }

    /// The canonical JSON of the entry (RFC 8785).
    ///
    /// # Errors
    /// `Internal` when a field has no place in an entry: an unknown event, a time or hash in another form, a
    /// number or null that the encoding excludes, a key of `detail` that is not ASCII.
    pub fn body(&self) -> Result<String> {
        let refused =
            |why: String| Error::internal(format!("could not encode audit entry {}", self.seq)).detail(why);
        self.event.parse::<Event>().map_err(|error| refused(error.message))?;
        self.check_form().map_err(refused)?;
        canonical::encode(&self.to_value()).map_err(|error| refused(error.detail.unwrap_or(error.message)))
    }

    /// The entry with its body and hash.
    ///
    /// # Errors
    /// As [`Entry::body`].
    pub fn seal(&self) -> Result<SealedEntry> {
        let body = self.body()?;
        let hash = leaf_hash(body.as_bytes());
        Ok(SealedEntry { seq: self.seq, body, hash })
    }

    /// Reads a body, refusing any that [`Entry::body`] would not have written, but for the name of the event:
    /// that may come from a newer version.
    ///
    /// # Errors
    /// `Archive`, the detail saying why.
    pub fn from_body(body: &[u8]) -> Result<Self> {
        let refused =
            |why: String| Error::new(ErrorClass::Archive, "could not read an audit entry").detail(why);
        let value =
            canonical::decode(body).map_err(|error| refused(error.detail.unwrap_or(error.message)))?;
        let entry = Self::from_value(value).map_err(refused)?;
        entry.check_form().map_err(refused)?;
        Ok(entry)
    }

    fn to_value(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("seq", self.seq.into());
        put("at", self.at.as_str().into());
        put("epoch", self.epoch.into());
        put("event", self.event.as_str().into());
        if let Some(job) = self.job {
            put("job", job.to_string().into());
        }
        put("actor", self.actor.as_str().into());
        put("detail", self.detail.clone().into());
        put("prev", self.prev.as_str().into());
        fields.into()
    }

    fn from_value(value: Value) -> Result<Self, String> {
        let Value::Object(mut fields) = value else {
            return Err("It is not an object.".to_owned());
        };
        let mut take = |name: &str| fields.remove(name).ok_or_else(|| format!("It has no field \"{name}\"."));
        let entry = Self {
            seq: integer("seq", take("seq")?)?,
            at: text("at", take("at")?)?,
            epoch: integer("epoch", take("epoch")?)?,
            event: text("event", take("event")?)?,
            job: take("job").ok().map(uuid).transpose()?,
            actor: text("actor", take("actor")?)?,
            detail: match take("detail")? {
                Value::Object(detail) => detail,
                _ => return Err("The field \"detail\" is not an object.".to_owned()),
            },
            prev: text("prev", take("prev")?)?,
        };
        match fields.keys().next() {
            Some(unknown) => Err(format!("It has an unknown field \"{unknown}\".")),
            None => Ok(entry),
        }
    }

    /// What holds for every entry beyond the types of its fields and what the encoding demands.
    fn check_form(&self) -> Result<(), String> {
        if self.seq == 0 {
            return Err("The field \"seq\" is 0; entries count from 1.".to_owned());
        }
        if timestamp::parse(&self.at).is_none() {
            return Err(format!("The field \"at\" is not a time in UTC with six digits: \"{}\".", self.at));
        }
        let prev =
            self.prev.parse::<Sha256Sum>().map_err(|_| "The field \"prev\" is not a hash.".to_owned())?;
        if (self.seq == 1) != (prev == Sha256Sum::ZERO) {
            return Err("The field \"prev\" is all zeros in the first entry and in no other.".to_owned());
        }
        // Other keys sort differently by bytes and by UTF-16, which would trip simple verifiers.
        let foreign = |(key, _): &(&String, &Value)| !key.is_ascii();
        match self.detail.iter().find(foreign) {
            Some((key, _)) => Err(format!("The key \"{key}\" of \"detail\" is not ASCII.")),
            None => Ok(()),
        }
    }
}

fn integer(name: &str, value: Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("The field \"{name}\" is not a natural number."))
}

fn text(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(format!("The field \"{name}\" is not a string.")),
    }
}

fn uuid(value: Value) -> Result<Uuid, String> {
    let text = text("job", value)?;
    exact_uuid(&text).ok_or_else(|| "The field \"job\" is not a UUID in its usual form.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::JobAction;
    use crate::job::JobKind;
    use proptest::prelude::*;
    use serde_json::json;

    fn entry() -> Entry {
        let head = Head { seq: 41, hash: leaf_hash(b"before") };
        let now = DateTime::from_timestamp_micros(1_786_672_812_345_678).unwrap();
        let mut entry = Entry::following(
            &head,
            now,
            1,
            Event::Job(JobKind::Backup, JobAction::Completed),
            "walwarden leader",
        );
        entry.job = Some(Uuid::from_u128(0x0198_a5d2_7c00_7000_8000_0000_0000_0001));
        entry.detail = serde_json::from_value(
            json!({ "size_bytes": 9_000_000, "storage": "s3-main", "verified": true }),
        )
        .unwrap();
        entry
    }

    const GOLDEN: &str = concat!(
        r#"{"actor":"walwarden leader","at":"2026-08-14T02:00:12.345678Z","#,
        r#""detail":{"size_bytes":9000000,"storage":"s3-main","verified":true},"epoch":1,"event":"backup.completed","#,
        r#""job":"0198a5d2-7c00-7000-8000-000000000001","#,
        r#""prev":"2f4cb6916fa42005660d363b5da123f6afda6e64f0297462c1e61352215d5ac9","seq":42}"#,
    );

    #[test]
    fn golden_body() {
        assert_eq!(entry().body().unwrap(), GOLDEN);
        assert_eq!(Entry::from_body(GOLDEN.as_bytes()).unwrap(), entry());
    }

    #[test]
    fn the_hash_is_the_leaf_hash_of_rfc_6962() {
        // printf '\0' | sha256sum
        let empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(leaf_hash(b"").to_string(), empty);
        let sealed = entry().seal().unwrap();
        assert_eq!(sealed.head(), Head { seq: 42, hash: leaf_hash(GOLDEN.as_bytes()) });
    }

    #[test]
    fn the_first_entry_follows_zeros() {
        let first =
            Entry::following(&Head::EMPTY, DateTime::UNIX_EPOCH, 1, Event::all().last().unwrap(), "x");
        assert_eq!((first.seq, first.prev.as_str()), (1, "0".repeat(64).as_str()));
        let body = first.body().unwrap();
        assert!(!body.contains("job"), "{body}");
        assert_eq!(Entry::from_body(body.as_bytes()).unwrap(), first);
    }

    #[test]
    fn what_has_no_place_in_an_entry_is_refused() {
        let damages: [fn(&mut Entry); 17] = [
            |e| e.seq = 0,
            |e| e.seq = 1,
            |e| e.seq = 1 << 53,
            |e| e.epoch = u64::MAX,
            |e| e.at = "2026-08-14T02:00:12Z".to_owned(),
            |e| e.event = "backup.exploded".to_owned(),
            |e| e.event = String::new(),
            |e| e.actor = "\0".to_owned(),
            |e| e.prev = "0".repeat(64),
            |e| e.prev.make_ascii_uppercase(),
            |e| e.prev.truncate(63),
            |e| drop(e.detail.insert("ratio".to_owned(), json!(0.5))),
            |e| drop(e.detail.insert("ratio".to_owned(), json!(1.0))),
            |e| drop(e.detail.insert("none".to_owned(), json!(null))),
            |e| drop(e.detail.insert("lsn".to_owned(), json!(1_u64 << 53))),
            |e| drop(e.detail.insert("list".to_owned(), json!([{ "deep": null }]))),
            |e| drop(e.detail.insert("schlüssel".to_owned(), json!(1))),
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            let mut entry = entry();
            damage(&mut entry);
            let error = entry.body().unwrap_err();
            assert_eq!(error.class, ErrorClass::Internal, "damage {number}");
            assert!(error.detail.is_some(), "damage {number}");
        }
    }

    #[test]
    fn only_bodies_of_our_own_form_are_read() {
        for (from, to) in [
            ("{\"actor\"", " {\"actor\""),
            ("\"epoch\":1", "\"epoch\":1.0"),
            ("\"epoch\":1", "\"epoch\":-1"),
            ("\"epoch\":1", "\"epoch\":\"1\""),
            ("\"epoch\":1,", ""),
            ("\"epoch\":1,", "\"epoch\":1,\"epoch\":1,"),
            ("\"seq\":42", "\"seq\":42,\"zeal\":1"),
            ("\"seq\":42", "\"seq\":0"),
            ("\"job\":\"0198a5d2-7c00", "\"job\":\"0198A5D2-7c00"),
            ("\"job\":\"0198a5d2-", "\"job\":\"0198a5d2"),
            ("\"job\":\"0198a5d2-7c00-7000-8000-000000000001\"", "\"job\":7"),
            ("T02:00:12.345678Z", "T02:00:12.34567Z"),
            ("\"verified\":true", "\"verified\":null"),
            ("\"actor\":\"walwarden leader\"", "\"actor\":true"),
            (
                "\"detail\":{\"size_bytes\":9000000,\"storage\":\"s3-main\",\"verified\":true}",
                "\"detail\":[]",
            ),
        ] {
            assert!(GOLDEN.contains(from), "{from}");
            let error = Entry::from_body(GOLDEN.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert_eq!(error.class, ErrorClass::Archive, "{from} -> {to}");
            assert!(error.detail.is_some());
        }
        let deep = format!("\"verified\":{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        for hostile in [
            r#""verified":"\ud800""#,
            r#""verified":"\udc00\ud800""#,
            r#""verified":"\u00e9""#,
            r#""verified":1e0"#,
            r#""verified":-0"#,
            r#""verified":true,"verified":true"#,
            r#""verified":true,"verifie\u0064":true"#,
            "\"verified\":true,\"v\u{e9}rified\":true",
            &deep,
        ] {
            let body = GOLDEN.replacen(r#""verified":true"#, hostile, 1);
            let error = Entry::from_body(body.as_bytes()).unwrap_err();
            assert_eq!(error.class, ErrorClass::Archive, "{hostile:.40}");
        }
        for (before, after) in [("\u{feff}", ""), ("", "\n"), ("", "\0"), ("", GOLDEN), (" ", "")] {
            assert!(Entry::from_body(format!("{before}{GOLDEN}{after}").as_bytes()).is_err());
        }
        let latin: Vec<u8> = GOLDEN.bytes().map(|byte| if byte == b'w' { 0xe9 } else { byte }).collect();
        assert!(Entry::from_body(&latin).is_err(), "not UTF-8");
        for body in ["", "[]", "7", "{}"] {
            assert!(Entry::from_body(body.as_bytes()).is_err());
        }
        // Newer versions may record events that this one does not know.
        let newer = GOLDEN.replace("backup.completed", "backup.copied");
        assert_eq!(Entry::from_body(newer.as_bytes()).unwrap().event, "backup.copied");
    }

    proptest! {
        #[test]
        fn bodies_read_back(
            seq in 2_u64..1 << 53, micros in 0_i64..250_000_000_000_000_000, epoch in 0_u64..1 << 53, job: Option<u128>,
            actor in "[^\0]*", prev: [u8; 32], event in 0..Event::all().count(),
            detail in prop::collection::btree_map("[ -~]{0,8}", "[^\0]*", 0..5),
        ) {
            let head = Head { seq: seq - 1, hash: Sha256Sum(prev) };
            let now = DateTime::from_timestamp_micros(micros).unwrap();
            let event = Event::all().nth(event).unwrap();
            let mut entry = Entry::following(&head, now, epoch, event, &actor);
            entry.job = job.map(Uuid::from_u128);
            entry.detail = detail.into_iter().map(|(key, value)| (key, value.into())).collect();
            prop_assert_eq!(Entry::from_body(entry.body().unwrap().as_bytes()).unwrap(), entry);
        }
    }
}
