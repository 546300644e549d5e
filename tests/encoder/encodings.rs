//! Databases in other encodings, and bytes that are no characters.

use crate::{quiet, support};
use walwarden_testkit::Cluster;

const CHARACTERS: &str = include_str!("characters.sql");

/// Every byte but zero of an encoding that has one byte a character, alone and in pairs.
fn single_bytes(encoding: &str) -> String {
    format!(
        "CREATE TABLE characters AS SELECT convert_from(decode(repeat(lpad(to_hex(code), 2, '0'), times), 'hex'), '{encoding}') AS c \
         FROM generate_series(1, 255) AS code, generate_series(1, 2) AS times"
    )
}

/// Characters of one, two and three bytes.
const JAPANESE: &str = "CREATE TABLE characters AS \
    SELECT convert_from(decode(hex, 'hex'), 'EUC_JP') AS c FROM ( \
        SELECT to_hex(code) FROM generate_series(1, 127) AS code WHERE code >= 16 \
        UNION ALL SELECT to_hex(lead) || to_hex(trail) FROM generate_series(176, 195) AS lead, unnest('{161,192,220,254}'::int[]) AS trail \
        UNION ALL SELECT '8e' || to_hex(kana) FROM generate_series(177, 221) AS kana \
        UNION ALL SELECT '8f' || to_hex(lead) || 'b1' FROM generate_series(176, 190) AS lead) AS codes (hex)";

/// What no check would let in today: single bytes of characters of several, too long forms, surrogates, ends that are missing.
const NO_UTF8: &str = "CREATE TABLE characters AS SELECT convert_from(decode(hex, 'hex'), 'SQL_ASCII') AS c \
    FROM unnest('{80,bf,c0,c1,c3,e6,e6bc,f0,f09f,f09f98,f5,fe,ff,c080,eda080,f4908080,c3a9,e6bca2,f09f9880,c35c,e65c5c,f05c5c5c,c309}'::text[]) AS hex";

/// Makes a database in an encoding and compares the tables of characters.sql there.
fn try_encoding(cluster: &Cluster, encoding: &str, characters: &str) {
    let database = encoding.to_lowercase();
    let create = format!(
        "CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    cluster.sql("postgres", &create);
    support::install(cluster, &database);
    cluster.sql(&database, &format!("SET client_encoding = '{encoding}'; {characters}; {CHARACTERS}"));
    compare_characters(cluster, &database);
}

/// With psql, which takes the database's encoding for its own, as pg_dump does: a client in UTF-8 cannot have all of them.
fn compare_characters(cluster: &Cluster, database: &str) {
    for table in ["public.characters", "public.strings", "public.labels", "public.halves"] {
        let copied = cluster.psql(database, &format!("COPY {table} TO STDOUT"));
        assert!(
            copied.status.success(),
            "{table} in {database}: {}",
            String::from_utf8_lossy(&copied.stderr)
        );
        let rows = copied.stdout.iter().filter(|&&byte| byte == b'\n').count();
        assert!(rows > 0, "{table} in {database}");
        let expected = format!("direct|||{rows}|{}", copied.stdout.len());
        let check = format!(
            "SELECT encoder, reason, differs_at, rows, bytes FROM walwarden.check_encoder('{table}')"
        );
        assert_eq!(cluster.sql(database, &check), expected, "{table} in {database}");
    }
}

#[test]
fn every_encoding_is_written_as_copy_writes_it() {
    let cluster = quiet().start();
    for encoding in ["LATIN1", "SQL_ASCII", "WIN1252", "KOI8R"] {
        try_encoding(&cluster, encoding, &single_bytes(encoding));
    }
    try_encoding(&cluster, "UTF8", JAPANESE);
    try_encoding(&cluster, "EUC_JP", JAPANESE);
    try_encoding(&cluster, "EUC_JIS_2004", "CREATE TABLE characters AS SELECT 'ascii' AS c");
    // Newer versions do without it.
    if cluster.sql("postgres", "SELECT pg_char_to_encoding('MULE_INTERNAL') >= 0") == "t" {
        try_encoding(&cluster, "MULE_INTERNAL", JAPANESE);
    }
}

/// Bytes that are no characters came in when they were not looked at, or when the database had another encoding.
#[test]
fn bytes_that_are_no_characters_are_written_as_copy_writes_them() {
    let cluster = quiet().start();
    try_encoding(&cluster, "SQL_ASCII", NO_UTF8);
    for encoding in ["UTF8", "EUC_JP", "EUC_TW"] {
        let now = format!(
            "UPDATE pg_database SET encoding = pg_char_to_encoding('{encoding}') WHERE datname = 'sql_ascii'"
        );
        cluster.sql("postgres", &now);
        assert_eq!(cluster.sql("sql_ascii", "SHOW server_encoding"), encoding);
        compare_characters(&cluster, "sql_ascii");
    }
}
