//! A table of contents for rows that go into tables that are there: with checks, which pg_restore runs in the same
//! transaction, before and after them.

use std::collections::HashMap;

use super::rename::{doubled, quoted};
use super::sections::is_setting;
use super::toc::{DataOffset, Section, Toc, TocEntry, desc};

/// How the checks are called where pg_restore names what failed.
const CHECK: &[u8] = b"WALWARDEN CHECK";

/// Adds checks around the rows: before them that their tables are empty, and nobody else writes to them; after them that
/// each has as many rows as `rows` says, by the number of its entry, and that no foreign key refers to rows that are not
/// there. pg_restore loads with foreign keys' triggers off, because no order of tables suits all of them.
pub fn check_rows(toc: &mut Toc, rows: &HashMap<i32, u64>) {
    let tables: Vec<(Vec<u8>, u64)> = toc
        .entries
        .iter()
        .filter(|entry| entry.is_table_data())
        .map(|entry| (full_name(entry), rows.get(&entry.dump_id).copied().unwrap_or_default()))
        .collect();
    let next_id = toc.entries.iter().map(|entry| entry.dump_id).max().unwrap_or(0) + 1;
    let before = tables.iter().map(|(name, _)| require_empty(name));
    let after = tables.iter().map(|(name, rows)| require_count(name, *rows));
    let after = after.chain(std::iter::once(require_keys(&tables)));
    let mut checks: Vec<TocEntry> =
        (next_id..).zip(before.chain(after)).map(|(dump_id, statement)| check(dump_id, statement)).collect();
    let after = checks.split_off(tables.len());
    let first = toc.entries.iter().position(|entry| !is_setting(entry)).unwrap_or(0);
    toc.entries.splice(first..first, checks);
    toc.entries.extend(after);
}

impl Toc {
    /// Whether it has large objects' data.
    pub fn has_large_objects(&self) -> bool {
        self.entries.iter().any(|entry| entry.desc == desc::BLOBS)
    }
}

fn full_name(entry: &TocEntry) -> Vec<u8> {
    let schema = quoted(entry.namespace.as_deref().unwrap_or_default());
    [schema.as_slice(), b".", &quoted(&entry.tag)].concat()
}

/// Anonymous code with nothing looked up by a search_path but what it names.
fn block(body: &[u8]) -> Vec<u8> {
    [b"DO ".as_slice(), &doubled(body, b'\''), b";\n"].concat()
}

fn require_empty(table: &[u8]) -> Vec<u8> {
    let lock = [b"LOCK TABLE ONLY ".as_slice(), table, b" IN SHARE ROW EXCLUSIVE MODE;\n"].concat();
    let message = doubled(&[b"table ".as_slice(), table, b" has rows already"].concat(), b'\'');
    let body = [
        b"BEGIN IF EXISTS (SELECT FROM ONLY ".as_slice(),
        table,
        b") THEN RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = ",
        &message,
        b", HINT = 'Rows are restored into empty tables.'; END IF; END",
    ];
    [lock, block(&body.concat())].concat()
}

fn require_count(table: &[u8], rows: u64) -> Vec<u8> {
    let rows = rows.to_string();
    let message = [b"table ".as_slice(), table, b" has other rows than its backup"].concat();
    let body = [
        b"BEGIN IF (SELECT pg_catalog.count(*) FROM ONLY ".as_slice(),
        table,
        b") OPERATOR(pg_catalog.<>) ",
        rows.as_bytes(),
        b" THEN RAISE EXCEPTION USING ERRCODE = 'P0004', MESSAGE = ",
        &doubled(&message, b'\''),
        b"; END IF; END",
    ];
    block(&body.concat())
}

/// Of the keys between tables that were loaded, both sides are as they were in the backup; the others are looked at. A key
/// to a partitioned table has one more row in pg_constraint for each partition that may be referred to: the table as a whole is
/// what counts.
const REQUIRE_KEYS: &str = "DECLARE
    key record;
    is_broken boolean;
BEGIN
    FOR key IN
        SELECT c.conname, c.conrelid::pg_catalog.regclass AS child, c.confrelid::pg_catalog.regclass AS parent,
               pg_catalog.string_agg(pg_catalog.format('f.%I OPERATOR(%I.%s) r.%I', fa.attname, n.nspname, o.oprname, ra.attname), ' AND ') AS same,
               pg_catalog.string_agg(pg_catalog.format('r.%I IS NOT NULL', ra.attname), ' AND ') AS known
          FROM pg_catalog.pg_constraint AS c
         CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey), pg_catalog.unnest(c.conpfeqop)) AS k (child, parent, equals)
          JOIN pg_catalog.pg_attribute AS ra ON ra.attrelid OPERATOR(pg_catalog.=) c.conrelid AND ra.attnum OPERATOR(pg_catalog.=) k.child
          JOIN pg_catalog.pg_attribute AS fa ON fa.attrelid OPERATOR(pg_catalog.=) c.confrelid AND fa.attnum OPERATOR(pg_catalog.=) k.parent
          JOIN pg_catalog.pg_operator AS o ON o.oid OPERATOR(pg_catalog.=) k.equals
          JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace
         WHERE c.contype OPERATOR(pg_catalog.=) 'f' AND c.convalidated
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS whole
                            WHERE whole.oid OPERATOR(pg_catalog.=) c.conparentid AND whole.conrelid OPERATOR(pg_catalog.=) c.conrelid)
           AND c.conrelid OPERATOR(pg_catalog.=) ANY (loaded) AND c.confrelid OPERATOR(pg_catalog.<>) ALL (loaded)
         GROUP BY c.oid, c.conname, c.conrelid, c.confrelid
    LOOP
        EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM ONLY %s AS r WHERE %s AND NOT EXISTS (SELECT FROM %s AS f WHERE %s))',
                                  key.child, key.known, key.parent, key.same) INTO is_broken;
        IF is_broken THEN
            RAISE EXCEPTION USING ERRCODE = '23503',
                MESSAGE = pg_catalog.format('rows of table %s refer to rows of table %s that are not there', key.child, key.parent),
                DETAIL = pg_catalog.format('Foreign key %s.', key.conname),
                HINT = 'Restore the rows of both tables.';
        END IF;
    END LOOP;
END";

fn require_keys(tables: &[(Vec<u8>, u64)]) -> Vec<u8> {
    let names: Vec<Vec<u8>> = tables.iter().map(|(name, _)| doubled(name, b'\'')).collect();
    let loaded = [
        b"DECLARE\n    loaded pg_catalog.regclass[] := ARRAY[".as_slice(),
        &names.join(b", ".as_slice()),
        b"]::pg_catalog.regclass[];\n",
    ];
    let rest = REQUIRE_KEYS.strip_prefix("DECLARE\n").unwrap_or(REQUIRE_KEYS);
    block(&[&loaded.concat(), rest.as_bytes()].concat())
}

fn check(dump_id: i32, statement: Vec<u8>) -> TocEntry {
    TocEntry {
        dump_id,
        had_dumper: false,
        catalog_oid: 0,
        oid: 0,
        tag: b"rows".to_vec(),
        desc: CHECK.to_vec(),
        section: Section::Data,
        definition: Some(statement),
        drop_statement: None,
        copy_statement: None,
        namespace: None,
        tablespace: None,
        table_access_method: None,
        relkind: 0,
        owner: Some(Vec::new()),
        dependencies: Vec::new(),
        data_offset: DataOffset::NO_DATA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::samples::{entry, table_data, toc};

    #[test]
    fn checks_stand_around_the_rows() {
        let mut toc = toc(vec![
            entry(1, "ENCODING", None, "ENCODING"),
            table_data(7, "s", "it's"),
            table_data(9, "s", "u"),
            entry(11, "SEQUENCE SET", Some("s"), "q"),
        ]);
        check_rows(&mut toc, &HashMap::from([(7, 42)]));
        let seen: Vec<_> = toc.entries.iter().map(|entry| (entry.dump_id, entry.desc.as_slice())).collect();
        assert_eq!(
            seen,
            [
                (1, b"ENCODING".as_slice()),
                (12, CHECK),
                (13, CHECK),
                (7, b"TABLE DATA"),
                (9, b"TABLE DATA"),
                (11, b"SEQUENCE SET"),
                (14, CHECK),
                (15, CHECK),
                (16, CHECK),
            ]
        );
        let statement = |index: usize| {
            String::from_utf8(toc.entries[index].definition.clone().unwrap_or_default()).unwrap()
        };
        assert!(statement(1).starts_with("LOCK TABLE ONLY \"s\".\"it's\" IN"), "{}", statement(1));
        // A string within a string: quotes are doubled twice.
        assert!(
            statement(1).contains("MESSAGE = ''table \"s\".\"it''''s\" has rows already''"),
            "{}",
            statement(1)
        );
        assert!(statement(6).contains("<>) 42 THEN"), "{}", statement(6));
        assert!(statement(7).contains("<>) 0 THEN"), "{}", statement(7));
        assert!(statement(8).contains("ARRAY[''\"s\".\"it''''s\"'', ''\"s\".\"u\"'']"), "{}", statement(8));
    }
}
