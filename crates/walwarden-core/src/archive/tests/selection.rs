//! Parts of an archive whose entries are as pg_dump makes them.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::archive::tests::samples::{entry, table_data, toc};
use crate::archive::{QualifiedName, Section, Selection, TableName, Toc, TocEntry, wait_for_descendants};
use crate::error::{ErrorClass, Result};

fn with(entry: TocEntry, dependencies: &[i32]) -> TocEntry {
    TocEntry { dependencies: dependencies.to_vec(), ..entry }
}

/// An entry before the data, of the schema before the point.
fn pre(id: i32, desc: &str, name: &str, dependencies: &[i32]) -> TocEntry {
    let (schema, tag) = name.split_once('.').unwrap();
    with(entry(id, desc, (!schema.is_empty()).then_some(schema), tag), dependencies)
}

fn post(id: i32, desc: &str, name: &str, dependencies: &[i32]) -> TocEntry {
    TocEntry { section: Section::PostData, ..pre(id, desc, name, dependencies) }
}

fn defined(entry: TocEntry, definition: &str) -> TocEntry {
    TocEntry { definition: Some(definition.into()), ..entry }
}

fn data(id: i32, name: &str, table: i32, through: &str) -> TocEntry {
    let (schema, tag) = name.split_once('.').unwrap();
    let copy_statement = Some(format!("COPY {through} (x) FROM stdin;\n").into_bytes());
    TocEntry { copy_statement, ..with(table_data(id, schema, tag), &[table]) }
}

/// Schemas `a` (10) and `b` (11), extension `citext` (12) in `b`, and the schema `public` of which only privileges are told.
fn shop() -> Toc {
    toc(vec![
        entry(1, "ENCODING", None, "ENCODING"),
        entry(2, "DATABASE", None, "shop"),
        with(entry(3, "COMMENT", None, "DATABASE shop"), &[2]),
        entry(4, "DATABASE PROPERTIES", None, "shop"),
        pre(10, "SCHEMA", ".a", &[]),
        pre(11, "SCHEMA", ".b", &[]),
        with(entry(13, "ACL", None, "SCHEMA b"), &[11]),
        with(entry(14, "ACL", None, "SCHEMA public"), &[900]),
        defined(
            pre(12, "EXTENSION", ".citext", &[11]),
            "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA b;\n",
        ),
        pre(15, "ACL", "b.FUNCTION citextin()", &[901]),
        pre(20, "TYPE", "b.mood", &[11]),
        pre(21, "FUNCTION", "b.tocast(integer)", &[11, 20]),
        with(entry(22, "CAST", None, "CAST (integer AS b.mood)"), &[21, 20]),
        pre(23, "FUNCTION", "b.trg()", &[11]),
        // Customers, with an owned sequence.
        pre(30, "TABLE", "a.cust", &[10, 20, 12]),
        pre(31, "COMMENT", "a.TABLE cust", &[30]),
        pre(32, "ACL", "a.TABLE cust", &[30]),
        pre(33, "ACL", "a.COLUMN cust.id", &[30, 32]),
        pre(34, "SEQUENCE", "a.cust_id_seq", &[30, 10]),
        pre(35, "SEQUENCE OWNED BY", "a.cust_id_seq", &[34]),
        pre(36, "DEFAULT", "a.cust id", &[34, 30, 30]),
        // Orders, which refer to them.
        pre(40, "TABLE", "b.ord", &[11]),
        pre(41, "VIEW", "b.v", &[30, 11]),
        pre(42, "MATERIALIZED VIEW", "b.mv", &[41, 11]),
        pre(43, "VIEW", "b.usescast", &[21, 20, 11]),
        // A partitioned table over both schemas.
        pre(50, "TABLE", "a.ev", &[10]),
        pre(51, "TABLE", "a.ev1", &[10, 50]),
        pre(52, "TABLE", "b.ev2", &[11, 50]),
        pre(53, "TABLE ATTACH", "a.ev1", &[51, 50]),
        pre(54, "TABLE ATTACH", "b.ev2", &[52, 50]),
        // A table that inherits, and one that has a column of the parent's type.
        pre(60, "TABLE", "a.par", &[10]),
        defined(pre(61, "TABLE", "b.kid", &[60, 11]), "CREATE TABLE b.kid (\n)\nINHERITS (a.par);\n"),
        pre(62, "TABLE", "b.hasrow", &[60, 11]),
        pre(65, "SERVER", ".srv", &[]),
        entry(66, "USER MAPPING", None, "USER MAPPING bob SERVER srv"),
        pre(67, "FOREIGN TABLE", "b.ft", &[11, 65]),
        data(130, "a.cust", 30, "a.cust"),
        data(140, "b.ord", 40, "b.ord"),
        data(151, "a.ev1", 51, "a.ev"),
        data(152, "b.ev2", 52, "a.ev"),
        data(160, "a.par", 60, "a.par"),
        data(161, "b.kid", 61, "b.kid"),
        data(162, "b.hasrow", 62, "b.hasrow"),
        // A table that an extension makes.
        data(170, "b.words", 902, "b.words"),
        pre(134, "SEQUENCE SET", "a.cust_id_seq", &[34]),
        entry(180, "BLOB METADATA", None, "4242"),
        with(entry(181, "ACL", None, "LARGE OBJECT 4242"), &[180]),
        pre(182, "STATISTICS DATA", "a.cust", &[30, 903]),
        post(200, "CONSTRAINT", "a.cust cust_pkey", &[30]),
        post(201, "INDEX", "b.mv_i", &[42]),
        post(202, "MATERIALIZED VIEW DATA", "b.mv", &[42, 904]),
        post(203, "CONSTRAINT", "a.ev ev_pkey", &[50]),
        post(204, "CONSTRAINT", "a.ev1 ev1_pkey", &[51, 203]),
        post(205, "CONSTRAINT", "b.ev2 ev2_pkey", &[52, 203]),
        defined(
            post(206, "INDEX ATTACH", "a.ev1_pkey", &[51, 204, 203, 50]),
            "ALTER INDEX a.ev_pkey ATTACH PARTITION a.ev1_pkey;\n",
        ),
        defined(
            post(207, "INDEX ATTACH", "b.ev2_pkey", &[52, 205, 203, 50]),
            "ALTER INDEX a.ev_pkey ATTACH PARTITION b.ev2_pkey;\n",
        ),
        defined(
            post(208, "FK CONSTRAINT", "b.ord ord_cust_fkey", &[40, 200, 30]),
            "ALTER TABLE ONLY b.ord\n    ADD CONSTRAINT ord_cust_fkey FOREIGN KEY (c) REFERENCES a.cust(id);\n",
        ),
        post(209, "COMMENT", "b.CONSTRAINT ord_cust_fkey ON ord", &[208]),
        defined(
            post(210, "FK CONSTRAINT", "b.ord ord_ev_fkey", &[206, 207, 203, 40, 50]),
            "ALTER TABLE b.ord\n    ADD CONSTRAINT ord_ev_fkey FOREIGN KEY (e) REFERENCES a.ev(id);\n",
        ),
        post(211, "TRIGGER", "a.cust t", &[30, 23]),
        defined(
            post(212, "POLICY", "a.par p", &[60, 61, 60]),
            "CREATE POLICY p ON a.par USING ((x IN ( SELECT kid.y FROM b.kid)));\n",
        ),
        post(213, "RULE", "a.cust log", &[30, 40]),
        post(214, "STATISTICS", "b.st", &[30, 11]),
        defined(
            post(215, "CONSTRAINT", "a.par excl", &[60]),
            "ALTER TABLE ONLY a.par\n    ADD CONSTRAINT excl EXCLUDE USING gist (x WITH =);\n",
        ),
        post(220, "PUBLICATION", ".p", &[]),
        post(221, "PUBLICATION TABLE", "a.p cust", &[30, 220]),
    ])
}

fn tables(names: &[&str]) -> Vec<TableName> {
    let table = |name: &&str| {
        let (schema, name) = name.split_once('.').unwrap();
        TableName { schema: schema.into(), name: name.into() }
    };
    names.iter().map(table).collect()
}

fn schemas(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn encoded(name: &str) -> Result<Vec<u8>> {
    Ok(name.into())
}

fn applied(selection: &Selection) -> Toc {
    let mut toc = shop();
    selection.apply(&mut toc, encoded).unwrap();
    let mut waiting = shop();
    wait_for_descendants(&mut waiting);
    selection.apply(&mut waiting, encoded).unwrap();
    assert_eq!(ids(&toc), ids(&waiting), "what only waits is not needed");
    toc
}

fn ids(toc: &Toc) -> Vec<i32> {
    let mut ids: Vec<i32> = toc.entries.iter().map(|entry| entry.dump_id).collect();
    ids.sort_unstable();
    ids
}

fn with_tables(names: &[&str]) -> Vec<i32> {
    ids(&applied(&Selection { tables: tables(names), ..Selection::default() }))
}

fn with_schemas(names: &[&str]) -> Vec<i32> {
    ids(&applied(&Selection { schemas: schemas(names), ..Selection::default() }))
}

fn without(excluded_schemas: &[&str], excluded_tables: &[&str]) -> Vec<i32> {
    let toc = applied(&Selection {
        exclude_schemas: schemas(excluded_schemas),
        exclude_tables: tables(excluded_tables),
        ..Selection::default()
    });
    let kept = ids(&toc);
    ids(&shop()).into_iter().filter(|id| !kept.contains(id)).collect()
}

#[test]
fn a_table_comes_with_all_that_is_its_own_and_what_that_needs() {
    assert_eq!(
        with_tables(&["a.cust"]),
        [1, 2, 3, 4, 10, 11, 12, 13, 20, 23, 30, 31, 32, 33, 34, 35, 36, 130, 134, 182, 200, 211, 214]
    );
}

#[test]
fn partitions_and_heirs_come_with_their_table_but_not_users_of_its_row_type() {
    assert_eq!(
        with_tables(&["a.ev"]),
        [1, 2, 3, 4, 10, 11, 13, 50, 51, 52, 53, 54, 151, 152, 203, 204, 205, 206, 207]
    );
    assert_eq!(with_tables(&["a.par"]), [1, 2, 3, 4, 10, 11, 12, 13, 60, 61, 160, 161, 212, 215]);
}

#[test]
fn a_partition_alone_is_a_table_that_takes_its_rows_itself() {
    let toc = applied(&Selection { tables: tables(&["b.ev2"]), ..Selection::default() });
    assert_eq!(ids(&toc), [1, 2, 3, 4, 11, 13, 52, 152, 205]);
    let rows = toc.entries.iter().find(|entry| entry.dump_id == 152).unwrap();
    assert_eq!(rows.copy_statement.as_deref().unwrap(), b"COPY \"b\".\"ev2\" (x) FROM stdin;\n");
    assert_eq!(rows.definition, None);
    let key = toc.entries.iter().find(|entry| entry.dump_id == 205).unwrap();
    assert_eq!(key.dependencies, [52], "nothing depends on what is gone");
}

#[test]
fn a_foreign_key_comes_only_with_all_rows_that_it_refers_to() {
    let both = with_tables(&["b.ord", "a.cust"]);
    assert!(both.contains(&208) && both.contains(&209));
    assert!(!both.contains(&210));
    assert!(with_tables(&["b.ord", "a.ev"]).contains(&210));
    // One partition is in the other schema.
    assert!(!with_schemas(&["a"]).contains(&210));
    // The view brings the customers, but empty.
    let schema = with_schemas(&["b"]);
    assert!(schema.contains(&30) && schema.contains(&200));
    assert!(!schema.contains(&208) && !schema.contains(&130) && !schema.contains(&182));
}

#[test]
fn a_materialized_view_is_not_filled_from_tables_that_come_empty() {
    let schema = with_schemas(&["b"]);
    assert!(schema.contains(&42) && schema.contains(&201) && !schema.contains(&202));
    assert!(with_schemas(&["a", "b"]).contains(&202));
}

#[test]
fn what_nothing_depends_on_comes_where_it_is_used() {
    let schema = with_schemas(&["b"]);
    // The cast of a view, the mapping of a server, the rows and privileges of an extension's objects.
    for id in [22, 65, 66, 15, 170] {
        assert!(schema.contains(&id), "{id}");
    }
    for id in [14, 180, 181, 220, 221] {
        assert!(!schema.contains(&id), "{id}");
    }
    assert!(!with_schemas(&["a"]).contains(&22));
    assert_eq!(with_tables(&["b.words"]), [1, 2, 3, 4, 11, 12, 13, 170]);
}

#[test]
fn a_rule_waits_for_the_other_table_and_a_policy_brings_it() {
    assert!(with_tables(&["a.cust", "b.ord"]).contains(&213));
    let mut toc = shop();
    let heirs = Selection { tables: tables(&["b.hasrow"]), ..Selection::default() };
    heirs.apply(&mut toc, encoded).unwrap();
    let rows = toc.rows();
    assert!(ids(&toc).contains(&212) && ids(&toc).contains(&61));
    assert_eq!(rows.into_iter().collect::<Vec<_>>(), [162]);
}

#[test]
fn what_is_excluded_takes_along_whatever_needs_it() {
    assert_eq!(
        without(&[], &["a.cust"]),
        [30, 31, 32, 33, 34, 35, 36, 41, 42, 130, 134, 182, 200, 201, 202, 208, 209, 211, 213, 214, 221]
    );
    assert_eq!(without(&[], &["a.par"]), [60, 61, 62, 160, 161, 162, 212, 215]);
    assert_eq!(without(&[], &["b.words"]), [170]);
    let gone = without(&["b"], &[]);
    for id in [11, 12, 13, 15, 20, 22, 30, 52, 54, 170, 205, 207, 210, 211, 214] {
        assert!(gone.contains(&id), "{id}");
    }
    for id in [2, 3, 14, 50, 51, 60, 65, 66, 160, 180, 203, 220] {
        assert!(!gone.contains(&id), "{id}");
    }
    assert_eq!(
        without(&["a", "b"], &[]).len() + [1, 2, 3, 4, 14, 65, 66, 180, 181, 220].len(),
        ids(&shop()).len()
    );
}

#[test]
fn without_a_partition_the_table_keeps_its_key_but_rows_cannot_be_sent_through_it() {
    let gone = without(&[], &["b.ev2"]);
    // The rows of its sibling go through the whole table, and might belong to what is missing.
    assert_eq!(gone, [52, 53, 54, 152, 205, 206, 207, 210]);
    let mut toc = shop();
    for entry in &mut toc.entries {
        if entry.is_table_data() && entry.dump_id == 151 {
            entry.copy_statement = Some(b"COPY a.ev1 (x) FROM stdin;\n".to_vec());
        }
    }
    let selection = Selection { exclude_tables: tables(&["b.ev2"]), ..Selection::default() };
    selection.apply(&mut toc, encoded).unwrap();
    assert!(ids(&toc).contains(&53) && ids(&toc).contains(&206));
}

#[test]
fn an_exclusion_constraint_goes_with_the_extension_that_it_compares_with() {
    let mut toc = shop();
    toc.entries[8].tag = b"btree_gist".to_vec();
    let selection = Selection { exclude_schemas: schemas(&["b"]), ..Selection::default() };
    selection.apply(&mut toc, encoded).unwrap();
    assert!(!ids(&toc).contains(&215) && ids(&toc).contains(&60));
}

#[test]
fn the_excluded_wins_over_the_named() {
    let toc = applied(&Selection {
        tables: tables(&["a.cust", "a.ev"]),
        exclude_schemas: schemas(&["b"]),
        ..Selection::default()
    });
    assert_eq!(ids(&toc), [1, 2, 3, 4, 10, 50, 51, 151, 203, 204]);
}

#[test]
fn a_name_that_is_not_there_changes_nothing() {
    for (selection, message, detail) in [
        (
            Selection { schemas: schemas(&["a", "nowhere"]), ..Selection::default() },
            "schema \"nowhere\" is not in the backup",
            None,
        ),
        (
            Selection { exclude_tables: tables(&["a.CUST"]), ..Selection::default() },
            "table a.\"CUST\" is not in the backup",
            None,
        ),
        (
            Selection { tables: tables(&["b.v"]), ..Selection::default() },
            "table b.v is not in the backup",
            Some("There is a view of this name."),
        ),
    ] {
        let mut toc = shop();
        let error = selection.apply(&mut toc, encoded).unwrap_err();
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::NotFound, message));
        assert_eq!(error.detail.as_deref(), detail);
        assert!(error.hint.is_some());
        assert_eq!(toc, shop());
    }
}

#[test]
fn everything_is_left_as_it_is_and_empty_lists_are_not_written() {
    assert_eq!(applied(&Selection::default()), shop());
    assert_eq!(serde_json::to_string(&Selection::default()).unwrap(), "{}");
    let selection = Selection { tables: tables(&["a.b"]), ..Selection::default() };
    let text = r#"{"tables":[{"schema":"a","name":"b"}]}"#;
    assert_eq!(serde_json::to_string(&selection).unwrap(), text);
    assert_eq!(serde_json::from_str::<Selection>(text).unwrap(), selection);
}

#[test]
fn names_are_shown_as_identifiers() {
    for (schema, name, shown) in [
        ("a", "b_1", "a.b_1"),
        ("A", "b c", "\"A\".\"b c\""),
        ("1a", "x\"y", "\"1a\".\"x\"\"y\""),
        ("", "größe", "\"\".\"größe\""),
    ] {
        assert_eq!(TableName { schema: schema.into(), name: name.into() }.to_string(), shown);
    }
}

#[test]
fn names_are_looked_for_in_the_encoding_of_the_archive() {
    let mut toc = toc(vec![TocEntry { tag: b"gr\xf6\xdfe".to_vec(), ..pre(1, "SCHEMA", ".x", &[]) }]);
    let selection = Selection { schemas: schemas(&["größe"]), ..Selection::default() };
    assert!(selection.apply(&mut toc, encoded).is_err());
    let latin1 = |name: &str| Ok(name.chars().map(|c| c as u8).collect());
    selection.apply(&mut toc, latin1).unwrap();
    assert_eq!(ids(&toc), [1]);
}

/// What pg_dump leaves out by a pattern, it leaves out without a word.
fn shop_without(gone: &[i32]) -> Toc {
    let mut toc = shop();
    toc.entries.retain(|entry| !gone.contains(&entry.dump_id));
    for entry in &mut toc.entries {
        entry.dependencies.retain(|id| !gone.contains(id));
    }
    toc
}

/// The entries that are left out of such an archive because they cannot be restored.
fn lacking(gone: &[i32], without_rows: &[(&str, &str)]) -> (Vec<i32>, Toc) {
    let before = shop_without(gone);
    let named = |(schema, name): &(&str, &str)| QualifiedName {
        schema: schema.as_bytes().to_vec(),
        name: name.as_bytes().to_vec(),
    };
    let mut after = before.clone();
    after.make_restorable(&without_rows.iter().map(named).collect());
    let kept = ids(&after);
    (ids(&before).into_iter().filter(|id| !kept.contains(id)).collect(), after)
}

#[test]
fn what_a_filtered_backup_cannot_bring_back_is_left_out() {
    let (nothing, same) = lacking(&[], &[]);
    assert_eq!((nothing, same), (vec![], shop()));
    // The table of customers, and with it what belongs to it.
    let customers = [30, 31, 32, 33, 34, 35, 36, 130, 134, 182, 200, 211, 213, 214, 221];
    assert_eq!(lacking(&customers, &[]).0, [208, 209]);
    // Its rows: the orders would not find them, and the view over them would show something that never was.
    assert_eq!(lacking(&[130, 182], &[("a", "cust")]).0, [202, 208, 209]);
    // Orders without rows have nothing to find.
    assert_eq!(lacking(&[130, 140, 182], &[("a", "cust"), ("b", "ord")]).0, [202]);
    // Those of one partition.
    assert_eq!(lacking(&[152], &[("b", "ev2")]).0, [210]);
    // The whole table without its partitions, which are tables of their own then and take their rows themselves.
    let (gone, toc) = lacking(&[50, 203], &[]);
    assert_eq!(gone, [53, 54, 206, 207, 210]);
    let rows = toc.entries.iter().find(|entry| entry.dump_id == 152).unwrap();
    assert_eq!(rows.copy_statement.as_deref(), Some(b"COPY \"b\".\"ev2\" (x) FROM stdin;\n".as_slice()));
}

#[test]
fn the_schemas_that_a_filtered_backup_lacks_are_made_before_what_is_in_them() {
    let (gone, toc) = lacking(&[10, 11], &[]);
    assert_eq!(gone, Vec::<i32>::new());
    let place = |id: i32| toc.entries.iter().position(|entry| entry.dump_id == id).unwrap();
    let (a, b) = (222, 223);
    let definition = |id: i32| toc.entries[place(id)].definition.clone().unwrap();
    assert_eq!(definition(a), b"CREATE SCHEMA IF NOT EXISTS \"a\";\n");
    assert_eq!(definition(b), b"CREATE SCHEMA IF NOT EXISTS \"b\";\n");
    assert!(place(a) < place(30) && place(b) < place(20) && place(b) < place(12), "an extension's, too");
    assert!(place(4) < place(a), "in the new database");
    assert!(toc.entries[place(40)].dependencies.contains(&b));
    // Asked for by its name, this one comes with a statement that no new database takes.
    let mut public = shop_without(&[10]);
    public.entries.insert(4, defined(pre(10, "SCHEMA", ".public", &[]), "CREATE SCHEMA public;\n\n\n"));
    public.make_restorable(&HashSet::new());
    let entry = public.entries.iter().find(|entry| entry.tag == b"public").unwrap();
    assert!(entry.definition.as_deref().unwrap().starts_with(b"--"));
    // So a part of it brings the schema along.
    let mut part = toc.clone();
    let only = Selection { tables: tables(&["b.ord"]), ..Selection::default() };
    only.apply(&mut part, encoded).unwrap();
    assert!(ids(&part).contains(&b) && !ids(&part).contains(&a));
}

#[test]
fn one_table_is_found_with_its_partitions_and_keys() {
    let toc = shop();
    let whole = toc.table(b"a", b"ev").unwrap();
    assert_eq!((whole.table, whole.rows, whole.parents), (50, vec![151, 152], vec![]));
    let names: Vec<&[u8]> = whole.names.iter().map(|name| name.name.as_slice()).collect();
    assert_eq!(names, [b"ev".as_slice(), b"ev1", b"ev2"]);
    assert_eq!(whole.keys, Vec::<Vec<u8>>::new(), "these are not what they say");
    let parent = toc.table(b"a", b"par").unwrap();
    assert_eq!((parent.table, parent.rows, parent.keys.len()), (60, vec![160], 1));
    let heir = toc.table(b"b", b"kid").unwrap();
    assert_eq!(
        (heir.parents[0].schema.as_slice(), heir.parents[0].name.as_slice()),
        (&b"a"[..], &b"par"[..])
    );
    for (name, class) in [
        ("v", ErrorClass::InvalidInput),
        ("mv", ErrorClass::InvalidInput),
        ("ft", ErrorClass::InvalidInput),
        ("words", ErrorClass::WrongState),
        ("cust", ErrorClass::NotFound),
    ] {
        assert_eq!(toc.table(b"b", name.as_bytes()).unwrap_err().class, class, "{name}");
    }
}

proptest! {
    #[test]
    fn no_part_has_loose_ends(
        picked in proptest::collection::vec((0..4_u8, 0..12_usize), 0..6),
    ) {
        let all_tables = ["a.cust", "b.ord", "a.ev", "a.ev1", "b.ev2", "a.par", "b.kid", "b.hasrow", "b.words", "b.ft"];
        let all_schemas = ["a", "b"];
        let mut selection = Selection::default();
        for (list, index) in picked {
            let (schema, table) = (all_schemas[index % 2], all_tables[index % all_tables.len()]);
            match list {
                0 => selection.schemas.push(schema.into()),
                1 => selection.exclude_schemas.push(schema.into()),
                2 => selection.tables.extend(tables(&[table])),
                _ => selection.exclude_tables.extend(tables(&[table])),
            }
        }
        let before = shop();
        let after = applied(&selection);
        let kept = ids(&after);
        for entry in &after.entries {
            let old = before.entries.iter().find(|old| old.dump_id == entry.dump_id).unwrap();
            for id in &old.dependencies {
                let was_there = before.entries.iter().any(|entry| entry.dump_id == *id);
                prop_assert_eq!(entry.dependencies.contains(id), !was_there || kept.contains(id));
            }
            let namespace = entry.namespace.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            prop_assert!(!selection.exclude_schemas.iter().any(|schema| *schema == namespace));
        }
        for id in [1, 2, 3, 4] {
            prop_assert!(kept.contains(&id));
        }
    }
}
