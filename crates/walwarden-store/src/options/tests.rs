use serde_json::json;
use walwarden_core::ErrorClass;

use super::*;
use crate::part_plan::PartLimits;

fn s3(options: Value) -> Result<S3Options> {
    match StorageOptions::parse(&Location::parse("s3://bucket").unwrap(), &options)? {
        StorageOptions::S3(options) => Ok(*options),
        other => panic!("not an S3 storage: {other:?}"),
    }
}

fn file(options: Value) -> Result<StorageOptions> {
    StorageOptions::parse(&Location::parse("file:///x").unwrap(), &options)
}

#[test]
fn defaults_are_amazon_with_https() {
    let options = s3(json!({})).unwrap();
    assert_eq!(options, s3(Value::Null).unwrap());
    assert_eq!(options.endpoint, None);
    assert!(!options.path_style && !options.allow_http);
    assert_eq!(options.timeout, Duration::from_secs(60));
    assert_eq!(file(json!({})).unwrap(), StorageOptions::File(FileOptions { fsync: true }));
    assert_eq!(file(json!({"fsync": false})).unwrap(), StorageOptions::File(FileOptions { fsync: false }));
}

#[test]
fn an_endpoint_or_a_dotted_bucket_means_path_style() {
    assert!(s3(json!({"endpoint": "https://x.example.com"})).unwrap().path_style);
    assert!(!s3(json!({"endpoint": "https://x.example.com", "path_style": false})).unwrap().path_style);
    let dotted = StorageOptions::parse(&Location::parse("s3://a.bucket").unwrap(), &json!({})).unwrap();
    assert!(matches!(dotted, StorageOptions::S3(options) if options.path_style));
}

#[test]
fn all_options_are_read() {
    let options = s3(json!({
        "endpoint": "http://127.0.0.1:9000/", "allow_http": true, "region": "eu-central-1", "path_style": true,
        "profile": "backup", "part_size": "16MB", "min_part_size": "8MB", "max_part_size": "1GB", "max_parts": 1000,
        "storage_class": "STANDARD_IA", "timeout": 30, "tags": {"team": "db", "keep": "7 years"},
        "sse": "aws:kms", "sse_kms_key_id": "arn:aws:kms:eu-central-1:111122223333:key/abc", "sse_bucket_key": true,
        "checksum": "crc64nvme", "lock_mode": "compliance", "lock_days": 30, "conditional_writes": false,
        "provider": "minio"
    }))
    .unwrap();
    assert_eq!(
        options,
        S3Options {
            provider: Some(Provider::MinIo),
            endpoint: Some("http://127.0.0.1:9000".into()),
            allow_http: true,
            region: Some("eu-central-1".into()),
            path_style: true,
            profile: Some("backup".into()),
            storage_class: Some("STANDARD_IA".into()),
            tags: Tags::from([("keep".into(), "7 years".into()), ("team".into(), "db".into())]),
            encryption: Some(Encryption::Kms {
                key_id: Some("arn:aws:kms:eu-central-1:111122223333:key/abc".into()),
                bucket_key: Some(true),
            }),
            checksum: Some(Checksum::Crc64Nvme),
            lock: Some(ObjectLock { mode: LockMode::Compliance, days: 30 }),
            conditional_writes: false,
            part_size: Some(16 << 20),
            parts: PartLimits { min_size: 8 << 20, max_size: 1 << 30, max_parts: 1000, ..PartLimits::S3 },
            timeout: Duration::from_secs(30),
        }
    );
}

#[test]
fn google_and_azure_have_options_of_their_own() {
    let parse = |url: &str, options: Value| StorageOptions::parse(&Location::parse(url).unwrap(), &options);
    let Ok(StorageOptions::Gcs(options)) = parse("gs://bucket", json!({"storage_class": "ARCHIVE"})) else {
        panic!("not for Google")
    };
    assert_eq!(options.storage_class.as_deref(), Some("ARCHIVE"));
    assert_eq!(options.parts, PartLimits::S3);
    let given = json!({"part_size": "1MB", "profile": "p"});
    let Ok(StorageOptions::Azure(options)) = parse("az://account/container", given) else {
        panic!("not for Azure")
    };
    assert_eq!((options.part_size, options.parts.max_parts), (Some(1 << 20), 50_000));
    for (url, bad) in [
        ("gs://bucket", json!({"region": "x"})),
        ("gs://bucket", json!({"tags": {"a": "b"}})),
        ("gs://bucket", json!({"endpoint": "http://x.example.com"})),
        ("az://account/container", json!({"storage_class": "Cool"})),
        ("az://account/container", json!({"tags": {"a": "b"}})),
        ("az://account/container", json!({"sse": "AES256"})),
        ("az://account/container", json!({"account_key": "canary"})),
        ("az://account/container", json!({"sas_token": "canary"})),
    ] {
        let error = parse(url, bad.clone()).unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput, "{bad}");
        assert!(!format!("{error:?}").contains("canary"));
    }
}

#[test]
fn a_lock_brings_the_checksum_that_s3_demands() {
    let locked = json!({"lock_mode": "governance", "lock_days": 1});
    assert_eq!(s3(locked).unwrap().checksum, Some(Checksum::Sha256));
    assert_eq!(s3(json!({})).unwrap().checksum, None);
    assert_eq!(s3(json!({"checksum": "none"})).unwrap().checksum, None);
}

#[test]
fn presets_fill_in_what_a_service_needs() {
    let r2 = s3(json!({"provider": "r2", "account": "0123456789ABCDEF0123456789abcdef"})).unwrap();
    assert_eq!(
        r2.endpoint.as_deref(),
        Some("https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com")
    );
    assert_eq!((r2.region.as_deref(), r2.path_style, r2.conditional_writes), (Some("auto"), true, true));
    for (given, endpoint, region, path_style, checksum, conditional) in [
        (json!({"provider": "aws"}), None, None, false, Some(Checksum::Sha256), true),
        (
            json!({"provider": "aws", "region": "eu-west-1", "checksum": "none"}),
            None,
            Some("eu-west-1"),
            false,
            None,
            true,
        ),
        (
            json!({"provider": "spaces", "region": "fra1"}),
            Some("https://fra1.digitaloceanspaces.com"),
            Some("fra1"),
            false,
            None,
            true,
        ),
        (
            json!({"provider": "b2", "region": "us-west-004"}),
            Some("https://s3.us-west-004.backblazeb2.com"),
            Some("us-west-004"),
            false,
            None,
            false,
        ),
        (
            json!({"provider": "b2", "region": "us-west-004", "conditional_writes": true, "path_style": true}),
            Some("https://s3.us-west-004.backblazeb2.com"),
            Some("us-west-004"),
            true,
            None,
            true,
        ),
        (
            json!({"provider": "wasabi", "region": "eu-central-1"}),
            Some("https://s3.eu-central-1.wasabisys.com"),
            Some("eu-central-1"),
            false,
            None,
            true,
        ),
        (
            json!({"provider": "garage", "endpoint": "https://s3.example.com"}),
            Some("https://s3.example.com"),
            Some("garage"),
            true,
            Some(Checksum::Sha256),
            false,
        ),
        (
            json!({"provider": "ceph", "endpoint": "https://s3.example.com", "region": "default"}),
            Some("https://s3.example.com"),
            Some("default"),
            true,
            None,
            true,
        ),
        (
            json!({"provider": "minio", "endpoint": "https://s3.example.com"}),
            Some("https://s3.example.com"),
            Some("us-east-1"),
            true,
            Some(Checksum::Sha256),
            true,
        ),
    ] {
        let options = s3(given.clone()).unwrap();
        let found = (
            options.endpoint.as_deref(),
            options.region.as_deref(),
            options.path_style,
            options.checksum,
            options.conditional_writes,
        );
        assert_eq!(found, (endpoint, region, path_style, checksum, conditional), "{given}");
    }
}

#[test]
fn what_a_preset_cannot_know_is_asked_for() {
    for (given, missing) in [
        (json!({"provider": "r2"}), "account"),
        (json!({"provider": "spaces"}), "region"),
        (json!({"provider": "b2"}), "region"),
        (json!({"provider": "wasabi"}), "region"),
        (json!({"provider": "minio"}), "endpoint"),
        (json!({"provider": "garage"}), "endpoint"),
        (json!({"provider": "ceph"}), "endpoint"),
    ] {
        let error = s3(given).unwrap_err();
        assert_eq!(error.message, format!("storage option \"{missing}\" is missing"));
        assert!(error.hint.is_some());
    }
}

#[test]
fn bad_options_are_refused() {
    for bad in [
        json!([]),
        json!("x"),
        json!({"fsync": true}),
        json!({"bucket": "x"}),
        json!({"region": 1}),
        json!({"region": ""}),
        json!({"region": "eu\ncentral"}),
        json!({"region": "eu central"}),
        json!({"profile": "a]b"}),
        json!({"endpoint": "http://x.example.com"}),
        json!({"endpoint": true}),
        json!({"path_style": "yes"}),
        json!({"part_size": "4MB"}),
        json!({"part_size": "6GB"}),
        json!({"part_size": 1}),
        json!({"part_size": 1.5e7}),
        json!({"part_size": true}),
        json!({"storage_class": "GLACIER"}),
        json!({"storage_class": "A\r\nx-amz-acl: public-read"}),
        json!({"timeout": 0}),
        json!({"timeout": "30"}),
        json!({"timeout": 3601}),
        json!({"part_size": "8MB", "max_part_size": "6MB"}),
        json!({"part_size": "8MB", "min_part_size": "16MB"}),
        json!({"min_part_size": "2GB", "max_part_size": "1GB"}),
        json!({"max_part_size": "6GB"}),
        json!({"max_parts": 10}),
        json!({"max_parts": 10_001}),
        json!({"tags": "a=b"}),
        json!({"tags": {"a": 1}}),
        json!({"tags": {"": "x"}}),
        json!({"tags": {"aws:x": "y"}}),
        json!({"tags": {"a": "b&c"}}),
        json!({"tags": {"a": "b\r\nx-amz-acl: public-read"}}),
        json!({"tags": {"a": "x".repeat(257)}}),
        json!({"tags": (0..11).map(|n| (n.to_string(), json!("x"))).collect::<Map<_, _>>()}),
        json!({"sse": "aes256"}),
        json!({"sse": true}),
        json!({"sse_kms_key_id": "x"}),
        json!({"sse": "AES256", "sse_kms_key_id": "x"}),
        json!({"sse": "aws:kms", "sse_kms_key_id": "a b"}),
        json!({"sse": "aws:kms", "sse_bucket_key": "yes"}),
        json!({"sse": "aws:kms:dsse", "sse_bucket_key": true}),
        json!({"sse": "customer"}),
        json!({"sse": "customer", "profile": "p", "endpoint": "http://s3.example.com", "allow_http": true}),
        json!({"checksum": "md5"}),
        json!({"lock_mode": "governance"}),
        json!({"lock_days": 3}),
        json!({"lock_mode": "GOVERNANCE", "lock_days": 3}),
        json!({"lock_mode": "governance", "lock_days": 0}),
        json!({"lock_mode": "governance", "lock_days": 36_501}),
        json!({"lock_mode": "governance", "lock_days": 3, "checksum": "none"}),
        json!({"provider": "azure"}),
        json!({"account": "x"}),
        json!({"provider": "r2", "account": "a/b"}),
        json!({"provider": "r2", "account": "x", "tags": {"a": "b"}}),
        json!({"provider": "r2", "account": "x", "lock_mode": "governance", "lock_days": 3}),
        json!({"provider": "r2", "account": "x", "sse": "aws:kms"}),
        json!({"provider": "b2", "region": "x", "tags": {"a": "b"}}),
        json!({"provider": "garage", "endpoint": "https://x", "storage_class": "STANDARD_IA"}),
    ] {
        let error = s3(bad.clone()).unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput, "{bad}");
    }
    assert!(file(json!({"region": "x"})).is_err());
    assert!(file(json!({"fsync": 1})).is_err());
}

#[test]
fn secrets_are_refused_and_not_repeated() {
    for bad in [
        json!({"access_key_id": "canary"}),
        json!({"aws_secret_access_key": "canary"}),
        json!({"Secret": "canary"}),
        json!({"session_token": "canary"}),
        json!({"password": "canary"}),
        json!({"credentials_file": "canary"}),
        json!({"region": "AKIAIOSFODNN7EXAMPLE"}),
        json!({"profile": "ASIAIOSFODNN7EXAMPLE"}),
        json!({"endpoint": "https://canary:canary@x"}),
        json!({"region": "canary\u{7}"}),
        json!({"sse_customer_key": "canary"}),
        json!({"tags": {"x": "AKIAIOSFODNN7EXAMPLE"}}),
        json!({"tags": {"canary\u{7}": "x"}}),
    ] {
        for error in [s3(bad.clone()).unwrap_err(), file(bad.clone()).unwrap_err()] {
            let shown = format!("{error:?}");
            assert!(!shown.contains("canary") && !shown.contains("EXAMPLE"), "{shown}");
        }
    }
}
