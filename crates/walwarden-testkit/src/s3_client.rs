//! A small S3 client over plain HTTP, signing with AWS Signature Version 4.
//!
//! It sees the store as an outsider does, through none of the code under test: what is there, which uploads are
//! pending, and it can change a stored byte. It speaks HTTP/1.0 to loopback addresses only.

use crate::fault_proxy::FaultProxy;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const REGION: &str = "us-east-1";
const TIMEOUT: Duration = Duration::from_secs(60);

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct S3Object {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A client with one identity, on one server.
#[derive(Clone, Debug)]
pub struct S3Client {
    host: String,
    access_key: String,
    secret_key: String,
}

/// A version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Version {
    /// Its key.
    pub key: String,
    /// Its id.
    pub id: String,
    /// Whether it is no more than a mark that the object was deleted.
    pub is_delete_marker: bool,
}

/// What is kept with an object, by the names of headers.
pub type S3Headers = BTreeMap<String, String>;

struct Answer {
    status: u16,
    headers: S3Headers,
    body: Vec<u8>,
}

impl S3Client {
    pub(crate) fn new(host: &str, access_key: &str, secret_key: &str) -> Self {
        Self { host: host.to_owned(), access_key: access_key.to_owned(), secret_key: secret_key.to_owned() }
    }

    /// The same client by way of a proxy. The signature names the host, so the proxy's is signed.
    #[must_use]
    pub fn through(&self, proxy: &FaultProxy) -> Self {
        Self { host: proxy.address().to_string(), ..self.clone() }
    }

    /// Makes a bucket; one that exists stays.
    pub fn create_bucket(&self, bucket: &str) {
        let answer = self.send("PUT", &format!("/{bucket}"), &[], &[]);
        assert!(matches!(answer.status, 200 | 409), "cannot make bucket {bucket}: {}", answer.text());
    }

    /// Makes a bucket whose objects can be locked, and which therefore keeps versions.
    pub fn create_bucket_with_lock(&self, bucket: &str) {
        let headers = [("x-amz-bucket-object-lock-enabled", "true")];
        let answer = self.try_send("PUT", &format!("/{bucket}"), &[], &headers, &[]);
        answer.unwrap_or_else(|e| panic!("PUT {bucket}: {e}")).expect_ok("make a bucket with lock");
    }

    /// Lets a bucket keep versions.
    pub fn enable_versions(&self, bucket: &str) {
        const BODY: &str = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                            <Status>Enabled</Status></VersioningConfiguration>";
        self.send("PUT", &format!("/{bucket}"), &[("versioning", "")], BODY.as_bytes()).expect_ok("versions");
    }

    /// Puts a legal hold on an object, or lifts it.
    pub fn set_legal_hold(&self, bucket: &str, key: &str, is_on: bool) {
        let status = if is_on { "ON" } else { "OFF" };
        let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        let query = [("legal-hold", "")];
        self.send("PUT", &object_path(bucket, key), &query, body.as_bytes()).expect_ok("legal hold");
    }

    /// All versions and delete markers whose key begins with `prefix`.
    #[must_use]
    pub fn versions(&self, bucket: &str, prefix: &str) -> Vec<S3Version> {
        let query = [("versions", ""), ("prefix", prefix)];
        let text = self.send("GET", &format!("/{bucket}"), &query, &[]).expect_ok("list versions").text();
        assert_ne!(element(&text, "IsTruncated"), Some("true"), "more versions than one page has");
        let read = |name: &'static str| {
            elements(&text, name)
                .map(|item| S3Version {
                    key: unescape(element(item, "Key").unwrap_or_default()),
                    id: element(item, "VersionId").unwrap_or_default().to_owned(),
                    is_delete_marker: name == "DeleteMarker",
                })
                .collect::<Vec<_>>()
        };
        [read("Version"), read("DeleteMarker")].concat()
    }

    /// Deletes one version; the status says whether it was allowed to.
    pub fn delete_version(&self, bucket: &str, key: &str, version: &str) -> u16 {
        self.send("DELETE", &object_path(bucket, key), &[("versionId", version)], &[]).status
    }

    /// What is kept with an object, which must exist. `headers` go along, such as those of a customer's key.
    #[must_use]
    pub fn head(&self, bucket: &str, key: &str, headers: &[(&str, &str)]) -> S3Headers {
        let answer = self.try_send("HEAD", &object_path(bucket, key), &[], headers, &[]);
        answer.unwrap_or_else(|e| panic!("HEAD {key}: {e}")).expect_ok("head").headers
    }

    /// The status of reading an object without any header of ours.
    #[must_use]
    pub fn get_status(&self, bucket: &str, key: &str) -> u16 {
        self.send("GET", &object_path(bucket, key), &[], &[]).status
    }

    /// The tags of an object, in the order of their names.
    #[must_use]
    pub fn tags(&self, bucket: &str, key: &str) -> Vec<(String, String)> {
        let answer = self.send("GET", &object_path(bucket, key), &[("tagging", "")], &[]).expect_ok("tags");
        let text = answer.text();
        let read = |item: &str, name| unescape(element(item, name).unwrap_or_default());
        let mut tags: Vec<_> =
            elements(&text, "Tag").map(|item| (read(item, "Key"), read(item, "Value"))).collect();
        tags.sort();
        tags
    }

    /// All objects whose key begins with `prefix`, in order of their keys.
    #[must_use]
    pub fn list(&self, bucket: &str, prefix: &str) -> Vec<S3Object> {
        let mut objects = Vec::new();
        let mut after = String::new();
        loop {
            let query = [("list-type", "2"), ("prefix", prefix), ("start-after", &after)];
            let text = self.send("GET", &format!("/{bucket}"), &query, &[]).expect_ok("list").text();
            for item in elements(&text, "Contents") {
                let size = element(item, "Size").and_then(|size| size.parse().ok()).unwrap_or(0);
                objects.push(S3Object { key: unescape(element(item, "Key").unwrap_or_default()), size });
            }
            if element(&text, "IsTruncated") != Some("true") {
                objects.sort();
                return objects;
            }
            after = objects.last().map(|object| object.key.clone()).unwrap_or_default();
        }
    }

    /// The keys of the multipart uploads that were begun and neither completed nor aborted.
    #[must_use]
    pub fn pending_uploads(&self, bucket: &str) -> Vec<String> {
        let text =
            self.send("GET", &format!("/{bucket}"), &[("uploads", "")], &[]).expect_ok("list uploads").text();
        elements(&text, "Upload").filter_map(|item| Some(unescape(element(item, "Key")?))).collect()
    }

    /// An object's bytes, or `None` when there is no such object.
    #[must_use]
    pub fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let answer = self.send("GET", &object_path(bucket, key), &[], &[]);
        (answer.status != 404).then(|| answer.expect_ok("get").body)
    }

    /// Writes an object, over one that is there.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        self.send("PUT", &object_path(bucket, key), &[], bytes).expect_ok("put");
    }

    /// Deletes an object.
    pub fn delete(&self, bucket: &str, key: &str) {
        self.send("DELETE", &object_path(bucket, key), &[], &[]).expect_ok("delete");
    }

    /// Changes one byte of an object.
    pub fn flip_byte(&self, bucket: &str, key: &str, at: usize) {
        let mut bytes = self.get(bucket, key).unwrap_or_else(|| panic!("there is no object {key}"));
        bytes[at] ^= 1;
        self.put(bucket, key, &bytes);
    }

    /// Whether the bucket can be listed and an object written, read and deleted: a server that is still starting lists
    /// before it knows where its objects are.
    pub(crate) fn try_bucket(&self, bucket: &str) -> bool {
        let object = object_path(bucket, "is-it-up");
        let asks = [
            ("GET", format!("/{bucket}"), [("list-type", "2")].as_slice(), b"".as_slice()),
            ("PUT", object.clone(), &[], b"yes"),
            ("GET", object.clone(), &[], b""),
            ("DELETE", object, &[], b""),
        ];
        asks.iter().all(|(method, path, query, body)| {
            self.try_send(method, path, query, &[], body)
                .is_ok_and(|answer| (200..300).contains(&answer.status))
        })
    }

    fn send(&self, method: &str, path: &str, query: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.try_send(method, path, query, &[], body);
        answer.unwrap_or_else(|e| panic!("{method} {path} on {}: {e}", self.host))
    }

    fn try_send(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut pairs: Vec<String> =
            query.iter().map(|(k, v)| format!("{}={}", encode(k, ""), encode(v, ""))).collect();
        pairs.sort();
        let query = pairs.join("&");
        let (date, time) = utc_now();
        let payload = hex::encode(Sha256::digest(body));
        let mut signed: Vec<(&str, &str)> =
            vec![("host", &self.host), ("x-amz-content-sha256", &payload), ("x-amz-date", &time)];
        signed.extend(headers);
        signed.sort_unstable();
        let authorization = self.authorization(method, path, &query, &signed, &payload, (&date, &time));
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let lines: String = signed.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "{method} {target} HTTP/1.0\r\n{lines}Content-Length: {}\r\nAuthorization: {authorization}\r\n\r\n",
            body.len(),
        );
        self.exchange(request.as_bytes(), body)
    }

    fn exchange(&self, head: &[u8], body: &[u8]) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.host)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(head)?;
        stream.write_all(body)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let split = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or(std::io::ErrorKind::InvalidData)?;
        let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(std::io::ErrorKind::InvalidData)?;
        let headers = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Answer { status, headers, body: bytes.split_off(split + 4) })
    }

    fn authorization(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        payload: &str,
        (date, time): (&str, &str),
    ) -> String {
        let signed = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{signed}\n{payload}");
        let scope = format!("{date}/{REGION}/s3/aws4_request");
        let to_sign =
            format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
        let mut key = hmac(format!("AWS4{}", self.secret_key).as_bytes(), date.as_bytes());
        for step in [REGION, "s3", "aws4_request"] {
            key = hmac(&key, step.as_bytes());
        }
        let signature = hex::encode(hmac(&key, to_sign.as_bytes()));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.access_key
        )
    }
}

impl Answer {
    fn expect_ok(self, what: &str) -> Self {
        assert!((200..300).contains(&self.status), "{what}: status {}: {}", self.status, self.text());
        self
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// RFC 2104 over SHA-256.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn object_path(bucket: &str, key: &str) -> String {
    format!("/{bucket}/{}", encode(key, "/"))
}

/// Percent-encodes everything but unreserved characters and those in `keep`.
fn encode(text: &str, keep: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let character = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-._~".contains(character) || keep.contains(character) {
            encoded.push(character);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The contents of all elements of this name, which must not be nested.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let close = format!("</{name}>");
    xml.split(&format!("<{name}>"))
        .skip(1)
        .filter_map(move |rest| rest.split(&close).next())
        .collect::<Vec<_>>()
        .into_iter()
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    elements(xml, name).next()
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// Now, as `YYYYMMDD` and `YYYYMMDDThhmmssZ`.
fn utc_now() -> (String, String) {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let of_day = seconds % 86_400;
    let date = format!("{year:04}{month:02}{day:02}");
    let time = format!("{date}T{:02}{:02}{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60);
    (date, time)
}

/// The Gregorian date of a day since 1970-01-01, by counting from a March that follows a leap day.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_matches_rfc_4231() {
        let tag = hex::encode(hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(tag, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let tag = hex::encode(hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(tag, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn dates_match_the_calendar() {
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(11_016), (2000, 2, 29));
        assert_eq!(civil_from_days(19_722), (2023, 12, 31));
        assert_eq!(civil_from_days(20_513), (2026, 3, 1));
    }
}
