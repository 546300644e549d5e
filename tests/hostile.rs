//! What somebody who is no superuser can plant, and that it never runs with more rights than that role's own: beforehand in
//! the way of CREATE EXTENSION, in the search paths of others, and in tables that are backed up and restored.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use support::restores::{completes, restore};
use support::site::{APP, Site};
use support::{await_end, back_up, text};
use walwarden_testkit::Cluster;

/// Roles and the trap: a function that anybody may plant, which takes all rights it can get and says who ran it.
const TRAP: &str = "
    CREATE ROLE mallory LOGIN;
    GRANT CREATE ON DATABASE app TO mallory;
    GRANT CREATE ON SCHEMA public TO mallory;
    SET SESSION AUTHORIZATION mallory;
    CREATE SCHEMA evil;
    GRANT USAGE ON SCHEMA evil TO PUBLIC;
    CREATE FUNCTION evil.take() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        ALTER ROLE mallory SUPERUSER;
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END
    $$;
    -- Where PostgreSQL wants a function that changes nothing, it believes what it is told.
    CREATE FUNCTION evil.trap(place text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        RAISE LOG 'trap in % ran as %', place, current_user;
        PERFORM evil.take();
        RETURN true;
    END
    $$;";

/// Everything in a table's definition that runs code, in tables of mallory's. Each place has its trap.
const PLANTED: &str = "
    SET SESSION AUTHORIZATION mallory;
    CREATE DOMAIN public.odd AS integer CHECK (evil.trap('domain'));
    CREATE FUNCTION evil.same(n integer, place text) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN PERFORM evil.trap(place); RETURN n; END $$;
    CREATE FUNCTION evil.fires() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM evil.trap('trigger'); RETURN NEW; END $$;
    CREATE TABLE public.bait (
        n integer DEFAULT evil.same(1, 'default') CHECK (evil.trap('check')),
        o public.odd,
        g integer GENERATED ALWAYS AS (evil.same(n, 'generated column')) STORED
    );
    CREATE FUNCTION evil.whole(one public.bait) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT evil.trap('check of the row') $$;
    ALTER TABLE public.bait ADD CONSTRAINT whole CHECK (evil.whole(bait));
    INSERT INTO public.bait (n, o) SELECT n, n FROM generate_series(1, 100) AS n;
    CREATE INDEX ON public.bait (evil.same(n, 'index'));
    CREATE INDEX ON public.bait (n) WHERE evil.trap('predicate');
    CREATE STATISTICS public.planted (ndistinct) ON (evil.same(n, 'statistics')), n FROM public.bait;
    CREATE TRIGGER fires BEFORE INSERT OR UPDATE ON public.bait FOR EACH ROW EXECUTE FUNCTION evil.fires();
    ALTER TABLE public.bait ENABLE ALWAYS TRIGGER fires;
    ALTER TABLE public.bait ENABLE ROW LEVEL SECURITY;
    CREATE POLICY leak ON public.bait USING (evil.trap('policy'));
    CREATE VIEW public.look AS SELECT n FROM public.bait WHERE evil.trap('view');
    CREATE MATERIALIZED VIEW public.kept AS SELECT n FROM public.bait WHERE evil.trap('materialized view');
    CREATE TABLE public.part (n integer) PARTITION BY LIST (evil.same(n, 'partition key'));
    CREATE TABLE public.part_1 PARTITION OF public.part DEFAULT;
    INSERT INTO public.part SELECT generate_series(1, 100);
    -- So large that it is read in pieces, by queries.
    CREATE TABLE public.large (n integer, t text);
    INSERT INTO public.large SELECT n, repeat('x', 500) FROM generate_series(1, 60000) AS n;
    CREATE INDEX ON public.large (n) WHERE evil.trap('predicate of the large table');
    CREATE STATISTICS public.planted_too (ndistinct) ON (evil.same(1, 'statistics of the large table') + n), n FROM public.large;
    -- Names and texts that end quotes, lines and comments.
    CREATE TABLE public.\"x\"\"; ALTER ROLE mallory SUPERUSER; --\" (\"a'\\$$\nb\" integer);
    COMMENT ON TABLE public.\"x\"\"; ALTER ROLE mallory SUPERUSER; --\" IS 'c''\n\\connect postgres\n$$; ALTER ROLE mallory SUPERUSER; --';
    INSERT INTO public.\"x\"\"; ALTER ROLE mallory SUPERUSER; --\" VALUES (1);
    CREATE TABLE public.\"line\n\\! touch /tmp/pwned\n;ALTER ROLE mallory SUPERUSER\" (n integer);";

fn site() -> Site {
    let site = Site::local(
        Cluster::builder()
            .config("log_min_messages = log")
            // The trap changes what cannot be changed in a parallel operation.
            .config("max_parallel_maintenance_workers = 0")
            .config("max_parallel_workers_per_gather = 0"),
    );
    site.sql(TRAP);
    site
}

/// That mallory is what she was, and that no trap ran as anybody else.
fn assert_nothing_gained(cluster: &Cluster, after: &str) {
    assert_eq!(
        cluster.sql("postgres", "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"),
        "f",
        "after {after}"
    );
    let log = cluster.log();
    let others: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("trap in ").map(|(_, rest)| rest))
        .filter(|rest| rest.contains(" ran as ") && !rest.ends_with(" ran as mallory"))
        .collect();
    assert!(others.is_empty(), "after {after}: {others:?}");
}

fn has_sprung(cluster: &Cluster, place: &str) -> usize {
    cluster.log().matches(&format!("trap in {place} ran as mallory")).count()
}

#[test]
fn a_table_with_traps_is_backed_up_verified_and_restored() {
    let site = site();
    site.sql(PLANTED);
    let cluster = &site.cluster;
    assert_nothing_gained(cluster, "planting");
    let planned = has_sprung(cluster, "predicate of the large table");
    let backup = back_up(cluster, APP, "");
    let job = text(&backup, "id");
    assert_nothing_gained(cluster, "a backup");
    assert!(
        has_sprung(cluster, "predicate of the large table") > planned,
        "reading it in pieces was planned, as mallory"
    );
    let before = cluster.log().matches("trap in ").count();
    let verification = site.sql(&format!("SELECT walwarden.verify('{job}')"));
    completes(&await_end(cluster, APP, &verification));
    assert_eq!(cluster.log().matches("trap in ").count(), before, "a verification runs none of them");

    let (check, generated, domain) = (
        has_sprung(cluster, "check"),
        has_sprung(cluster, "generated column"),
        has_sprung(cluster, "domain"),
    );
    completes(&restore(cluster, APP, job, "'again'"));
    assert_nothing_gained(cluster, "restore()");
    assert!(has_sprung(cluster, "check") > check, "they did run, as mallory");
    assert!(has_sprung(cluster, "generated column") > generated);
    assert!(has_sprung(cluster, "domain") > domain);
    // Asked as mallory: a superuser's own query of this table is planned with all rights.
    let rows =
        "SET SESSION AUTHORIZATION mallory; SELECT count(*), sum(n), sum(o), sum(g) FROM ONLY public.bait";
    assert_eq!(cluster.sql("again", rows), site.sql(rows));

    let test = site.sql(&format!(
        "SELECT walwarden.restore_test('{job}'::uuid, smoke => 'SELECT count(*) FROM public.bait')"
    ));
    completes(&await_end(cluster, APP, &test));
    assert_nothing_gained(cluster, "restore_test()");

    // One table is made with the rights of the role that asked for it: whose code it is cannot be told there. A superuser gives
    // these rights away, as docs/security.md says.
    site.sql(
        "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA walwarden TO reader; GRANT CREATE ON SCHEMA public TO reader; \
         GRANT EXECUTE ON FUNCTION walwarden.restore_table(uuid, text, text, text) TO reader",
    );
    let copy = site.sql(&format!(
        "SET SESSION AUTHORIZATION reader; SELECT walwarden.restore_table('{job}', 'public.bait', 'public.bait_again')"
    ));
    completes(&await_end(cluster, APP, &copy));
    assert_eq!(cluster.sql("postgres", "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"), "f");
    let log = cluster.log();
    assert!(
        log.contains("trap in check ran as reader")
            && !log.contains(&format!("ran as {}", cluster.superuser()))
    );
}

/// Rows alone, into the tables as they are: whatever their owner has made of them since.
#[test]
fn rows_alone_go_into_a_table_with_traps() {
    let site = site();
    site.sql(PLANTED);
    let backup = back_up(&site.cluster, APP, "");
    let job = text(&backup, "id");
    site.sql("SET session_replication_role = replica; TRUNCATE public.bait");
    completes(&restore(&site.cluster, APP, job, "'app', data_only => true, tables => '{public.bait}'"));
    let count = "SET SESSION AUTHORIZATION mallory; SELECT count(*) FROM ONLY public.bait";
    assert_eq!(site.sql(count), "100");
    assert_nothing_gained(&site.cluster, "restore() of rows");
}

/// A schema of our name that somebody made first stops the installation; nothing is installed, and nothing runs.
#[test]
fn a_schema_of_our_name_stops_the_installation() {
    let site = site();
    let cluster = &site.cluster;
    cluster.create_database("squatted");
    cluster.sql(
        "squatted",
        "GRANT CREATE ON DATABASE squatted TO mallory; SET SESSION AUTHORIZATION mallory; CREATE SCHEMA walwarden; \
         CREATE FUNCTION walwarden._install() RETURNS void LANGUAGE sql AS 'ALTER ROLE mallory SUPERUSER'; \
         CREATE TABLE walwarden.job (id uuid)",
    );
    for path in ["public", "walwarden, public", "\"$user\", walwarden"] {
        let refusal = cluster
            .try_sql("squatted", &format!("SET search_path = {path}; CREATE EXTENSION walwarden"))
            .unwrap_err();
        assert!(refusal.contains("schema \"walwarden\" already exists"), "{refusal}");
    }
    let found = cluster.sql(
        "squatted",
        "SELECT (SELECT count(*) FROM pg_extension WHERE extname = 'walwarden'), nspowner::regrole \
           FROM pg_namespace WHERE nspname = 'walwarden'",
    );
    assert_eq!(found, "0|mallory");
    assert_nothing_gained(cluster, "CREATE EXTENSION");
}

/// For each operator and function of PostgreSQL that takes and gives common types, one with the same name in `evil`, which does the same
/// and springs the trap; and types of the same names.
const MIMICRY: &str = r#"
    SET SESSION AUTHORIZATION mallory;
    DO $make$
    DECLARE
        common oidvector := (SELECT string_agg(t::regtype::oid::text, ' ')::oidvector
                               FROM unnest('{text,integer,bigint,boolean,uuid,jsonb,interval,timestamptz,name,oid,"\"char\"",bytea,text[],regclass}'::text[]) AS t);
        it record;
    BEGIN
        FOR it IN
            SELECT o.oid, o.oprname, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS result
              FROM pg_operator AS o
             WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprleft = ANY (common) AND o.oprright = ANY (common)
               AND o.oprresult = ANY (common)
        LOOP
            EXECUTE format('CREATE FUNCTION evil.op_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS '
                           '$f$ BEGIN PERFORM evil.trap(%L); RETURN $1 OPERATOR(pg_catalog.%s) $2; END $f$',
                           it.oid, it.l, it.r, it.result, 'operator ' || it.oprname, it.oprname);
            EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.op_%s, LEFTARG = %s, RIGHTARG = %s)', it.oprname, it.oid, it.l, it.r);
        END LOOP;
        FOR it IN
            SELECT p.proname, p.oid::regprocedure AS signature, p.prorettype::regtype AS result,
                   (SELECT string_agg(a::regtype::text, ', ' ORDER BY place) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u (a, place)) AS arguments,
                   (SELECT string_agg('$' || place, ', ' ORDER BY place) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u (a, place)) AS passed
              FROM pg_proc AS p
             WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset AND p.provariadic = 0
               AND p.prorettype = ANY (common) AND p.proargtypes::oid[] <@ common::oid[]
        LOOP
            EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS '
                           '$f$ BEGIN PERFORM evil.trap(%L); RETURN pg_catalog.%I(%s); END $f$',
                           it.proname, it.arguments, it.result, 'function ' || it.proname, it.proname, it.passed);
        END LOOP;
        FOR it IN SELECT unnest('{text,int4,int8,bool,uuid,jsonb,interval,timestamptz,name,oid,bytea,regclass}'::text[]) AS name LOOP
            EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.%I CHECK (evil.trap(%L::pg_catalog.text))', it.name, it.name, 'type ' || it.name);
        END LOOP;
    END
    $make$;
"#;

/// Statements of a superuser whose search path begins with somebody else's schema. They name nothing that is not qualified.
#[test]
fn objects_that_mimic_postgresql_are_never_used() {
    let site = site();
    let cluster = &site.cluster;
    let planted = "SELECT count(*) > 400 FROM pg_proc WHERE pronamespace = 'evil'::regnamespace";
    site.sql(MIMICRY);
    assert_eq!(site.sql(planted), "t");
    // That the trap works: unqualified, it is hers.
    site.sql("SET search_path = evil, pg_catalog; SET SESSION AUTHORIZATION mallory; SELECT lower('A'::pg_catalog.text)");
    assert_eq!(has_sprung(cluster, "function lower"), 1);

    let backup = back_up(cluster, APP, "");
    let job = format!("'{}'::pg_catalog.uuid", text(&backup, "id"));
    let run = |statement: &str| {
        let hostile = format!("SET search_path = evil, pg_catalog, public; {statement}");
        cluster.try_sql(APP, &hostile).unwrap_or_else(|error| panic!("{statement}: {error}"))
    };
    run("CALL walwarden.backup()");
    let views = site
        .sql("SELECT relname FROM pg_class WHERE relnamespace = 'walwarden'::regnamespace AND relkind = 'v'");
    for view in views.lines() {
        run(&format!("SELECT * FROM walwarden.{view}"));
    }
    for statement in [
        "SELECT walwarden.schedule('nightly', '@daily', keep_daily => 3, rpo => '1 day', max_total_size => '5GB')",
        "SELECT * FROM walwarden.retention_plan('nightly')",
        "SELECT walwarden.pause('nightly')",
        "SELECT walwarden.resume('nightly')",
        "SELECT walwarden.unschedule('nightly')",
        "SELECT walwarden.add_storage('second', 'file:///tmp')",
        "SELECT walwarden.alter_storage('second', options => '{}')",
        "SELECT walwarden.drop_storage('second')",
        "SELECT * FROM walwarden.check_storage('local')",
        "SELECT walwarden.add_webhook('hook', 'https://hooks.example.com/x')",
        "SELECT walwarden.alter_webhook('hook', events => '{backup.failed}')",
        "SELECT walwarden.drop_webhook('hook')",
        "SELECT * FROM walwarden.verify_audit_chain()",
        "SELECT walwarden.public_key()",
        "SELECT walwarden.run_now(tables => '{public.customer}')",
    ] {
        run(statement);
    }
    for call in [
        format!("walwarden.manifest({job})"),
        format!("walwarden.wait_for({job})"),
        format!("walwarden.cancel({job})"),
        format!("walwarden.wait_for(walwarden.verify({job}, 'manifest'), NULL::pg_catalog.interval)"),
        format!("walwarden.restore_table({job}, 'public.customer', 'public.customer_again')"),
        format!("walwarden.restore_test({job})"),
        format!("walwarden.restore({job}, 'again')"),
        format!("walwarden.delete_backup({job}, 'no more')"),
    ] {
        // Waiting for what the same transaction queued is refused; that it was looked at is enough.
        let _ = cluster.try_sql(APP, &format!("SET search_path = evil, pg_catalog, public; SELECT {call}"));
    }
    cluster.create_database("later");
    cluster.sql(
        "later",
        &format!(
            "GRANT CREATE ON DATABASE later TO mallory; {}",
            TRAP.split_once("SET SESSION").map(|(_, rest)| format!("SET SESSION{rest}")).unwrap()
        ),
    );
    cluster.sql("later", MIMICRY);
    cluster.sql("later", "SET search_path = evil, pg_catalog; CREATE EXTENSION walwarden");
    assert_nothing_gained(cluster, "all of this");
}

/// read_table() runs with its caller's rights and path; where it looks the backup up, with its owner's.
#[test]
fn a_reader_gains_nothing_by_a_path_of_its_own() {
    let site = site();
    site.sql(MIMICRY);
    let backup = back_up(&site.cluster, APP, "");
    site.sql(
        "GRANT USAGE ON SCHEMA walwarden TO mallory; \
         GRANT EXECUTE ON FUNCTION walwarden.read_table(uuid, text, text), walwarden.restore_table(uuid, text, text, text) TO mallory",
    );
    let job = text(&backup, "id");
    let read = format!(
        "SET SESSION AUTHORIZATION mallory; SET search_path = evil, pg_catalog; \
         SELECT pg_catalog.count(*) FROM walwarden.read_table('{job}'::pg_catalog.uuid, 'public.customer') AS t(id pg_catalog.int4)"
    );
    assert_eq!(site.sql(&read), "1000");
    assert_nothing_gained(&site.cluster, "read_table()");
    // Into a table whose columns' types are hers.
    let copy = site.sql(&format!(
        "SET SESSION AUTHORIZATION mallory; SET search_path = evil, pg_catalog; \
         SELECT walwarden.restore_table('{job}'::pg_catalog.uuid, 'public.customer', 'evil.customer')"
    ));
    completes(&await_end(&site.cluster, APP, &copy));
    assert_nothing_gained(&site.cluster, "restore_table()");
}

/// Where no schema is selected, as in the sessions of careful people.
#[test]
fn create_extension_needs_no_search_path() {
    let cluster = Cluster::builder().start();
    cluster.create_database(APP);
    cluster.sql(APP, "SET client_min_messages = warning; SET search_path = ''; CREATE EXTENSION walwarden");
    let row = back_up(&cluster, APP, "");
    assert_eq!(text(&row, "state"), "completed");
}
