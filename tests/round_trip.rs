//! What walwarden writes to a folder is an archive of `pg_dump -Fc`: stock `pg_restore` makes the same database of it,
//! in every way it has, and manifest, checksums and signature agree with the bytes on disk.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{LocalBackup, number, text};
use walwarden_testkit::{
    Archive, Cluster, SampleDatabase, assert_same_database, compare_databases, wait_until,
};

/// Rows of the shop's large table: enough for several batches, and quick.
const SHOP_ROWS: u32 = 50_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether a program succeeded, and the lines it said, sorted: parallel jobs speak in any order.
type Outcome = (bool, Vec<String>);

fn outcome_of(output: &Output) -> Outcome {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut said: Vec<String> = said.lines().map(str::to_owned).collect();
    said.sort();
    (output.status.success(), said)
}

/// A backup of a database, and stock `pg_dump`'s archive of it, made before walwarden was installed there.
struct Pair<'a> {
    cluster: &'a Cluster,
    source: &'a str,
    ours: LocalBackup,
    stock: PathBuf,
}

impl<'a> Pair<'a> {
    fn make(cluster: &'a Cluster, source: &'a str) -> Self {
        let stock = cluster.folder().join(format!("{source}.stock"));
        let mut pg_dump = cluster.program("pg_dump");
        let dumped =
            support::run(pg_dump.env("PGDATABASE", source).arg("--format=custom").arg("-f").arg(&stock));
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        support::install(cluster, source);
        Self { cluster, source, ours: LocalBackup::make(cluster, source), stock }
    }

    /// Runs `pg_restore` once for each list of arguments, into a new database, which must become the same as the source.
    /// It must succeed and say nothing. Where it does not, it must do and say exactly what it does with the stock
    /// archive: a few things stock `pg_dump` and `pg_restore` cannot carry over either.
    fn restores_whole(&self, database: &str, runs: &[&[&str]]) -> Vec<Outcome> {
        let (ours, stock) = (Archive::File(&self.ours.archive), Archive::File(&self.stock));
        self.restores_whole_from(ours, stock, database, runs)
    }

    fn restores_whole_from(
        &self,
        ours: Archive<'_>,
        stock: Archive<'_>,
        database: &str,
        runs: &[&[&str]],
    ) -> Vec<Outcome> {
        let outcomes = self.outcomes(ours, database, runs);
        let is_silent = outcomes.iter().all(|(succeeded, said)| *succeeded && said.is_empty());
        let difference = compare_databases(self.cluster, self.source, self.cluster, database);
        if !is_silent || difference.is_err() {
            let by_stock = format!("{database}_stock");
            assert_eq!(outcomes, self.outcomes(stock, &by_stock, runs), "{runs:?}");
            if let Err(difference) = difference {
                println!("{runs:?}: not the same as the source:\n{difference}");
                assert_same_database(self.cluster, &by_stock, database);
            }
        }
        outcomes
    }

    fn outcomes(&self, archive: Archive<'_>, database: &str, runs: &[&[&str]]) -> Vec<Outcome> {
        self.cluster.create_database(database);
        let target = format!("--dbname={database}");
        runs.iter()
            .map(|arguments| {
                let arguments: Vec<&str> =
                    [target.as_str()].into_iter().chain(arguments.iter().copied()).collect();
                outcome_of(&self.cluster.pg_restore(&arguments, archive))
            })
            .collect()
    }

    /// `pg_restore -l`: without its header, which names the time, and without the numbers of the entries.
    fn listing(&self, archive: &Path) -> Vec<String> {
        list(self.cluster, archive)
            .lines()
            .filter(|line| !line.starts_with(';'))
            .map(|line| line.split_once("; ").expect("an entry").1.to_owned())
            .collect()
    }

    /// The ways that are the same for every database. `table` is one to restore alone: schema, name.
    fn restores_in_every_way(&self, table: (&str, &str)) {
        assert_eq!(self.listing(&self.ours.archive), self.listing(&self.stock), "pg_restore -l");
        let serial = self.restores_whole("serial", &[&[]]);
        self.restores_whole("parallel", &[&["--jobs=4"]]);
        self.restores_whole(
            "sections",
            &[&["--section=pre-data"], &["--section=data"], &["--section=post-data"]],
        );
        self.restores_whole(
            "sections_parallel",
            &[&["--section=pre-data"], &["--section=data", "--jobs=4"], &["--section=post-data", "--jobs=4"]],
        );
        self.restores_whole(
            "data_only",
            &[&["--schema-only"], &["--data-only", "--disable-triggers", "--jobs=4"]],
        );
        self.restores_from_a_pipe();
        self.restores_by_a_list();
        self.restores_one_table(table);
        self.restores_under_its_own_name(&serial[0]);
    }

    fn restores_from_a_pipe(&self) {
        let [ours, stock] =
            [&self.ours.archive, &self.stock].map(|path| std::fs::read(path).expect("an archive"));
        self.restores_whole_from(Archive::Stdin(&ours), Archive::Stdin(&stock), "pipe", &[&[]]);
    }

    /// A list of all entries, with the tables' data in the opposite order.
    fn restores_by_a_list(&self) {
        let listing = list(self.cluster, &self.ours.archive);
        let is_data = |line: &str| line.contains(" TABLE DATA ");
        let mut data: Vec<&str> = listing.lines().filter(|line| is_data(line)).collect();
        let reordered: Vec<&str> = listing
            .lines()
            .map(|line| if is_data(line) { data.pop().expect("as many as before") } else { line })
            .collect();
        let path = self.cluster.folder().join("list");
        std::fs::write(&path, reordered.join("\n")).expect("the cluster's folder is ours");
        let argument = format!("--use-list={}", path.display());
        self.restores_whole("by_list", &[&[&argument]]);
    }

    fn restores_one_table(&self, (schema, table): (&str, &str)) {
        self.cluster.create_database("one_table");
        self.cluster.sql("one_table", &format!("CREATE SCHEMA {}", quoted(schema)));
        let arguments = ["--schema", schema, "--table", table];
        support::restore_existing(self.cluster, Archive::File(&self.ours.archive), "one_table", &arguments);
        let rows = |database: &str| {
            let query = format!(
                "SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {}.{} t",
                quoted(schema),
                quoted(table)
            );
            self.cluster.sql(database, &query)
        };
        assert_eq!(rows("one_table"), rows(self.source));
        let tables = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384";
        assert_eq!(self.cluster.sql("one_table", tables), "1");
    }

    /// `pg_restore -C` makes the database itself. The source makes room first, which it could not with a session of
    /// walwarden left in it. The outcome is that of a restore into a database that was there.
    fn restores_under_its_own_name(&self, expected: &Outcome) {
        let moved = format!("{}_moved", self.source);
        let rename = format!("ALTER DATABASE {} RENAME TO {}", quoted(self.source), quoted(&moved));
        self.cluster.sql("postgres", &rename);
        let arguments = ["--create", "--jobs=2", "--dbname=postgres"];
        let output = self.cluster.pg_restore(&arguments, Archive::File(&self.ours.archive));
        assert_eq!(&outcome_of(&output), expected);
        assert_same_database(self.cluster, &moved, self.source);
    }
}

fn list(cluster: &Cluster, archive: &Path) -> String {
    let output = cluster.pg_restore(&["--list"], Archive::File(archive));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names in UTF-8")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The manifest as a test reads it: every number in it is compared with the database or with the bytes on disk.
struct Checked<'a> {
    cluster: &'a Cluster,
    database: &'a str,
    backup: &'a LocalBackup,
    manifest: Value,
    archive: Vec<u8>,
}

impl<'a> Checked<'a> {
    fn new(cluster: &'a Cluster, database: &'a str, backup: &'a LocalBackup) -> Self {
        let archive = std::fs::read(&backup.archive).expect("the archive");
        Self { cluster, database, backup, manifest: backup.read_manifest(), archive }
    }

    fn list(&self, value: &'a Value) -> &'a [Value] {
        value.as_array().expect("a list")
    }

    fn ask(&self, query: &str) -> String {
        self.cluster.sql(self.database, query)
    }

    /// The bytes that `part` (a part or a piece) speaks of, as `length` of them, have its checksum.
    fn has_bytes(&self, part: &Value, length: &str) {
        let start = usize::try_from(number(part, "offset")).expect("an offset");
        let end = start + usize::try_from(number(part, length)).expect("a length");
        assert_eq!(hex::encode(Sha256::digest(&self.archive[start..end])), text(part, "sha256"), "{part}");
    }

    fn objects_agree(&self) {
        let archive = &self.manifest["archive"];
        assert_eq!(text(archive, "sha256"), support::sha256sum(&self.backup.archive));
        assert_eq!(number(archive, "size"), self.archive.len() as u64);
        assert_eq!(text(archive, "key"), text(&self.backup.row, "object_key"));
        let globals = &self.manifest["globals"];
        assert_eq!(text(globals, "sha256"), support::sha256sum(&self.backup.globals));
        assert_eq!(number(globals, "size"), self.backup.globals.metadata().expect("globals").len());
        assert_eq!(text(globals, "key"), text(&self.backup.row, "globals_key"));
        let stored = self.ask(&format!("SELECT walwarden.manifest('{}')", text(&self.backup.row, "id")));
        assert_eq!(serde_json::from_str::<Value>(&stored).expect("JSON"), self.manifest);
    }

    fn parts_cover_the_archive(&self) {
        let mut end = 0;
        for part in self.list(&self.manifest["archive"]["parts"]) {
            assert_eq!(number(part, "offset"), end);
            end += number(part, "size");
            self.has_bytes(part, "size");
        }
        assert_eq!(end, self.archive.len() as u64);
    }

    /// `condition` names rows that `pg_dump` leaves out of an extension's own table.
    fn tables_agree(&self, condition: impl Fn(&str) -> &'static str) {
        let mut sums = [0; 3];
        for table in self.list(&self.manifest["tables"]) {
            let name = text(table, "name");
            let qualified = format!("{}.{}", quoted(text(table, "schema")), quoted(name));
            let counted = self.ask(&format!("SELECT count(*) FROM ONLY {qualified} {}", condition(name)));
            assert_eq!(number(table, "rows").to_string(), counted, "rows of {qualified}");
            let oid = format!("SELECT $t${qualified}$t$::regclass::oid");
            assert_eq!(number(table, "oid").to_string(), self.ask(&oid), "{qualified}");

            // A block begins with its kind, 1, and the number of its entry: a sign byte and four bytes.
            let start = usize::try_from(number(table, "block_offset")).expect("an offset");
            let id = u32::try_from(number(table, "dump_id")).expect("an id").to_le_bytes();
            assert_eq!(self.archive[start..start + 6], [&[1, 0], &id[..]].concat(), "{qualified}");
            let sum =
                |name: &str| self.list(&table["pieces"]).iter().map(|piece| number(piece, name)).sum::<u64>();
            assert_eq!((sum("rows"), sum("raw_length")), (number(table, "rows"), number(table, "raw_bytes")));
            for piece in self.list(&table["pieces"]) {
                assert!(number(piece, "offset") > number(table, "block_offset"));
                self.has_bytes(piece, "length");
            }
            sums = [sums[0] + 1, sums[1] + number(table, "rows"), sums[2] + number(table, "raw_bytes")];
        }
        let totals = &self.manifest["totals"];
        assert_eq!(sums, ["tables", "rows", "raw_bytes"].map(|name| number(totals, name)));
        let row = &self.backup.row;
        assert_eq!((number(row, "tables"), number(row, "rows")), (sums[0], sums[1]));

        let objects = &self.manifest["large_objects"];
        let counted =
            self.ask("SELECT count(*), coalesce(sum(length(lo_get(oid))), 0) FROM pg_largeobject_metadata");
        assert_eq!(format!("{}|{}", number(objects, "count"), number(objects, "raw_bytes")), counted);
        assert_eq!(number(row, "raw_bytes"), sums[2] + number(objects, "raw_bytes"));
    }

    fn names_where_it_came_from(&self) {
        let manifest = &self.manifest;
        let row = &self.backup.row;
        assert_eq!(text(&manifest["format"], "name"), "walwarden-manifest");
        assert_eq!(number(&manifest["format"], "version"), 1);
        assert_eq!(text(&manifest["job"], "id"), text(row, "id"));
        assert_eq!(text(&manifest["job"], "requested_by"), self.cluster.superuser());
        assert_eq!(text(manifest, "organization"), "default");
        assert_eq!(text(&manifest["database"], "name"), self.database);
        let facts = "SELECT current_setting('server_encoding'), system_identifier, current_setting('server_version_num') \
                     FROM pg_control_system()";
        let named = [
            text(&manifest["database"], "encoding"),
            text(&manifest["database"], "system_identifier"),
            &number(&manifest["server_version"], "number").to_string(),
        ];
        assert_eq!(self.ask(facts), named.join("|"));
        assert_eq!(text(&manifest["database"], "id"), self.ask("SELECT id FROM walwarden.database"));
        let extensions = "SELECT extname, extversion FROM pg_extension ORDER BY extname COLLATE \"C\"";
        let named: Vec<String> = self
            .list(&manifest["extensions"])
            .iter()
            .map(|extension| format!("{}|{}", text(extension, "name"), text(extension, "version")))
            .collect();
        assert_eq!(self.ask(extensions), named.join("\n"));
        assert_eq!(text(&manifest["snapshot"], "lsn"), text(row, "snapshot_lsn"));
        let head = &manifest["audit_head"];
        let entry =
            format!("SELECT encode(hash, 'hex') FROM walwarden.audit WHERE seq = {}", number(head, "seq"));
        assert_eq!(self.ask(&entry), text(head, "hash"));
    }
}

/// All files and folders below `root`: path and mode.
fn tree(root: &Path) -> BTreeSet<(String, u32)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.metadata().expect("an entry");
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            found.insert((name, metadata.permissions().mode() & 0o7777));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn the_shop_restores_in_every_way_that_pg_restore_has() {
    let cluster = Cluster::builder().start();
    SampleDatabase::create_with_rows(&cluster, "shop", SHOP_ROWS);
    Pair::make(&cluster, "shop").restores_in_every_way(("sales", "order_line"));
}

#[test]
fn the_odd_things_restore_in_every_way_that_pg_restore_has() {
    let cluster = Cluster::builder().start();
    SampleDatabase::create_hard(&cluster, "hard");
    Pair::make(&cluster, "hard").restores_in_every_way(("Odd names", "Straße 表 🐘"));
}

/// Every number of the manifest agrees with the database and with the bytes on disk, and stock `openssl` verifies it.
#[test]
fn the_manifest_says_what_is_there() {
    let cluster = Cluster::builder().start();
    SampleDatabase::create_with_rows(&cluster, "shop", SHOP_ROWS);
    SampleDatabase::create_hard(&cluster, "hard");
    for database in ["shop", "hard"] {
        support::install(&cluster, database);
        cluster.sql(
            database,
            "SELECT walwarden.schedule('nightly', '0 2 * * *', time_zone => 'Europe/Berlin');
             SELECT walwarden.schedule('by hand'); SELECT walwarden.pause('by hand')",
        );
        let backup = LocalBackup::make(&cluster, database);
        let checked = Checked::new(&cluster, database, &backup);
        checked.objects_agree();
        checked.parts_cover_the_archive();
        checked.tables_agree(|table| if table == "fixture_rule" { "WHERE NOT builtin" } else { "" });
        checked.names_where_it_came_from();
        let schedules = serde_json::json!([
            {"name": "by hand", "time_zone": "UTC", "storages": ["local"], "enabled": false},
            {"name": "nightly", "cron": "0 2 * * *", "time_zone": "Europe/Berlin", "storages": ["local"], "enabled": true},
        ]);
        assert_eq!(checked.manifest["schedules"], schedules);

        let key = support::public_key(&cluster, database);
        assert!(support::openssl_verifies(&key, &backup.manifest, &backup.signature));
        assert_eq!(backup.signature.metadata().unwrap().len(), 64);
    }
}

/// Exactly four objects, at the documented paths, that nobody but the server's user can read.
#[test]
fn the_objects_lie_where_the_format_says() {
    let cluster = Cluster::builder().config("walwarden.organization = 'acme'").preload_walwarden().start();
    cluster.create_database("shop");
    support::install(&cluster, "shop");
    let row = support::back_up(&cluster, "shop", "");
    let backup = LocalBackup::of(&cluster, row);
    let job = text(&backup.row, "id");
    let query = format!(
        "SELECT database.id, to_char(queued_at AT TIME ZONE 'UTC', 'YYYY/MM/DD') \
         FROM walwarden.database, walwarden.jobs WHERE jobs.id = '{job}'"
    );
    let answer = cluster.sql("shop", &query);
    let (database, day) = answer.split_once('|').unwrap();
    let stem = format!("org/acme/db/{database}/backup/{day}/{job}");
    let mut expected: BTreeSet<(String, u32)> = Path::new(&stem)
        .ancestors()
        .skip(1)
        .filter(|folder| !folder.as_os_str().is_empty())
        .map(|folder| (folder.display().to_string(), 0o700))
        .collect();
    let endings = ["dump", "globals.sql", "manifest.json", "manifest.json.sig"];
    expected.extend(endings.map(|ending| (format!("{stem}.{ending}"), 0o600)));
    // What of the audit chain lies beside it comes in its own time.
    let mut found = tree(&backup.root);
    found.retain(|(name, _)| !name.contains("/audit"));
    assert_eq!(found, expected);

    // The signing key is nobody else's either.
    let home = tree(&cluster.data_dir().join("pg_walwarden"));
    assert!(
        home.contains(&("keys".to_owned(), 0o700)) && home.contains(&("keys/signing.pem".to_owned(), 0o600))
    );
    // UUIDv7: ids sort by time.
    assert_eq!(job.as_bytes()[14], b'7', "{job}");
}

/// Where walwarden is not installed, globals and archive restore without a complaint, and hold no word of it.
#[test]
fn another_cluster_needs_no_walwarden() {
    let source = Cluster::builder().start();
    SampleDatabase::create_with_rows(&source, "shop", SHOP_ROWS);
    support::install(&source, "shop");
    source.sql("shop", "SELECT walwarden.schedule('nightly', '0 2 * * *'); GRANT pg_monitor TO shop_clerk");
    let backup = LocalBackup::make(&source, "shop");

    let script = source.pg_restore(&["--file=-"], Archive::File(&backup.archive));
    let globals = std::fs::read(&backup.globals).unwrap();
    for written in [&script.stdout, &globals] {
        let written = String::from_utf8_lossy(written);
        assert!(!written.is_empty() && !written.contains("walwarden"), "{written}");
    }

    let target = Cluster::builder().start();
    let mut psql = target.program("psql");
    let restored = support::run(psql.args(["-X", "-d", "postgres", "-f"]).arg(&backup.globals));
    let said = String::from_utf8_lossy(&restored.stderr);
    assert!(said.lines().all(|line| line.ends_with(" already exists")), "{said}");
    support::restore(&target, Archive::File(&backup.archive), "shop", &["--jobs=2"]);
    compare_databases(&source, "shop", &target, "shop").unwrap();
}

/// Nothing configured, nothing preloaded: `CREATE EXTENSION`, then `CALL backup()`, which waits and tells how it goes.
#[test]
fn a_backup_right_after_create_extension() {
    for preloaded in [false, true] {
        let builder = Cluster::builder();
        let cluster = if preloaded { builder.preload_walwarden().start() } else { builder.start() };
        cluster.create_database("shop");
        cluster.sql("shop", "CREATE TABLE t AS SELECT n FROM generate_series(1, 10) n");
        let output = cluster.psql("shop", "CREATE EXTENSION walwarden;\nCALL walwarden.backup();");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("completed: 1 tables, 10 rows"), "{said}");

        let query = "SELECT row_to_json(j) FROM walwarden.jobs AS j";
        let backup = LocalBackup::of(&cluster, serde_json::from_str(&cluster.sql("shop", query)).unwrap());
        support::restore(&cluster, Archive::File(&backup.archive), "restored", &[]);
        assert_same_database(&cluster, "shop", "restored");
        let status =
            "SELECT last_backup IS NOT NULL, failed_since IS NULL, jobs_to_clean_up FROM walwarden.status";
        assert_eq!(cluster.sql("shop", status), "t|t|0");
    }
}

/// The archive shows one moment: while a backup copies, transactions that write two tables commit, and it holds both of
/// their rows or none.
#[test]
fn writers_do_not_disturb_the_snapshot() {
    let cluster = Cluster::builder().start();
    SampleDatabase::create(&cluster, "shop");
    support::install(&cluster, "shop");
    // In the order of names, one comes before the shop's large tables and one after.
    cluster.sql(
        "shop",
        "CREATE SCHEMA a; CREATE SCHEMA z;
         CREATE TABLE a.debit (n int PRIMARY KEY, amount int, at timestamptz DEFAULT clock_timestamp());
         CREATE TABLE z.credit (n int PRIMARY KEY, amount int, at timestamptz DEFAULT clock_timestamp())",
    );
    let done = AtomicBool::new(false);
    let row = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = cluster.client("shop");
            for n in 1.. {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                let mut transaction = client.transaction().unwrap();
                transaction.execute("INSERT INTO z.credit VALUES ($1, $1::int)", &[&n]).unwrap();
                transaction.execute("INSERT INTO a.debit VALUES ($1, 0 - $1::int)", &[&n]).unwrap();
                transaction.commit().unwrap();
            }
        });
        let has_begun = || (cluster.sql("shop", "SELECT EXISTS (SELECT FROM a.debit)") == "t").then_some(());
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until("the writer to begin", PATIENCE, has_begun);
            support::back_up(&cluster, "shop", "")
        }));
        done.store(true, Ordering::SeqCst);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let during = format!(
        "SELECT count(*) > 0 FROM a.debit WHERE at BETWEEN '{}' AND '{}'",
        text(&row, "snapshot_at"),
        text(&row, "finalizing_at")
    );
    assert_eq!(cluster.sql("shop", &during), "t", "nothing was written during the backup");

    let backup = LocalBackup::of(&cluster, row);
    support::restore(&cluster, Archive::File(&backup.archive), "restored", &["--jobs=2"]);
    let unpaired = "SELECT count(*) FROM a.debit FULL JOIN z.credit USING (n) WHERE debit.amount IS DISTINCT FROM -credit.amount";
    assert_eq!(cluster.sql("restored", unpaired), "0");
    let count = "SELECT count(*) FROM a.debit";
    let [restored, written] =
        ["restored", "shop"].map(|database| cluster.sql(database, count).parse::<u64>().unwrap());
    assert!(0 < restored && restored < written, "{restored} of {written}");
}

/// A TRUNCATE that commits while the backup waits for the table's lock is part of what is backed up: the snapshot is
/// taken after the locks. Taken before, the table would be found empty.
#[test]
fn a_truncate_just_before_is_seen_whole() {
    let cluster = Cluster::builder().start();
    cluster.create_database("shop");
    cluster.sql("shop", "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n");
    support::install(&cluster, "shop");

    let mut client = cluster.client("shop");
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute("TRUNCATE t; INSERT INTO t VALUES (7), (8), (9)").unwrap();
    let job = support::run_now(&cluster, "shop", "");
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND NOT granted";
    wait_until("the backup to wait for the table", PATIENCE, || {
        (cluster.sql("shop", waiting) == "1").then_some(())
    });
    transaction.commit().unwrap();

    let row = support::await_end(&cluster, "shop", &job);
    assert_eq!((text(&row, "state"), number(&row, "rows")), ("completed", 3), "{row:#}");
    let backup = LocalBackup::of(&cluster, row);
    support::restore(&cluster, Archive::File(&backup.archive), "restored", &[]);
    assert_same_database(&cluster, "shop", "restored");
}

/// Thousands of tables and hundreds of partitions are locked, copied and restored like a few.
#[test]
fn many_tables_and_many_partitions() {
    let cluster = Cluster::builder().start();
    cluster.create_database("many");
    cluster.sql(
        "many",
        "SELECT format('CREATE TABLE small_%s AS SELECT %s AS n, ''row of %s'' AS t', n, n, n) FROM generate_series(1, 2000) n \\gexec
         CREATE TABLE measured (day int NOT NULL, value int, PRIMARY KEY (day)) PARTITION BY RANGE (day);
         SELECT format('CREATE TABLE measured_%s PARTITION OF measured FOR VALUES FROM (%s) TO (%s)', n, n * 10, n * 10 + 10)
           FROM generate_series(0, 199) n \\gexec
         INSERT INTO measured SELECT n, n FROM generate_series(0, 1999) n",
    );
    support::install(&cluster, "many");
    let backup = LocalBackup::make(&cluster, "many");
    assert_eq!((number(&backup.row, "tables"), number(&backup.row, "rows")), (2200, 4000));
    support::restore(&cluster, Archive::File(&backup.archive), "restored", &["--jobs=4"]);
    assert_same_database(&cluster, "many", "restored");
}
