//! Tests that run inside a server, one rolled-back transaction each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

// pgrx finds tests by their SQL schema, so the module must have this name.
#[pgrx::pg_schema]
mod tests {
    use crate::catalog::task::{Task, VerifyOrder};
    use crate::catalog::{audit, job};
    use crate::pg::{sql, text};
    use pgrx::prelude::*;
    use uuid::Uuid;
    use walwarden_core::backup_options::BackupOptions;
    use walwarden_core::job::{Depth, JobState, Trigger};

    #[pg_test]
    fn text_survives_the_way_to_sql_and_back() {
        for sample in ["", "plain", "Größe 表", "quote ' and \\ backslash", "line\nbreak"] {
            let row = sql::query_one("SELECT $1", &[Some(sample)]).unwrap().unwrap();
            assert_eq!(row.get(0), Some(sample));
        }
        assert_eq!(sql::query_one("SELECT $1", &[None]).unwrap().unwrap().get(0), None);
        assert_eq!(text::from_server_lossy(b"ascii"), "ascii");
    }

    #[pg_test]
    fn a_scheduled_time_is_queued_once_for_each_kind() {
        let time = chrono::DateTime::from_timestamp(1_800_000_000, 0);
        let storages = ["local".to_owned()];
        let new = |task| job::NewJob {
            id: Uuid::now_v7(),
            task,
            schedule: Some("nightly"),
            trigger: Trigger::Schedule,
            scheduled_for: time,
            storages: &storages,
            attempt: 1,
            run_after: None,
            requested_by: "walwarden",
        };
        let backup = || Task::Backup(BackupOptions::default());
        let verification =
            || Task::Verify { backup: Uuid::now_v7(), depth: Depth::Full, order: VerifyOrder::default() };
        for (task, added) in
            [(backup(), true), (verification(), true), (backup(), false), (verification(), false)]
        {
            assert_eq!(job::insert(&new(task)).unwrap(), added);
        }
    }

    #[pg_test]
    fn a_claimed_job_is_not_claimed_again() {
        let id = Uuid::now_v7();
        let task = Task::Backup(BackupOptions {
            jobs: Some(2),
            compression: Some("none".to_owned()),
            max_rate: Some(5),
            ..BackupOptions::default()
        });
        let new = job::NewJob {
            id,
            task: task.clone(),
            schedule: None,
            trigger: Trigger::Manual,
            scheduled_for: None,
            storages: &["local".to_owned()],
            attempt: 1,
            run_after: None,
            requested_by: "me",
        };
        assert!(job::insert(&new).unwrap());
        assert_eq!(job::claim(id).unwrap().unwrap().task, task);
        assert!(job::claim(id).unwrap().is_none());
        assert_eq!(job::state(id).unwrap(), JobState::Claimed);
        assert!(!job::cancel_queued(id, "me").unwrap());
    }

    #[pg_test]
    fn an_appended_entry_verifies() {
        let before = audit::head().unwrap().seq;
        audit::append("backup.skipped", None, "me", "{\"schedule\":\"n\u{e4}chtlich\"}").unwrap();
        let report = audit::verify([]).unwrap();
        assert_eq!(report.head.seq, before + 1);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }

    #[pg_test(error = "a job cannot go from queued to completed")]
    fn a_state_cannot_be_skipped() {
        Spi::run(
            "INSERT INTO walwarden.job (id, trigger, storages, requested_by) \
             VALUES ('00000000-0000-0000-0000-000000000001', 'manual', '{local}', 'me'); \
             UPDATE walwarden.job SET state = 'completed', finalized_at = now();",
        )
        .unwrap();
    }
}
