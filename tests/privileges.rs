//! Privileges: what docs/privileges.md says is what the catalogs say, and what the server does when somebody tries. Driven by
//! the catalogs, so that an object that comes later is looked at too.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::OnceLock;
use support::site::{APP, Site};
use support::{await_end, back_up, run, text};
use walwarden_testkit::{Cluster, postgres};

/// What is documented.
const DOCUMENT: &str = include_str!("../docs/privileges.md");
/// "insufficient_privilege".
const REFUSED: &str = "42501";

/// Lines of the document's tables, by the catalogs. `stranger` has no rights of its own: what it may, PUBLIC may.
const MATRIX: &str = "
    WITH granted (role) AS (VALUES ('stranger'::name), ('pg_monitor'), ('backup_operator')),
    object AS (
        SELECT 1 AS part, format('SCHEMA %s', n.nspname) AS name, '' AS rights,
               (SELECT string_agg(coalesce((SELECT string_agg(p, ', ' ORDER BY p) FROM unnest('{USAGE,CREATE}'::text[]) AS p
                                             WHERE has_schema_privilege(g.role, n.oid, p)), '-'), ' | ') FROM granted AS g) AS may
          FROM pg_namespace AS n WHERE n.nspname = 'walwarden'
        UNION ALL
        SELECT 2, c.relname, CASE WHEN c.relkind = 'v' THEN 'owner' ELSE '' END,
               (SELECT string_agg(coalesce((SELECT string_agg(p, ', ' ORDER BY p)
                                              FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS p
                                             WHERE has_table_privilege(g.role, c.oid, p)), '-'), ' | ') FROM granted AS g)
          FROM pg_class AS c WHERE c.relnamespace = 'walwarden'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        UNION ALL
        SELECT 3, c.relname, '',
               (SELECT string_agg(coalesce((SELECT string_agg(p, ', ' ORDER BY p) FROM unnest('{SELECT,USAGE,UPDATE}'::text[]) AS p
                                             WHERE has_sequence_privilege(g.role, c.oid, p)), '-'), ' | ') FROM granted AS g)
          FROM pg_class AS c WHERE c.relnamespace = 'walwarden'::regnamespace AND c.relkind = 'S'
        UNION ALL
        SELECT 4, format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)), CASE WHEN p.prosecdef THEN 'owner' ELSE 'caller' END,
               (SELECT string_agg(CASE WHEN has_function_privilege(g.role, p.oid, 'EXECUTE') THEN 'EXECUTE' ELSE '-' END, ' | ')
                  FROM granted AS g)
          FROM pg_proc AS p WHERE p.pronamespace = 'walwarden'::regnamespace)
    SELECT format('| `%s` | %s | %s | all |', name, rights, may) FROM object ORDER BY part, name";

/// A cluster with a completed backup, whose operator was made by the document's own statements.
fn site() -> &'static (Site, String) {
    static SITE: OnceLock<(Site, String)> = OnceLock::new();
    SITE.get_or_init(|| {
        let site = Site::local(Cluster::builder());
        site.sql(
            "CREATE ROLE stranger LOGIN; CREATE ROLE watcher LOGIN IN ROLE pg_monitor; CREATE ROLE backup_operator LOGIN; \
             GRANT CREATE ON SCHEMA public TO stranger",
        );
        site.sql(&statements_of_the_document());
        let backup = back_up(&site.cluster, APP, "");
        let job = text(&backup, "id").to_owned();
        (site, job)
    })
}

fn statements_of_the_document() -> String {
    let (_, block) = DOCUMENT.split_once("```sql\n").expect("the document has statements");
    block.split_once("```").expect("they end").0.to_owned()
}

fn lines(text: &str) -> BTreeSet<String> {
    // Six cells: other tables of the document have fewer.
    let is_of_matrix = |line: &&str| line.starts_with("| `") && line.matches(" | ").count() == 5;
    text.lines().filter(is_of_matrix).map(str::to_owned).collect()
}

#[test]
fn what_is_documented_is_what_the_catalogs_say() {
    let (site, _) = site();
    let (documented, actual) = (lines(DOCUMENT), lines(&site.sql(MATRIX)));
    let mut difference = String::new();
    for line in documented.difference(&actual) {
        writeln!(difference, "not so: {line}").unwrap();
    }
    for line in actual.difference(&documented) {
        writeln!(difference, "not in docs/privileges.md: {line}").unwrap();
    }
    assert_eq!(difference, "");
    // What the matrix does not list: nobody but the owner has anything of types, the rows of tables excepted, and no column has
    // rights of its own.
    let others = site.sql(
        "SELECT t.oid::regtype::text FROM pg_type AS t \
                CROSS JOIN aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) AS a \
          WHERE t.typnamespace = 'walwarden'::regnamespace AND t.typcategory <> 'A' AND a.grantee <> t.typowner \
            AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = t.typrelid AND c.relkind <> 'c') \
         UNION ALL SELECT a.attrelid::regclass::text FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid \
          WHERE a.attacl IS NOT NULL AND c.relnamespace = 'walwarden'::regnamespace",
    );
    assert_eq!(others, "");
}

/// Whoever dumps the database by other means hears nothing of walwarden: pg_dump warns of privileges that it cannot write down.
#[test]
fn pg_dump_has_nothing_to_say() {
    let (site, _) = site();
    for arguments in [&["--schema-only"][..], &["--schema-only", "--binary-upgrade"]] {
        let output = run(site.cluster.program("pg_dump").args(arguments).arg(APP));
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

/// Whatever the functions do with another's rights, they look names up where only the owner of the database system can
/// make any.
#[test]
fn every_function_looks_names_up_in_pg_catalog() {
    let (site, _) = site();
    let unpinned = site.sql(
        "SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'walwarden'::regnamespace AND prosecdef \
            AND NOT coalesce(proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)",
    );
    assert_eq!(unpinned, "", "SECURITY DEFINER without a path");
    // Those that run with their caller's rights have one too where they are written in SQL; PostgreSQL forbids COMMIT in a
    // procedure that has.
    let unpinned = site.sql(
        "SELECT p.oid::regprocedure FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang \
          WHERE p.pronamespace = 'walwarden'::regnamespace AND l.lanname IN ('sql', 'plpgsql') \
            AND NOT coalesce(p.proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)",
    );
    assert_eq!(
        unpinned.lines().map(|line| line.split('(').next().unwrap()).collect::<Vec<_>>(),
        ["walwarden.backup"]
    );
}

#[test]
fn the_extension_has_its_objects_in_its_schema_and_its_owner_owns_them_all() {
    let (site, _) = site();
    let elsewhere = site.sql(
        "SELECT d.classid::regclass, pg_describe_object(d.classid, d.objid, 0) FROM pg_depend AS d JOIN pg_extension AS e \
                ON e.oid = d.refobjid AND e.extname = 'walwarden' \
          WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND coalesce( \
                (SELECT relnamespace FROM pg_class WHERE oid = d.objid AND d.classid = 'pg_class'::regclass), \
                (SELECT pronamespace FROM pg_proc WHERE oid = d.objid AND d.classid = 'pg_proc'::regclass), \
                (SELECT typnamespace FROM pg_type WHERE oid = d.objid AND d.classid = 'pg_type'::regclass), \
                (SELECT oid FROM pg_namespace WHERE oid = d.objid AND d.classid = 'pg_namespace'::regclass)) \
                IS DISTINCT FROM 'walwarden'::regnamespace",
    );
    assert_eq!(elsewhere, "");
    let others = site.sql(
        "SELECT c.oid::regclass::text FROM pg_class AS c, pg_extension AS e \
          WHERE relnamespace = 'walwarden'::regnamespace AND relowner <> e.extowner AND e.extname = 'walwarden' \
         UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc AS p, pg_extension AS e \
          WHERE pronamespace = 'walwarden'::regnamespace AND proowner <> e.extowner AND e.extname = 'walwarden' \
         UNION ALL SELECT nspname FROM pg_namespace, pg_extension AS e \
          WHERE nspname = 'walwarden' AND nspowner <> e.extowner AND e.extname = 'walwarden'",
    );
    assert_eq!(others, "");
}

/// Every use of every object, with what PostgreSQL says to each.
struct Attempts {
    client: postgres::Client,
}

impl Attempts {
    fn of(site: &Site, role: &str) -> Self {
        let mut client = site.cluster.client_as(role, APP);
        // Nothing of what succeeds stays, and nothing waits.
        client.batch_execute("SET statement_timeout = '20s'; SET lock_timeout = '5s'").expect("a session");
        Self { client }
    }

    /// None where it works.
    fn refusal(&mut self, statement: &str) -> Option<String> {
        self.client.batch_execute("BEGIN").expect("a transaction");
        let outcome = self.client.batch_execute(statement);
        self.client.batch_execute("ROLLBACK").expect("the end of it");
        outcome
            .err()
            .map(|error| error.code().unwrap_or_else(|| panic!("{statement}: {error}")).code().to_owned())
    }

    fn is_refused(&mut self, statement: &str) -> bool {
        self.refusal(statement).as_deref() == Some(REFUSED)
    }
}

/// One use of each routine: its name as the document has it, and the statement. Its arguments are NULL, which the planner does not
/// know: it would not even ask whether a function that makes NULL of NULL may be called.
fn calls(site: &Site) -> Vec<(String, String)> {
    let calls = site.sql(
        "SELECT format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)), \
                format(CASE WHEN p.prokind = 'p' THEN 'CALL walwarden.%I(%s)' \
                            WHEN p.prorettype = 'trigger'::regtype \
                            THEN 'CREATE TEMP TABLE mine (); CREATE TRIGGER mine BEFORE INSERT ON mine EXECUTE FUNCTION walwarden.%I(%s)' \
                            WHEN p.prorettype = 'record'::regtype AND p.proargmodes IS NULL \
                            THEN 'SELECT FROM walwarden.%I(%s) AS t(a integer)' ELSE 'SELECT FROM walwarden.%I(%s)' END, \
                       p.proname, \
                       (SELECT string_agg(format('CASE WHEN pg_catalog.random() > 2 THEN NULL::%s END', \
                                                 CASE a.type WHEN 'anyelement'::regtype THEN 'integer'::regtype ELSE a.type::regtype END), ', ' ORDER BY a.place) \
                          FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, place))) \
           FROM pg_proc AS p \
          WHERE p.pronamespace = 'walwarden'::regnamespace AND 'internal'::regtype <> ALL (p.proargtypes::oid[]) ORDER BY 1",
    );
    calls
        .lines()
        .map(|line| line.split_once('|').expect("two columns"))
        .map(|(a, b)| (a.into(), b.into()))
        .collect()
}

fn relations(site: &Site) -> Vec<String> {
    site.sql(
        "SELECT relname FROM pg_class WHERE relnamespace = 'walwarden'::regnamespace AND relkind IN ('r', 'v', 'S') ORDER BY 1",
    )
    .lines()
    .map(str::to_owned)
    .collect()
}

fn writes(relation: &str) -> [String; 3] {
    [
        format!("DELETE FROM walwarden.{relation}"),
        format!("TRUNCATE walwarden.{relation}"),
        format!("INSERT INTO walwarden.{relation} DEFAULT VALUES"),
    ]
}

#[test]
fn a_role_without_grants_is_refused_everywhere_also_past_the_schema() {
    let (site, _) = site();
    let mut attempts = Attempts::of(site, "stranger");
    let mut try_all = || {
        let mut allowed = Vec::new();
        for relation in relations(site) {
            let read = format!("SELECT FROM walwarden.{relation}");
            for statement in std::iter::once(read).chain(writes(&relation)) {
                if !attempts.is_refused(&statement) {
                    // A sequence, or a view that stranger can write to: by its kind.
                    let kind = attempts.refusal(&statement);
                    if kind.as_deref() != Some("42809") && kind.as_deref() != Some("55000") {
                        allowed.push(statement);
                    }
                }
            }
        }
        for (_, statement) in calls(site) {
            if !attempts.is_refused(&statement) {
                allowed.push(statement);
            }
        }
        allowed
    };
    assert_eq!(try_all(), Vec::<String>::new());
    // The schema is not the only wall.
    site.sql("GRANT USAGE ON SCHEMA walwarden TO stranger");
    let allowed = try_all();
    site.sql("REVOKE USAGE ON SCHEMA walwarden FROM stranger");
    assert_eq!(allowed, Vec::<String>::new());
    assert!(attempts.is_refused("CREATE TABLE walwarden.mine (a integer)"));
    assert!(attempts.is_refused("CREATE TABLE mine (j walwarden.job)"));
}

/// What a role may by the document: the objects with something in this column of the matrix.
fn documented(column: usize) -> BTreeSet<String> {
    lines(DOCUMENT)
        .iter()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[column] != "-").then(|| cells[1].trim_matches('`').to_owned())
        })
        .collect()
}

fn assert_may_exactly(role: &str, column: usize) {
    let (site, _) = site();
    let may = documented(column);
    let mut attempts = Attempts::of(site, role);
    for relation in relations(site) {
        let refusal = attempts.refusal(&format!("SELECT FROM walwarden.{relation}"));
        let expected = (!may.contains(&relation)).then(|| REFUSED.to_owned());
        assert_eq!(refusal, expected, "{role} reads {relation}");
        for statement in writes(&relation) {
            assert!(attempts.refusal(&statement).is_some(), "{role}: {statement}");
        }
    }
    for (name, statement) in calls(site) {
        // Whether it likes NULL is another matter.
        let refused = attempts.is_refused(&statement);
        assert_eq!(refused, !may.contains(&name), "{role}: {statement}");
    }
}

#[test]
fn a_monitor_may_what_is_documented_and_nothing_else() {
    assert_may_exactly("watcher", 4);
}

#[test]
fn an_operator_may_what_is_documented_and_nothing_else() {
    assert_may_exactly("backup_operator", 5);
}

/// The document's statements are enough to work with.
#[test]
fn an_operator_backs_up_verifies_and_cancels() {
    let (site, _) = site();
    let run = |script: &str| site.sql(&format!("SET SESSION AUTHORIZATION backup_operator; {script}"));
    let job = run("SELECT walwarden.run_now()");
    assert_eq!(run(&format!("SELECT walwarden.wait_for('{job}', '5 minutes')")), "completed");
    assert_eq!(
        run(&format!("SELECT requested_by FROM walwarden.jobs WHERE id = '{job}'")),
        "backup_operator"
    );
    let verification = run(&format!("SELECT walwarden.verify('{job}')"));
    assert_eq!(run(&format!("SELECT walwarden.wait_for('{verification}', '5 minutes')")), "completed");
    assert_eq!(run(&format!("SELECT walwarden.manifest('{job}') #>> '{{database,name}}'")), APP);
    assert!(run("SELECT walwarden.public_key()").contains("BEGIN PUBLIC KEY"));
    assert_eq!(run("SELECT bool_and(ok) FROM walwarden.verify_audit_chain()"), "t");
    run("CALL walwarden.backup()");
    // Whoever stops it, in time or not: it ends.
    let stopped = run("SELECT walwarden.run_now()");
    run(&format!("SELECT walwarden.cancel('{stopped}')"));
    let state = await_end(&site.cluster, APP, &stopped)["state"].clone();
    assert!(state == "canceled" || state == "completed", "{state}");
    for refused in [
        "SELECT walwarden.restore(walwarden.run_now(), 'mine')",
        "SELECT walwarden.add_storage('mine', 'file:///tmp')",
        "SELECT walwarden.schedule('mine', '@daily')",
        "SELECT count(*) FROM walwarden.audit",
        "SELECT walwarden.public_key(); SET walwarden.storage_allow = '0.0.0.0/0'",
        "ALTER SYSTEM SET walwarden.webhook_allow = '0.0.0.0/0'",
    ] {
        let refusal =
            site.cluster.try_sql(APP, &format!("SET SESSION AUTHORIZATION backup_operator; {refused}"));
        assert!(refusal.is_err(), "{refused}: {refusal:?}");
    }
}

/// Default privileges of whoever installs it add nothing.
#[test]
fn default_privileges_of_the_installer_add_nothing() {
    let (site, _) = site();
    site.cluster.create_database("generous");
    site.cluster.sql(
        "generous",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO stranger, PUBLIC; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO stranger; \
         ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO stranger; ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO stranger; \
         ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO stranger WITH GRANT OPTION",
    );
    support::install(&site.cluster, "generous");
    let matrix =
        |database: &str| lines(&site.cluster.sql(database, &MATRIX.replace("backup_operator", "stranger")));
    assert_eq!(matrix("generous"), matrix(APP));
}
