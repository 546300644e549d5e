//! Restores by walwarden itself, and how they end.

use super::{await_end, text};
use serde_json::Value;
use walwarden_testkit::Cluster;

/// Restores with `walwarden.restore()` and gives the job's row. `arguments` are those behind the backup, as SQL.
pub fn restore(cluster: &Cluster, database: &str, backup: &str, arguments: &str) -> Value {
    let call = format!("SET client_encoding = 'UTF8'; SELECT walwarden.restore('{backup}', {arguments})");
    let job = cluster.sql(database, &call);
    await_end(cluster, database, &job)
}

/// That a job was completed.
pub fn completes(row: &Value) {
    assert_eq!(text(row, "state"), "completed", "{row:#}");
}

/// That a job failed with an error of this class, which says this.
pub fn fails(row: &Value, class: &str, told: &str) {
    assert_eq!((text(row, "state"), text(row, "error_class")), ("failed", class), "{row:#}");
    let all = format!("{} {}", text(row, "error_message"), row["error_detail"].as_str().unwrap_or_default());
    assert!(all.contains(told), "{all} says {told}");
}

/// No database that a restore makes on its way, and nothing noted to be cleaned up.
pub fn assert_nothing_is_left(cluster: &Cluster, database: &str) {
    assert_eq!(
        cluster.sql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'walwarden\\_%'"),
        ""
    );
    assert_eq!(cluster.sql(database, "SELECT jobs_to_clean_up FROM walwarden.status"), "0");
}
