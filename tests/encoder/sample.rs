//! Each backup compares a sample of what the encoder wrote with COPY, and fails where they differ.

use crate::quiet;
use crate::support::site::{self, Site};
use crate::support::{await_end, run_now, text};

/// Rows of which each has a label, and more of them than the leader and its queues take at this rate.
const DIARY: &str = "
    CREATE TYPE mood AS ENUM ('happy', 'sad');
    CREATE UNLOGGED TABLE diary AS
        SELECT n AS day, 'sad'::mood AS mood, repeat('nothing happened; ', 14) AS entry FROM generate_series(1, 500000) AS n";

/// No defect is needed for a difference: the output of an enum is not of the snapshot. A label that gets another name while
/// a piece is written has its old name in it, and its new one from COPY. A backup with both could not be restored.
#[test]
fn a_backup_whose_sample_copy_writes_otherwise_fails() {
    let site = Site::local(quiet().config("walwarden.max_memory = '64MB'"));
    site.sql(DIARY);
    let job = run_now(&site.cluster, site::APP, "jobs => 1, compression => 'none', max_rate => '20MB'");
    site.await_true(
        "rows on their way",
        site::PATIENCE,
        "SELECT EXISTS (SELECT FROM walwarden.progress WHERE rows > 0 OR raw_bytes > 0)",
    );
    site.sql("ALTER TYPE mood RENAME VALUE 'sad' TO 'sorry'");
    let row = await_end(&site.cluster, site::APP, &job);

    assert_eq!(text(&row, "state"), "failed", "{row}");
    assert_eq!(text(&row, "error_class"), "internal");
    assert_eq!(text(&row, "error_message"), "a table was not written as COPY writes it: \"public.diary\"");
    assert!(text(&row, "error_detail").contains(" walwarden wrote "), "{row}");
    assert!(text(&row, "error_hint").contains("walwarden.encoder to copy"), "{row}");
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.backups"), "0");
    site.await_stored(&[]);
}
