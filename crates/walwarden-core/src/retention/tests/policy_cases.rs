//! What a policy may say.

use serde_json::json;

use super::*;
use crate::error::ErrorClass;

fn read(policy: serde_json::Value) -> serde_json::Result<Policy> {
    serde_json::from_value(policy)
}

#[test]
fn json_reads_and_writes_what_is_set() {
    let written = json!({"keep_for": 604_800, "keep_daily": 7, "keep_yearly": 3, "max_total_size": 1_000_000_000_000_u64,
                         "min_keep": 2});
    let policy = read(written.clone()).unwrap();
    assert_eq!(
        policy,
        Policy {
            keep_for: Some(604_800),
            keep_daily: Some(7),
            keep_yearly: Some(3),
            max_total_size: Some(1_000_000_000_000),
            min_keep: 2,
            ..Policy::default()
        }
    );
    assert_eq!(serde_json::to_value(&policy).unwrap(), written);
    assert_eq!(read(json!({})).unwrap(), Policy::default());
    assert_eq!(read(json!({"keep_last": null})).unwrap(), Policy::default());
}

#[test]
fn json_with_anything_else_is_refused() {
    for wrong in [
        json!({"keep_daly": 7}),
        json!({"keep_daily": -1}),
        json!({"keep_daily": 1.5}),
        json!({"keep_daily": "7"}),
        json!({"keep_for": "7 days"}),
        json!({"min_keep": null}),
        json!({"min_keep": 4_294_967_296_u64}),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn only_what_makes_sense_is_valid() {
    let refused = |policy: serde_json::Value, message: &str| {
        let error = read(policy).unwrap().validate().unwrap_err();
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::InvalidInput, message));
        assert!(error.hint.is_some(), "{message}");
    };
    for name in ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"] {
        read(json!({name: 1})).unwrap().validate().unwrap();
        read(json!({name: u32::MAX})).unwrap().validate().unwrap();
        refused(json!({name: 0}), &format!("{name} must be greater than zero"));
    }
    for name in ["keep_for", "max_total_size", "min_keep"] {
        read(json!({name: 1})).unwrap().validate().unwrap();
        refused(json!({name: 0}), &format!("{name} must be greater than zero"));
    }
    let century = 3_155_760_000_u64;
    read(json!({"keep_for": century})).unwrap().validate().unwrap();
    refused(json!({"keep_for": century + 1}), "keep_for must be at most 100 years");
    Policy::default().validate().unwrap();
}

#[test]
fn a_policy_is_empty_unless_it_asks_for_something() {
    assert!(Policy::default().is_empty());
    assert!(read(json!({"min_keep": 9})).unwrap().is_empty());
    for name in [
        "keep_last",
        "keep_for",
        "keep_hourly",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "keep_yearly",
        "max_total_size",
    ] {
        assert!(!read(json!({name: 1})).unwrap().is_empty(), "{name}");
    }
}
