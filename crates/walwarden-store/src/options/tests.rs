use serde_json::json;
use walwarden_core::ErrorClass;

use super::*;

fn s3(options: Value) -> Result<S3Options> {
    match StorageOptions::parse(&Location::parse("s3://bucket").unwrap(), &options)? {
        StorageOptions::S3(options) => Ok(options),
        StorageOptions::File(_) => panic!("not a file storage"),
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
    assert!(matches!(dotted, StorageOptions::S3(S3Options { path_style: true, .. })));
}

#[test]
fn all_options_are_read() {
    let options = s3(json!({
        "endpoint": "http://127.0.0.1:9000/", "allow_http": true, "region": "eu-central-1", "path_style": true,
        "profile": "backup", "part_size": "16MB", "storage_class": "STANDARD_IA", "timeout": 30
    }))
    .unwrap();
    assert_eq!(
        options,
        S3Options {
            endpoint: Some("http://127.0.0.1:9000".into()),
            allow_http: true,
            region: Some("eu-central-1".into()),
            path_style: true,
            profile: Some("backup".into()),
            part_size: Some(16 << 20),
            storage_class: Some("STANDARD_IA".into()),
            timeout: Duration::from_secs(30),
        }
    );
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
    ] {
        for error in [s3(bad.clone()).unwrap_err(), file(bad.clone()).unwrap_err()] {
            let shown = format!("{error:?}");
            assert!(!shown.contains("canary") && !shown.contains("EXAMPLE"), "{shown}");
        }
    }
}
