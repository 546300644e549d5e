//! walwarden.report(): what is on the page is what is in the database, and a browser shows it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::site::{APP, PATIENCE, Site};
use support::{LocalBackup, await_end, back_up, run_now, text};
use walwarden_testkit::Cluster;

/// A name that no page should believe.
const HOSTILE: &str = "<img src=x onerror=document.title=1>";

fn report(site: &Site, arguments: &str) -> String {
    site.sql(&format!("SELECT walwarden.report({arguments})"))
}

/// A page in a file that a browser opens, and a folder for the browser's own things.
struct Browser {
    page: PathBuf,
    folder: PathBuf,
}

impl Browser {
    fn open(site: &Site, name: &str, html: &str) -> Self {
        let folder = site.cluster.folder().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let page = folder.join("report.html");
        std::fs::write(&page, html).unwrap();
        Self { page, folder }
    }

    /// What it prints; nothing may be on its console.
    fn run(&self, arguments: &[&str]) -> String {
        self.run_on(&self.page, arguments)
    }

    fn run_on(&self, page: &Path, arguments: &[&str]) -> String {
        let (printed, told) = self.run_telling(page, arguments);
        assert!(!told.contains("CONSOLE"), "{told}");
        printed
    }

    /// What it prints, and what it logs. Chromium without its windows: these are never narrower than 500 pixels.
    fn run_telling(&self, page: &Path, arguments: &[&str]) -> (String, String) {
        let output = Command::new("chromium-headless-shell")
            .args(["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--enable-logging=stderr", "--v=0", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", self.folder.join("profile").display()))
            .args(arguments)
            .arg(format!("file://{}", page.display()))
            .output()
            .expect("chromium-headless-shell: scripts/install test installs it");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        (String::from_utf8_lossy(&output.stdout).into_owned(), told)
    }

    /// A picture of so many pixels, with something on it.
    fn screenshot(&self, name: &str, width: u32, height: u32) -> PathBuf {
        let picture = self.folder.join(name);
        self.run(&[
            &format!("--screenshot={}", picture.display()),
            &format!("--window-size={width},{height}"),
        ]);
        let bytes = std::fs::read(&picture).unwrap();
        assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
        let size = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((size(16), size(20)), (width, height));
        assert!(bytes.len() > 30_000, "{} bytes: hardly anything is on it", bytes.len());
        picture
    }

    /// What a browser does with a page of ours that somebody could put a script into.
    fn refuses_scripts(&self) {
        let html = std::fs::read_to_string(&self.page).unwrap();
        let page = self.folder.join("injected.html");
        let script = "<script>document.title = 'it ran'</script><img src='https://example.com/x.png'><p style='color: red'>";
        std::fs::write(&page, html.replace("<main>", &format!("{script}<main>"))).unwrap();
        let (dom, told) = self.run_telling(&page, &["--dump-dom"]);
        assert!(!dom.contains("it ran</title>"), "{dom}");
        assert_eq!(count(&told, "CONSOLE"), 3, "{told}");
        assert_eq!(count(&told, "Content Security Policy"), 3, "{told}");
    }

    /// How much wider the document is than a window of this width, by a copy of the page that is allowed one script.
    fn overflow(&self, width: u32) -> i64 {
        let html = std::fs::read_to_string(&self.page).unwrap();
        let measured = self.folder.join("measured.html");
        let start = html.find("<meta http-equiv").unwrap();
        let end = start + html[start..].find('>').unwrap() + 1;
        let script = "<script>addEventListener('load', () => { const root = document.documentElement; \
                      root.dataset.overflow = root.scrollWidth - innerWidth; root.dataset.width = innerWidth })</script>";
        std::fs::write(&measured, format!("{}{script}{}", &html[..start], &html[end..])).unwrap();
        let dom = self.run_on(&measured, &["--dump-dom", &format!("--window-size={width},2000")]);
        assert_eq!(between(&dom, "data-width=\"", "\""), width.to_string());
        between(&dom, "data-overflow=\"", "\"").parse().unwrap()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let start = text.find(before).unwrap_or_else(|| panic!("{before} is in the page")) + before.len();
    &text[start..start + text[start..].find(after).unwrap()]
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

/// Real backups: good ones, one that failed, one that was deleted, one that is damaged, one that restoring was tested with.
#[test]
fn a_page_for_an_auditor() {
    let site = Site::local(Cluster::builder().preload_walwarden().config("timezone = 'Europe/Berlin'"));
    site.await_true("the scheduler to run", PATIENCE, "SELECT scheduler = 'running' FROM walwarden.status");
    site.sql(&format!(
        "SELECT walwarden.schedule('nightly', '0 2 1 1 *', rpo => '1 hour', keep_last => 30); \
         SELECT walwarden.schedule('{HOSTILE}', description => 'hostile')"
    ));
    site.sql(
        "SELECT walwarden.add_storage('nowhere', 's3://no-such-bucket', \
         '{\"endpoint\": \"http://127.0.0.1:1\", \"allow_http\": true, \"timeout\": 1}')",
    );
    let first = text(&back_up(&site.cluster, APP, "'nightly'"), "id").to_owned();
    let damaged = LocalBackup::make(&site.cluster, APP);
    let deleted = text(&back_up(&site.cluster, APP, &format!("'{HOSTILE}'")), "id").to_owned();
    let failed = run_now(&site.cluster, APP, "storage => 'nowhere'");
    let failed = await_end(&site.cluster, APP, &failed);
    assert_eq!(failed["state"], "failed");
    let newest = text(&back_up(&site.cluster, APP, "'nightly'"), "id").to_owned();
    let test = site.sql(&format!("SELECT walwarden.restore_test('{newest}', smoke => 'SELECT true')"));
    assert_eq!(await_end(&site.cluster, APP, &test)["state"], "completed");
    let good = site.sql("SELECT walwarden.report()");
    assert!(good.contains("1 of 5 backups failed"), "{good}");
    assert!(!good.contains("known to be damaged.</span>"));

    let mut bytes = std::fs::read(&damaged.archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged.archive, bytes).unwrap();
    let verify = site.sql(&format!("SELECT walwarden.verify('{}')", text(&damaged.row, "id")));
    assert_eq!(await_end(&site.cluster, APP, &verify)["error_class"], "storage_corrupt");
    site.sql(&format!(
        "SELECT walwarden.delete_backup('{deleted}', 'holds what must be forgotten {HOSTILE}')"
    ));
    site.await_true(
        "the backup to be deleted",
        PATIENCE,
        &format!("SELECT deleted_at IS NOT NULL FROM walwarden.jobs WHERE id = '{deleted}'"),
    );

    let html = report(&site, "");
    assert!(html.is_ascii() && html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"));
    assert!(!html.contains("<img") && !html.contains("<script"), "only text");
    let browser = Browser::open(&site, "page", &html);
    let dom = browser.run(&["--dump-dom"]);
    // The browser has what was sent: no script took anything away, nothing had to be mended.
    assert_eq!(count(&dom, "<table"), count(&html, "<table"));
    assert_eq!(count(&dom, "role=\"img\""), 2);
    assert!(!dom.contains("<img"), "{dom}");
    // Four good ones and the failure, in both charts and in the table.
    let chart = between(&dom, "id=\"size-chart-title\"", "</svg>");
    assert_eq!((count(chart, "class=\"mark"), count(chart, "class=\"cross")), (4, 1), "{chart}");
    let table = between(&dom, "id=\"backups-table\"", "</table>");
    for job in
        [&first, &deleted, &newest, &text(&damaged.row, "id").to_owned(), &text(&failed, "id").to_owned()]
    {
        assert!(table.contains(job.as_str()), "{job}");
    }
    assert_eq!(count(table, "(deleted)"), 1);
    let exact = site.sql(&format!(
        "SELECT to_char(size_bytes, 'FM999,999,999') FROM walwarden.jobs WHERE id = '{newest}'"
    ));
    assert!(table.contains(&format!("title=\"{exact} bytes\"")), "{exact}");
    let verdict = between(&dom, "<section id=\"summary\"", "</section>");
    for told in [
        "Bad: backups are not what they must be",
        "1 of 5 backups failed",
        "1 copy of a backup in storage is known to be damaged",
        "has no target (rpo)",
        "The audit chain agrees with itself",
        "nothing was read from it for this page",
    ] {
        assert!(verdict.contains(told), "{told}: {verdict}");
    }
    assert!(between(&dom, "id=\"failures-jobs\"", "</table>").contains(text(&failed, "error_class")));
    assert!(
        between(&dom, "id=\"retention-deletions\"", "</table>")
            .contains("holds what must be forgotten &lt;img")
    );
    let checks = between(&dom, "id=\"checks-jobs\"", "</table>");
    assert!(
        checks.contains("The smoke query answered as it must.")
            && checks.contains("restore test")
            && checks.contains("failed")
    );
    assert!(between(&dom, "id=\"storages-damaged\"", "</table>").contains(text(&damaged.row, "id")));
    let key = between(&dom, "The key that signs now has the id <code>", "</code>");
    assert!(between(&dom, "id=\"keys-used\"", "</table>").contains(key), "{key}");
    assert_eq!(damaged.read_manifest()["key_id"], key);
    assert!(dom.contains("Europe/Berlin") && dom.contains(&site.sql("SELECT id FROM walwarden.database")));
    let at = site.sql("SELECT to_char(recovery_point, 'YYYY-MM-DD HH24:MI') FROM walwarden.status");
    assert!(between(&dom, "Newest good backup holds", "</div>").contains(&at), "{at}");

    for (name, width, height) in [("desktop.png", 1280, 1600), ("phone.png", 390, 1600)] {
        println!("{}", browser.screenshot(name, width, height).display());
    }
    assert_eq!((browser.overflow(1280), browser.overflow(390)), (0, 0));
    browser.refuses_scripts();
    let pdf = browser.folder.join("report.pdf");
    browser.run(&[&format!("--print-to-pdf={}", pdf.display())]);
    assert!(std::fs::read(&pdf).unwrap().starts_with(b"%PDF-"));

    // Of a time without anything, and of one before the first backup.
    let before = report(&site, "now() - interval '2 years', now() - interval '1 year'");
    let dom = Browser::open(&site, "before", &before).run(&["--dump-dom"]);
    assert!(
        dom.contains("No backup ended in this time.") && dom.contains("How it was at the end of this time")
    );
    site.assert_chain_verifies();
}

/// A chain that was tampered with does not keep the report from saying so, whatever is in it.
#[test]
fn what_is_wrong_with_the_chain_is_told() {
    let site = Site::local(Cluster::builder());
    back_up(&site.cluster, APP, "");
    assert!(report(&site, "").contains("The audit chain agrees with itself"));
    site.sql(
        "ALTER TABLE walwarden.audit DISABLE TRIGGER audit_append_only; \
         UPDATE walwarden.audit SET body = 'no json at all', event = 'backup.missed' WHERE seq = 3; \
         ALTER TABLE walwarden.audit ENABLE ALWAYS TRIGGER audit_append_only",
    );
    let html = report(&site, "");
    assert!(html.contains("The audit chain is not what was written"), "{html}");
    assert!(between(&html, "id=\"chain-problems\"", "</table>").contains("its body is malformed"));
    assert!(html.contains("Bad: backups are not what they must be"));
}

#[test]
fn what_is_no_time_is_refused() {
    let site = Site::local(Cluster::builder());
    for (arguments, told) in [
        ("now(), now()", "from must be before to"),
        ("now(), now() - interval '1 second'", "from must be before to"),
        ("NULL", "from must not be NULL"),
        ("now(), NULL", "to must not be NULL"),
        ("'-infinity'", "from must not be infinite"),
        ("now(), 'infinity'", "to must not be infinite"),
        ("'0044-03-15 BC', now()", "years 1 to 9999"),
        ("now(), '20000-01-01'", "years 1 to 9999"),
        ("now(), '294276-12-31'", "years 1 to 9999"),
    ] {
        let error = site.cluster.try_sql(APP, &format!("SELECT walwarden.report({arguments})")).unwrap_err();
        assert!(error.contains(told) && error.contains("HINT:  Give two times"), "{arguments}: {error}");
        assert!(!error.contains("XX000"), "{error}");
    }
    // Nothing was ever backed up, and nothing is made by looking: not even a key.
    let keys = site.cluster.data_dir().join("pg_walwarden/keys/signing.pem");
    let html = report(&site, "");
    assert!(
        html.contains("There is no signing key yet") && html.contains("There is no good backup in storage")
    );
    assert!(!keys.exists());
    report(&site, "'0001-01-02', '9999-12-30'");
    for zone in ["<odd>-13:17", "Pacific/Kiritimati", "America/St_Johns"] {
        let html = site.sql(&format!("SET TimeZone = '{zone}'; SELECT walwarden.report()"));
        assert!(html.contains("UTC"), "{zone}");
    }
}

/// Whoever reads the views reads the report, and nobody else; secrets are in neither.
#[test]
fn who_may_read_it() {
    let site = Site::local(Cluster::builder().config("client_min_messages = warning"));
    site.sql(
        "CREATE ROLE monitor LOGIN IN ROLE pg_monitor; CREATE ROLE nobody_special LOGIN; \
         SELECT walwarden.add_webhook('team', 'https://hooks.example.com/canary-4711', 'json')",
    );
    back_up(&site.cluster, APP, "");
    let page = |role: &str| {
        let mut client = site.cluster.client_as(role, APP);
        client.query_one("SELECT walwarden.report()", &[]).map(|row| row.get::<_, String>(0))
    };
    let html = page("monitor").expect("a page");
    assert!(html.contains("for <span class=\"name\">monitor</span>") && html.contains("1 backup completed"));
    assert!(!html.contains("canary-4711"));
    let refused = page("nobody_special").unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("42501"), "{refused}");
    // It changes nothing: a read-only transaction has it, too.
    let html = site.sql("BEGIN READ ONLY; SELECT walwarden.report(); COMMIT");
    assert!(html.contains("</html>"));
}

/// In a database that is not UTF-8 and for a client that is not: the page is ASCII, whatever it says.
#[test]
fn every_encoding_has_it() {
    let cluster = Cluster::builder().start();
    cluster.sql("postgres", "CREATE DATABASE \"größe\" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    support::install(&cluster, "größe");
    cluster.sql("größe", "SET client_encoding = 'UTF8'; SELECT walwarden.schedule('nächtlich')");
    for client in ["LATIN1", "UTF8"] {
        let html =
            cluster.sql("größe", &format!("SET client_encoding = '{client}'; SELECT walwarden.report()"));
        // The database's own name was written in another encoding, and is whatever its bytes are in this one.
        assert!(html.is_ascii() && html.contains("n&#xe4;chtlich"), "{client}: {html}");
    }
}

/// A long history gives a page of sane size, and says what is not on it.
#[test]
fn a_long_history_is_cut() {
    let site = Site::local(Cluster::builder());
    // As they would be after years; without the triggers, which would write an entry for each.
    site.sql(
        "ALTER TABLE walwarden.job DISABLE TRIGGER ALL; ALTER TABLE walwarden.backup_copy DISABLE TRIGGER ALL; \
         INSERT INTO walwarden.job (id, trigger, state, storages, requested_by, schedule, queued_at, started_at, finalized_at, snapshot_at, \
                                    size_bytes, rows, error_class, error_message, error_detail, expires_at, delete_reason, deleted_by, deleted_at) \
         SELECT gen_random_uuid(), 'schedule', CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'completed' END, '{local}', 'walwarden', 'hourly', t, t, \
                t + interval '1 minute', CASE WHEN n % 10 <> 0 THEN t END, 1000000 + n, n, CASE WHEN n % 10 = 0 THEN 'lost' END, \
                CASE WHEN n % 10 = 0 THEN repeat('x', 100000) END, NULL, \
                CASE WHEN n % 10 <> 0 AND n > 100 THEN t + interval '1 day' END, CASE WHEN n % 10 <> 0 AND n > 100 THEN 'no rule keeps it' END, \
                'walwarden', CASE WHEN n % 10 <> 0 AND n > 100 THEN t + interval '1 day' END \
           FROM generate_series(1, 20000) AS n, LATERAL (SELECT now() - n * interval '1 hour' AS t) AS moment; \
         INSERT INTO walwarden.backup_copy (backup, storage, state, made_by, manifest_key, size_bytes, stored_at) \
         SELECT id, 'local', 'stored', id, 'm', size_bytes, finalized_at FROM walwarden.job WHERE state = 'completed' AND expires_at IS NULL; \
         ANALYZE walwarden.job",
    );
    let html = report(&site, "now() - interval '3 years'");
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert!(
        html.contains("18,000 backups completed") && html.contains("2,000 failed"),
        "the sums are of all"
    );
    assert!(html.contains("The newest 50 of 2,000 are shown"), "failures");
    assert!(html.contains("Backups by month, the newest first"));
    assert!(html.contains(&format!("{}&#x2026; (cut)", "x".repeat(500))) || html.contains("(cut)"));
    assert!(!html.contains(&"x".repeat(501)));
    let month = report(&site, "");
    assert!(month.contains("Backups by day, the newest first") && month.len() < 400_000);
    let browser = Browser::open(&site, "long", &month);
    let chart = browser.run(&["--dump-dom"]);
    assert!(count(between(&chart, "id=\"size-chart-title\"", "</svg>"), "class=\"mark") >= 30);
    browser.screenshot("desktop.png", 1280, 1600);
    assert_eq!((browser.overflow(1280), browser.overflow(390)), (0, 0));
}
