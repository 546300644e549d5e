//! Manifests for tests.

use chrono::DateTime;
use uuid::Uuid;

use super::*;
use crate::filter::Filter;
use crate::job::Trigger;
use crate::schedule::Definition;

/// A manifest with everything in it. The golden file holds its bytes.
pub(crate) fn manifest() -> Manifest {
    let key = "org/default/db/6f1d3c5e-5a0b-4b0e-9f1c-2d3e4f5a6b7c/backup/2026/08/14/\
               0198a5d2-7c00-7000-8000-000000000001";
    let piece = |offset, length, raw_length, rows, data: &str| Piece {
        offset,
        length,
        raw_length,
        rows,
        sha256: Sha256Sum::of(data.as_bytes()),
    };
    Manifest {
        format: Format::current(),
        walwarden_version: "0.1.0".to_owned(),
        job: ManifestJob {
            id: Uuid::from_u128(0x0198_a5d2_7c00_7000_8000_0000_0000_0001),
            schedule: Some("nightly".to_owned()),
            trigger: Trigger::Schedule,
            requested_by: "postgres".to_owned(),
            queued_at: DateTime::from_timestamp_micros(1_786_672_800_000_000).unwrap(),
            started_at: DateTime::from_timestamp_micros(1_786_672_800_250_001).unwrap(),
        },
        organization: "default".to_owned(),
        database: Database {
            id: Uuid::from_u128(0x6f1d_3c5e_5a0b_4b0e_9f1c_2d3e_4f5a_6b7c),
            name: "shop \"münchen\"\n\u{1F418}".to_owned(),
            oid: 16_384,
            system_identifier: 7_538_912_345_678_901_234,
            encoding: "UTF8".to_owned(),
        },
        server_version: ServerVersion { text: "18.6 (Debian 18.6-1)".to_owned(), number: 180_006 },
        tools: Tools { pg_dump: "pg_dump (PostgreSQL) 18.6 (Debian 18.6-1)".to_owned() },
        extensions: vec![
            Extension { name: "plpgsql".to_owned(), version: "1.0".to_owned() },
            Extension { name: "walwarden".to_owned(), version: "0.1.0".to_owned() },
        ],
        snapshot: Snapshot {
            lsn: Lsn(0x16_B374_D848),
            taken_at: DateTime::from_timestamp_micros(1_786_672_800_300_000).unwrap(),
        },
        archive: Archive {
            key: format!("{key}.dump"),
            size: 9_000_000,
            sha256: Sha256Sum::of(b"archive"),
            compression: "zstd:1".to_owned(),
            format_version: "1.16".to_owned(),
            parts: vec![
                Part { offset: 0, size: 8_388_608, sha256: Sha256Sum::of(b"part 1") },
                Part { offset: 8_388_608, size: 611_392, sha256: Sha256Sum::of(b"part 2") },
            ],
            encryption: None,
        },
        globals: Some(StoredObject {
            key: format!("{key}.globals.sql"),
            size: 1_234,
            sha256: Sha256Sum::of(b"globals"),
            encryption: None,
        }),
        tables: vec![
            Table {
                schema: "public".to_owned(),
                name: "orders".to_owned(),
                oid: 16_402,
                dump_id: 3_401,
                rows: 1_000_000,
                raw_bytes: 30_000_000,
                block_offset: 52_000,
                encoder: None,
                pieces: vec![
                    piece(52_009, 5_000_000, 20_000_000, 700_000, "piece 1"),
                    piece(5_052_009, 3_000_000, 10_000_000, 300_000, "piece 2"),
                ],
            },
            Table {
                schema: "public".to_owned(),
                name: "empty".to_owned(),
                oid: 16_410,
                dump_id: 3_402,
                rows: 0,
                raw_bytes: 0,
                block_offset: 8_052_014,
                encoder: None,
                pieces: vec![],
            },
        ],
        filter: Filter::default(),
        tables_without_data: vec![],
        large_objects: LargeObjects { count: 2, raw_bytes: 4_096, left_out: false },
        totals: Totals { tables: 2, rows: 1_000_000, raw_bytes: 30_000_000 },
        schedules: vec![
            ScheduleEntry {
                name: "nightly".to_owned(),
                enabled: true,
                definition: Definition {
                    cron: Some("0 2 * * *".to_owned()),
                    time_zone: "Europe/Berlin".to_owned(),
                    storages: vec!["s3-main".to_owned()],
                    ..Definition::default()
                },
            },
            ScheduleEntry {
                name: "by hand".to_owned(),
                enabled: false,
                definition: Definition { storages: vec!["local".to_owned()], ..Definition::default() },
            },
        ],
        audit_head: AuditHead { seq: 42, hash: Sha256Sum::of(b"entry") },
        key_id: "21fe31dfa154a261".to_owned(),
        finished_at: DateTime::from_timestamp_micros(1_786_672_812_345_678).unwrap(),
    }
}

/// The same with archive and globals encrypted.
pub(crate) fn encrypted() -> Manifest {
    let mut manifest = manifest();
    let recipients = vec!["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned()];
    let archive = &mut manifest.archive;
    archive.key.push_str(".age");
    archive.encryption = Some(Encryption {
        format: Encryption::AGE.to_owned(),
        recipients: recipients.clone(),
        size: 9_002_424,
        sha256: Sha256Sum::of(b"encrypted archive"),
        parts: vec![
            Part { offset: 0, size: 8_388_608, sha256: Sha256Sum::of(b"part 1") },
            Part { offset: 8_388_608, size: 613_816, sha256: Sha256Sum::of(b"part 2") },
        ],
    });
    archive.parts.clear();
    if let Some(globals) = &mut manifest.globals {
        globals.key.push_str(".age");
        globals.encryption = Some(Encryption {
            format: Encryption::AGE.to_owned(),
            recipients,
            size: 1_450,
            sha256: Sha256Sum::of(b"encrypted globals"),
            parts: Vec::new(),
        });
    }
    manifest
}

/// A manifest with everything left out that may be.
pub(super) fn smallest() -> Manifest {
    let mut manifest = manifest();
    manifest.job.schedule = None;
    manifest.job.trigger = Trigger::Manual;
    manifest.globals = None;
    manifest.extensions.clear();
    manifest.tables.clear();
    manifest.schedules.clear();
    manifest.totals = Totals { tables: 0, rows: 0, raw_bytes: 0 };
    manifest
}
