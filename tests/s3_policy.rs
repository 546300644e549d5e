//! The policy in docs/s3.md: what it allows is what walwarden asks an S3 service for, no less and no more. Requests are written
//! down on their way to the server, and named by the permission that Amazon wants for each.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::site::PATIENCE;
use support::{await_end, back_up, install, text};
use walwarden_testkit::{Cluster, S3Recorder, S3Request, S3Server, wait_until};

const DOCUMENT: &str = include_str!("../docs/s3.md");
const DATABASE: &str = "shop";
/// With versions and Object Lock.
const LOCKING: &str = "locking";

/// Actions on the bucket and on its objects: policies name the two apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Actions {
    bucket: BTreeSet<String>,
    objects: BTreeSet<String>,
}

impl Actions {
    fn of_the_document() -> Self {
        let blocks = DOCUMENT.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let policies: Vec<Value> = blocks
            .map(|block| serde_json::from_str::<Value>(block).expect("JSON"))
            .filter(|value| value.get("Statement").is_some())
            .collect();
        let [policy] = policies.as_slice() else { panic!("the document has one policy") };
        let mut actions = Self::default();
        for statement in policy["Statement"].as_array().expect("statements") {
            assert_eq!(statement["Effect"], "Allow");
            let is_of_objects = text(statement, "Resource").contains('/');
            let into = if is_of_objects { &mut actions.objects } else { &mut actions.bucket };
            into.extend(
                statement["Action"]
                    .as_array()
                    .expect("actions")
                    .iter()
                    .map(|a| a.as_str().unwrap().to_owned()),
            );
        }
        actions
    }

    /// What Amazon's "Actions, resources, and condition keys for Amazon S3" and the pages of the operations name for it.
    fn add(&mut self, request: &S3Request) {
        let asks = |name: &str| request.query.contains_key(name);
        let has = |name: &str| request.headers.contains_key(name);
        let method = request.method.as_str();
        if request.key.is_none() {
            let action = match method {
                // Several objects by one request.
                "POST" if asks("delete") => return self.object("DeleteObject"),
                "GET" if asks("versioning") => "GetBucketVersioning",
                "GET" if asks("object-lock") => "GetBucketObjectLockConfiguration",
                "GET" if asks("versions") => "ListBucketVersions",
                "GET" if asks("uploads") => "ListBucketMultipartUploads",
                "GET" if asks("list-type") => "ListBucket",
                _ => panic!("what is this? {request:?}"),
            };
            self.bucket.insert(format!("s3:{action}"));
            return;
        }
        match method {
            "PUT" => self.object("PutObject"),
            "POST" if asks("uploads") || asks("uploadId") => self.object("PutObject"),
            "DELETE" if asks("uploadId") => self.object("AbortMultipartUpload"),
            "DELETE" if asks("versionId") => self.object("DeleteObjectVersion"),
            "DELETE" => self.object("DeleteObject"),
            "GET" | "HEAD" if asks("versionId") => self.object("GetObjectVersion"),
            "GET" | "HEAD" => {
                self.object("GetObject");
                // Without, "not found" is "denied".
                self.bucket.insert("s3:ListBucket".to_owned());
            }
            _ => panic!("what is this? {request:?}"),
        }
        // Of a version we ask whether it is locked: the answer has that for those who may see it.
        if method == "HEAD" && asks("versionId") {
            self.object("GetObjectRetention");
            self.object("GetObjectLegalHold");
        }
        if has("x-amz-tagging") {
            self.object("PutObjectTagging");
        }
        if has("x-amz-object-lock-mode") {
            self.object("PutObjectRetention");
        }
    }

    fn object(&mut self, action: &str) {
        self.objects.insert(format!("s3:{action}"));
    }
}

#[test]
fn the_policy_allows_what_is_asked_for_and_nothing_else() {
    let server = S3Server::start();
    server.client().create_bucket_with_lock(LOCKING);
    let recorder = S3Recorder::new(server.address());
    let cluster = Cluster::builder().preload_walwarden().envs(server.env()).start();
    cluster.create_database(DATABASE);
    cluster.sql(DATABASE, "CREATE TABLE customer AS SELECT n AS id FROM generate_series(1, 1000) AS n");
    install(&cluster, DATABASE);
    let add_storage = |name: &str, bucket: &str, more: Value| {
        let mut options = json!({"endpoint": recorder.endpoint(), "allow_http": true, "region": "us-east-1"});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let query = format!("SELECT walwarden.add_storage('{name}', 's3://{bucket}/postgres', '{options}')");
        cluster.sql(DATABASE, &query);
    };
    add_storage("plain", S3Server::BUCKET, json!({}));
    add_storage("versions", LOCKING, json!({"tags": {"team": "db"}}));
    add_storage("locked", LOCKING, json!({"lock_mode": "governance", "lock_days": 1}));
    let mut ended = Vec::new();
    for storage in ["plain", "versions", "locked"] {
        let check = format!("SELECT step, note FROM walwarden.check_storage('{storage}') WHERE NOT ok");
        assert_eq!(cluster.sql(DATABASE, &check), "");
        let backup = back_up(&cluster, DATABASE, &format!("storage => '{storage}'"));
        let job = text(&backup, "id").to_owned();
        for query in [
            format!("SELECT walwarden.verify('{job}')"),
            format!(
                "SELECT walwarden.restore_table('{job}', 'public.customer', 'public.{storage}_customer')"
            ),
        ] {
            let job = cluster.sql(DATABASE, &query);
            assert_eq!(await_end(&cluster, DATABASE, &job)["state"], "completed", "{query}");
        }
        let key = cluster.sql(DATABASE, "SELECT walwarden.public_key()");
        let found =
            format!("SELECT count(*) FROM walwarden.discover('{storage}', '{key}') WHERE job = '{job}'");
        assert_eq!(cluster.sql(DATABASE, &found), "1");
        cluster.sql(
            DATABASE,
            &format!("SET client_min_messages = error; SELECT walwarden.delete_backup('{job}', 'a test')"),
        );
        ended.push((job, if storage == "locked" { "retained_by_lock" } else { "deleted" }));
    }
    for (job, state) in ended {
        let query = format!("SELECT state FROM walwarden.backup_copies WHERE backup = '{job}'");
        wait_until(&format!("the backup to be {state}"), PATIENCE, || {
            (cluster.sql(DATABASE, &query) == state).then_some(())
        });
    }
    let mut asked = Actions::default();
    for request in recorder.requests() {
        // The policy names this folder and no other.
        assert!(request.key.as_ref().is_none_or(|key| key.starts_with("postgres/")), "{request:?}");
        asked.add(&request);
    }
    assert_eq!(asked, Actions::of_the_document());
}
