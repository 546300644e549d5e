//! The testkit's clusters start, stop, die and clean up.

use std::time::Duration;
use walwarden_testkit::{Cluster, StopMode, is_running, wait_until};

#[test]
fn starts_answers_restarts_and_leaves_nothing_behind() {
    let mut cluster = Cluster::builder().config("work_mem = '5MB'").env("TZ", "UTC").start();
    let folder = cluster.folder().to_owned();
    assert_eq!(cluster.sql("postgres", "SHOW work_mem"), "5MB");
    assert_eq!(cluster.sql("postgres", "SHOW listen_addresses"), "");
    let row = cluster.client("postgres").query_one("SELECT current_user::text", &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), cluster.superuser());

    let before = cluster.pid();
    cluster.append_config("work_mem = '6MB'");
    cluster.restart();
    assert_ne!(cluster.pid(), before);
    assert_eq!(cluster.sql("postgres", "SHOW work_mem"), "6MB");

    let pid = cluster.pid();
    drop(cluster);
    assert!(!is_running(pid));
    assert!(!folder.exists());
}

#[test]
fn reports_the_error_of_a_script() {
    let cluster = Cluster::builder().start();
    let error = cluster.try_sql("postgres", "SELECT 1;\nSELECT 1/0;\nSELECT 2;").unwrap_err();
    assert!(error.contains("ERROR:  division by zero"), "{error}");
    assert_eq!(cluster.sql("postgres", "COPY (SELECT 'a', NULL) TO STDOUT;\nSELECT 'ä'"), "a\t\\N\nä");
}

#[test]
fn comes_back_after_the_postmaster_was_killed() {
    let mut cluster = Cluster::builder().start();
    cluster.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    let sleeper = cluster.program("psql").args(["-d", "postgres", "-c", "SELECT pg_sleep(600)"]).spawn();
    let mut sleeper = sleeper.unwrap();
    let backend = wait_until("the sleeping backend", Duration::from_secs(20), || cluster.process("SELECT"));
    assert!(cluster.process("checkpointer").is_some());

    cluster.kill9();
    assert!(!cluster.is_running());
    assert!(!backend.is_running());
    sleeper.wait().unwrap();

    cluster.start();
    assert_eq!(cluster.sql("postgres", "SELECT a FROM t"), "1");
    assert!(cluster.log().contains("was not properly shut down"), "{}", cluster.log());
    cluster.stop(StopMode::Immediate);
}

#[test]
fn takes_other_encodings_and_tcp() {
    let cluster = Cluster::builder().initdb("--encoding=LATIN1").initdb("--locale=C").tcp().start();
    assert_eq!(cluster.sql("postgres", "SHOW server_encoding"), "LATIN1");
    let address = ("127.0.0.1", cluster.port());
    assert!(std::net::TcpStream::connect(address).is_ok());
}
