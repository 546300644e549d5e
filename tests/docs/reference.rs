//! docs/reference/: what is made from the catalogs and the code, so that it cannot go stale.

use crate::accepted;
use crate::page::root;
use crate::sight;
use std::fmt::Write as _;
use walwarden_core::ErrorClass;
use walwarden_testkit::Cluster;

const NOTE: &str = "<!-- generated: by tests/docs; ACCEPT=1 makes it anew, so do not edit it -->\n";

/// Objects for users: names that begin with `_` are for walwarden's own use.
const IS_PUBLIC: &str = r"relnamespace = 'walwarden'::regnamespace AND relname !~ '^_'";

const SETTINGS: &str = "
    SELECT format('| `%s` | %s | %s | %s |', name,
                  coalesce('`' || nullif(boot_val, '') || coalesce(' ' || unit, '') || '`', 'empty'),
                  CASE WHEN vartype IN ('integer', 'real') THEN format('%s to %s', min_val, max_val) ELSE vartype END,
                  concat_ws(' ', short_desc, nullif(replace(extra_desc, '*', '\\*'), ''),
                            CASE WHEN name <> ALL (shown) THEN 'Shown to superusers and `pg_read_all_settings` only.' END))
      FROM pg_settings, (VALUES ('{shown}'::text[])) AS to_anybody (shown)
     WHERE name LIKE 'walwarden.%' ORDER BY name";

/// The settings that a role without any rights sees, as an array.
const SHOWN: &str = "
    CREATE ROLE stranger; SET ROLE stranger; SELECT array_agg(name) FROM pg_settings WHERE name LIKE 'walwarden.%'";

/// The settings that are not made in postgresql.conf alone.
const OF_A_DATABASE: &str =
    "SELECT name || ' ' || context FROM pg_settings WHERE name LIKE 'walwarden.%' AND context <> 'sighup'";

/// Of each function: name, how it is called, what it gives, what is said of it.
const FUNCTIONS: &str = "
    SELECT format(E'### `%s`\n\n```text\n%s(%s)%s\n```\n\n%s.\n', p.proname, p.proname,
                  CASE WHEN p.pronargs > 3 THEN E'\n    ' || replace(arguments, ', ', E',\n    ') || E'\n' ELSE arguments END,
                  CASE WHEN p.prokind = 'p' THEN '' ELSE ' -> ' || result END,
                  replace(obj_description(p.oid, 'pg_proc'), '*', '\\*'))
      FROM pg_proc AS p, pg_get_function_arguments(p.oid) AS arguments, coalesce(pg_get_function_result(p.oid), '') AS result
     WHERE p.pronamespace = 'walwarden'::regnamespace AND p.proname !~ '^_'
     ORDER BY p.proname, p.pronargs, arguments";

/// Of each relation: name, what is said of it, its columns.
const RELATIONS: &str = "
    SELECT format(E'### `%s`\n\n%s.\n\n| column | type | |\n|---|---|---|\n%s\n', c.relname, obj_description(c.oid, 'pg_class'),
                  string_agg(format('| `%s` | %s | %s |', a.attname, replace(format_type(a.atttypid, a.atttypmod),
                             'timestamp with time zone', 'timestamptz'), replace(replace(col_description(c.oid, a.attnum), '|', '\\|'), '*', '\\*')),
                             E'\n' ORDER BY a.attnum))
      FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE {public} AND c.relkind = '{kind}' GROUP BY c.oid, c.relname ORDER BY c.relname";

const WITHOUT_COMMENT: &str = "
    SELECT 'column ' || c.relname || '.' || a.attname FROM pg_class AS c
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE {public} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND coalesce(col_description(c.oid, a.attnum), '') = ''
    UNION ALL
    SELECT 'relation ' || c.relname FROM pg_class AS c
     WHERE {public} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND coalesce(obj_description(c.oid, 'pg_class'), '') = ''
    UNION ALL
    SELECT 'function ' || p.oid::regprocedure FROM pg_proc AS p
     WHERE p.pronamespace = 'walwarden'::regnamespace AND p.proname !~ '^_'
       AND coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
    UNION ALL
    SELECT 'setting ' || name FROM pg_settings WHERE name LIKE 'walwarden.%' AND coalesce(short_desc, '') = ''";

/// Everything has a comment, and each reference is what it would be made as now.
pub fn check() {
    let cluster = Cluster::builder().preload_walwarden().start();
    cluster.sql("postgres", "SET client_min_messages = warning; CREATE EXTENSION walwarden");
    let ask = |query: &str| cluster.sql("postgres", &query.replace("{public}", IS_PUBLIC));
    assert_eq!(ask(WITHOUT_COMMENT), "", "public and without a comment");
    let relations = |kind: &str| ask(&RELATIONS.replace("{kind}", kind));
    let references = [
        ("settings.md", settings(&ask(&SETTINGS.replace("{shown}", &ask(SHOWN))), &ask(OF_A_DATABASE))),
        ("error-classes.md", error_classes()),
        ("sql.md", sql(&ask(FUNCTIONS), &relations("v"), &relations("r"))),
    ];
    let mut troubles = String::new();
    for (name, text) in references {
        let path = root().join("docs/reference").join(name);
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        if there == text {
            continue;
        }
        if accepted::is_wanted() {
            std::fs::create_dir_all(root().join("docs/reference")).expect("a folder of the repository");
            std::fs::write(&path, text).expect("a page of the repository");
        } else {
            let difference = sight::difference(&there, &text);
            writeln!(troubles, "docs/reference/{name} is out of date; ACCEPT=1 makes it anew:\n{difference}")
                .unwrap();
        }
    }
    assert!(troubles.is_empty(), "{troubles}");
}

fn settings(rows: &str, of_a_database: &str) -> String {
    let said = "what the page says of where settings are made is no longer so";
    assert_eq!(of_a_database, "walwarden.encoder superuser", "{said}");
    format!(
        "{NOTE}# Settings\n\nMade from `pg_settings`. All of them belong into `postgresql.conf`, or into `ALTER SYSTEM`, and take effect \
         on reload: `SELECT pg_reload_conf()`. A superuser can set `walwarden.encoder` for one database, too: `ALTER DATABASE shop SET \
         walwarden.encoder = copy`, and jobs that start afterwards follow it.\n\n| setting | default | type or range | |\n|---|---|---|---|\n{rows}\n\n\
         Three more, `walwarden.toc_only`, `walwarden.lock_group` and `walwarden.as_table_owner`, are set by walwarden for the sessions of \
         the pg_dump and pg_restore that it starts, and are not for use by hand.\n"
    )
}

fn error_classes() -> String {
    let mut text = format!(
        "{NOTE}# Error classes\n\nMade from the source. What they are and where they stand: [errors.md](../errors.md). *Passing*: the same \
         action may succeed later with nothing changed by hand; schedules with `retries` try again.\n\n\
         | class | SQLSTATE | passing | meaning | what to do |\n|---|---|---|---|---|\n"
    );
    for class in ErrorClass::ALL {
        let passing = if class.is_transient() { "yes" } else { "no" };
        let (name, state) = (class.name(), class.sqlstate());
        writeln!(text, "| `{name}` | {state} | {passing} | {} | {} |", class.meaning(), class.remedy())
            .unwrap();
    }
    text
}

fn sql(functions: &str, views: &str, tables: &str) -> String {
    format!(
        "{NOTE}# SQL reference\n\nMade from the catalogs: `\\df+ walwarden.*` and `\\d+ walwarden.*` say the same. Who may what: \
         [privileges.md](../privileges.md). Names that begin with `_` are for walwarden's own use.\n\n\
         ## Functions and procedures\n\nWhat has a `DEFAULT` may be left out, and is best given by name: `name => value`.\n\n\
         {functions}\n\n## Views\n\nFor people and programs; members of `pg_monitor` may read them.\n\n{views}\n\n\
         ## Tables\n\nWhat the views are made of. They belong to the extension: read the views, and change nothing here by hand.\n\n{tables}\n"
    )
}
