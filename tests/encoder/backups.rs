//! Backups are the same whichever of the two wrote them, and the setting says which does.

use crate::support::site::{self, APP, Site};
use crate::support::{LocalBackup, back_up, pieces, restore, text};
use crate::tables::{TABLES, WITHOUT_COLUMNS};
use crate::{VALUES, quiet, set_seed};
use serde_json::Value;
use walwarden_testkit::{Archive, assert_same_database};

/// Which encoder a manifest names for each table.
fn encoders(manifest: &Value) -> Vec<(String, String)> {
    let tables = manifest["tables"].as_array().expect("tables").iter();
    let mut encoders: Vec<_> = tables
        .map(|table| {
            let name = format!("{}.{}", text(table, "schema"), text(table, "name"));
            (name, text(table, "encoder").to_owned())
        })
        .collect();
    encoders.sort();
    encoders
}

/// Makes a backup with this encoder, which the database's sessions have by ALTER DATABASE.
fn backup_with(site: &Site, encoder: &str) -> LocalBackup {
    site.sql(&format!("ALTER DATABASE {APP} SET walwarden.encoder = '{encoder}'"));
    LocalBackup::of(&site.cluster, back_up(&site.cluster, APP, "jobs => 2"))
}

/// A table of every type and one of its arrays, in the schema kinds.
const TABLE_OF_EACH_KIND: &str = "
    CREATE SCHEMA kinds;
    DO $$
    DECLARE
        kind record;
    BEGIN
        FOR kind IN SELECT row_number() OVER (ORDER BY type) AS number, * FROM gen.kind LOOP
            EXECUTE format('CREATE TABLE kinds.scalars_%1$s (v %2$s);
                INSERT INTO kinds.scalars_%1$s SELECT CASE WHEN n %% 31 <> 0 THEN %3$s END FROM gen.rows(500);
                INSERT INTO kinds.scalars_%1$s SELECT value::%2$s FROM gen.special WHERE type = %2$L AND length(value) < 1000;
                CREATE TABLE kinds.arrays_%1$s (v %2$s[]);
                INSERT INTO kinds.arrays_%1$s %4$s',
                kind.number, kind.type, kind.expression, gen.arrays_of(kind.type, 'kinds.scalars_' || kind.number));
        END LOOP;
    END $$;";

/// The same pieces with the same SHA-256 whoever encoded them, the manifest says who did, and they restore.
#[test]
fn both_encoders_make_the_same_backup() {
    let site = Site::local(quiet());
    site.sql(&(set_seed() + VALUES + TABLES + TABLE_OF_EACH_KIND));
    let direct = backup_with(&site, "auto");
    let copied = backup_with(&site, "copy");
    let [direct_manifest, copied_manifest] = [&direct, &copied].map(LocalBackup::read_manifest);

    let (ours, theirs) = (pieces(&direct_manifest), pieces(&copied_manifest));
    assert!(ours.iter().any(|table| table.2.len() > 1), "no table is cut");
    assert!(ours.iter().flat_map(|table| &table.2).all(|piece| text(piece, "sha256").len() == 64));
    for (one, other) in ours.iter().zip(&theirs) {
        assert_eq!(one, other);
    }
    assert_eq!(ours.len(), theirs.len());

    let by_copy = encoders(&copied_manifest);
    assert!(by_copy.len() > 300, "{} tables", by_copy.len());
    assert_eq!(by_copy.iter().find(|table| table.1 != "copy"), None);
    let ordinary = encoders(&direct_manifest);
    let by_us = ordinary
        .iter()
        .filter(|table| table.0.starts_with("shape.") && !WITHOUT_COLUMNS.contains(&table.0.as_str()));
    assert_eq!(by_us.clone().find(|table| table.1 != "direct"), None);
    assert!(by_us.count() > 150);

    restore(&site.cluster, Archive::File(&direct.archive), "restored", &["--jobs=2"]);
    assert_same_database(&site.cluster, APP, "restored");
}

#[test]
fn an_unknown_encoder_is_refused() {
    let site = Site::local(quiet());
    assert_eq!(site.sql("SHOW walwarden.encoder"), "auto");
    for wrong in ["fast", "direct", "", "on"] {
        for set in [
            format!("SET walwarden.encoder = '{wrong}'"),
            format!("ALTER DATABASE {APP} SET walwarden.encoder = '{wrong}'"),
            format!("ALTER SYSTEM SET walwarden.encoder = '{wrong}'"),
        ] {
            let refused = site.cluster.try_sql(APP, &set).expect_err(&set);
            assert!(
                refused.contains("invalid value for parameter \"walwarden.encoder\""),
                "{set}: {refused}"
            );
        }
    }
}

#[test]
fn the_setting_of_the_server_holds_where_no_database_says_otherwise() {
    let site = Site::local(quiet());
    site.sql("ALTER SYSTEM SET walwarden.encoder = 'copy'");
    site.sql("SELECT pg_reload_conf()");
    site.await_true("the setting", site::PATIENCE, "SELECT current_setting('walwarden.encoder') = 'copy'");
    let backup = LocalBackup::make(&site.cluster, APP);
    assert_eq!(encoders(&backup.read_manifest()), [("public.customer".to_owned(), "copy".to_owned())]);
}
