//! The audit chain outside of the database: whoever rewrites the tables is caught by what lies in storage, and a database that was set
//! back says so.

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
use support::{back_up, run};
use walwarden_testkit::{Cluster, StopMode, wait_until};

/// Rewrites an entry and every one after it, as one who knows the rules and has all rights.
const REWRITE: &str = r#"
    SET session_replication_role = replica;
    ALTER TABLE walwarden.audit DISABLE TRIGGER ALL;
    ALTER TABLE walwarden.audit_head DISABLE TRIGGER ALL;
    DO $$
    DECLARE
        it record;
        before text;
    BEGIN
        UPDATE walwarden.audit SET actor = 'nobody', body = replace(body, '"actor":"' || actor || '"', '"actor":"nobody"') WHERE seq = 3;
        FOR it IN SELECT * FROM walwarden.audit WHERE seq >= 3 ORDER BY seq LOOP
            SELECT encode(a.hash, 'hex') INTO before FROM walwarden.audit AS a WHERE a.seq = it.seq - 1;
            UPDATE walwarden.audit AS a
               SET body = regexp_replace(a.body, '"prev":"[0-9a-f]{64}"', '"prev":"' || before || '"') WHERE a.seq = it.seq;
            UPDATE walwarden.audit AS a SET hash = sha256('\x00'::bytea || convert_to(a.body, 'UTF8')) WHERE a.seq = it.seq;
        END LOOP;
        UPDATE walwarden.audit_head AS h SET hash = (SELECT a.hash FROM walwarden.audit AS a WHERE a.seq = h.seq);
    END $$;
    ALTER TABLE walwarden.audit ENABLE TRIGGER ALL;
    ALTER TABLE walwarden.audit_head ENABLE TRIGGER ALL;
"#;

/// What the check finds, with the storages or without.
fn findings(site: &Site, anchors: bool) -> String {
    site.sql(&format!(
        "SELECT seq, problem FROM walwarden.verify_audit_chain({anchors}) WHERE NOT ok ORDER BY seq"
    ))
}

/// Waits until a storage's checkpoint is as new as the newest backup, and gives its size.
fn await_anchored(site: &Site, storage: &str) -> u64 {
    site.await_true(
        "the audit chain to be anchored",
        PATIENCE,
        &format!(
            "SELECT coalesce(a.anchored_at >= (SELECT max(j.finalized_at) FROM walwarden.job AS j WHERE j.kind = 'backup' AND j.state = 'completed') \
                             AND a.error_class IS NULL, false) \
               FROM walwarden.storages AS s LEFT JOIN walwarden.anchors AS a ON a.storage = s.name WHERE s.name = '{storage}'"
        ),
    );
    site.sql(&format!("SELECT size FROM walwarden.anchors WHERE storage = '{storage}'")).parse().unwrap()
}

/// A tick comes and starts what is due.
fn await_event(site: &Site, event: &str) {
    site.await_true(
        event,
        PATIENCE,
        &format!("SELECT EXISTS (SELECT FROM walwarden.audit_chain WHERE event = '{event}')"),
    );
}

fn checkpoint_files(site: &Site) -> Vec<PathBuf> {
    site.anchored().iter().filter(|name| name.contains("/checkpoint/")).map(PathBuf::from).collect()
}

fn entry_files(site: &Site) -> Vec<PathBuf> {
    site.anchored().iter().filter(|name| name.contains("/entries/")).map(PathBuf::from).collect()
}

/// The first three lines, and the signature by the walwarden key, checked by openssl alone.
fn openssl_verifies_note(folder: &Path, public_key: &Path, note: &Path) -> bool {
    let script = r#"set -e
        sed '/^$/,$d' "$1" > "$2/text"
        grep '^— walwarden ' "$1" | head -1 | awk '{print $3}' | base64 -d | tail -c 64 > "$2/signature"
        openssl pkeyutl -verify -pubin -inkey "$3" -rawin -in "$2/text" -sigfile "$2/signature""#;
    let mut shell = Command::new("bash");
    run(shell.args(["-c", script, "-"]).arg(note).arg(folder).arg(public_key)).status.success()
}

/// The Merkle tree head of RFC 6962 over the lines of the exported entries, by another implementation.
const ROOT_BY_PYTHON: &str = r#"
import base64, hashlib, sys
leaves = [hashlib.sha256(b'\0' + line).digest() for name in sys.argv[2:] for line in open(name, 'rb').read().splitlines()]
def root(d):
    if len(d) == 1: return d[0]
    k = 1
    while k * 2 < len(d): k *= 2
    return hashlib.sha256(b'\1' + root(d[:k]) + root(d[k:])).digest()
print(base64.b64encode(root(leaves[:int(sys.argv[1])])).decode())
"#;

#[test]
fn every_backup_ends_in_a_checkpoint_that_anybody_can_check() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    site.sql("SELECT walwarden.schedule('both', storages => '{local,s3}')");
    assert_eq!(site.sql("SELECT string_agg(state, ' ') FROM walwarden.anchors"), "never never");
    back_up(&site.cluster, APP, "'both'");
    let size = await_anchored(&site, "local");
    assert!(size >= 5, "{size}");
    await_anchored(&site, "s3");
    back_up(&site.cluster, APP, "'both'");
    let size = await_anchored(&site, "local");
    await_anchored(&site, "s3");

    let notes: Vec<_> = checkpoint_files(&site).into_iter().filter(|path| path.is_absolute()).collect();
    assert!(notes.len() >= 2, "{notes:?}");
    let folder = site.cluster.folder().join("scratch");
    std::fs::create_dir(&folder).unwrap();
    let key = support::public_key(&site.cluster, APP);
    for note in &notes {
        assert!(openssl_verifies_note(&folder, &key, note), "{note:?}");
    }
    let newest = std::fs::read_to_string(notes.last().unwrap()).unwrap();
    let lines: Vec<&str> = newest.lines().collect();
    let id = site.sql("SELECT id FROM walwarden.database");
    assert_eq!(lines[..2], [format!("walwarden/{id}/1"), size.to_string()]);
    let mut python = Command::new("python3");
    let entries: Vec<_> = entry_files(&site).into_iter().filter(|path| path.is_absolute()).collect();
    let root = run(python.args(["-c", ROOT_BY_PYTHON, &size.to_string()]).args(entries));
    assert_eq!(
        String::from_utf8_lossy(&root.stdout).trim(),
        lines[2],
        "the chain is rebuilt from storage alone"
    );

    assert_eq!(
        site.sql(&format!("SELECT ok, problem IS NULL, message LIKE '%; {} checkpoints in storage local, s3 agree' FROM walwarden.verify_audit_chain(anchors => true)", checkpoint_files(&site).len())),
        "t|t|t"
    );
    assert_eq!(
        site.sql("SELECT DISTINCT state, epoch, size, error_class IS NULL FROM walwarden.anchors"),
        format!("current|1|{size}|t")
    );
    // In a bucket and in a folder the same.
    let of = |prefix: &str| -> Vec<String> {
        let names = site.anchored();
        names
            .iter()
            .filter(|name| name.starts_with(prefix))
            .map(|name| name[name.find("org/").unwrap()..].to_owned())
            .collect()
    };
    assert_eq!(of("s3: "), of("/"));
}

/// One who can write all tables makes a chain that holds in itself. Storage remembers.
#[test]
fn a_rewritten_history_is_a_fork() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    back_up(&site.cluster, APP, "");
    let first = await_anchored(&site, "local");
    back_up(&site.cluster, APP, "");
    let second = await_anchored(&site, "local");
    let files = checkpoint_files(&site);

    site.sql(REWRITE);
    assert_eq!(findings(&site, false), "", "in itself it holds");
    assert_eq!(findings(&site, true), format!("{first}|root_differs\n{second}|root_differs"));
    assert_eq!(
        site.sql("SELECT message LIKE '%epoch 1 in storage \"local\"%' FROM walwarden.verify_audit_chain(true) LIMIT 1"),
        "t"
    );

    // The next backup finds it without being asked, and signs no second history.
    back_up(&site.cluster, APP, "");
    await_event(&site, "chain.fork");
    assert_eq!(site.sql("SELECT state FROM walwarden.anchors"), "forked");
    back_up(&site.cluster, APP, "");
    site.await_rest(PATIENCE);
    assert_eq!(checkpoint_files(&site), files);
    let fork = site.sql(
        "SELECT detail ->> 'first', detail ->> 'last', detail ->> 'storage' FROM walwarden.audit_chain WHERE event = 'chain.fork'",
    );
    assert_eq!(fork, format!("1|{second}|local"));

    // Somebody says what happened, and says it for ever.
    for (call, why) in
        [("begin_epoch(NULL)", "reason must not be NULL"), ("begin_epoch(' ')", "must be given")]
    {
        let error = site.cluster.try_sql(APP, &format!("SELECT walwarden.{call}")).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(site.sql("SELECT walwarden.begin_epoch('an experiment')"), "2");
    let refused = site.cluster.try_sql(APP, "SELECT walwarden.begin_epoch('again')").unwrap_err();
    assert!(refused.contains("no fork to be settled"), "{refused}");
    site.await_true(
        "signing to go on",
        PATIENCE,
        "SELECT coalesce(epoch = 2 AND error_class IS NULL, false) FROM walwarden.anchors",
    );
    assert_eq!(findings(&site, true), "");
    assert_eq!(
        site.sql("SELECT ok, seq = (SELECT a.seq FROM walwarden.audit AS a WHERE a.event = 'chain.rollback'), message LIKE 'entries 1 to %lost%' FROM walwarden.verify_audit_chain(true) OFFSET 1"),
        "t|t|t"
    );
    assert_eq!(site.sql("SELECT detail ->> 'reason', detail ->> 'checkpoint' LIKE 'walwarden/%' FROM walwarden.audit_chain WHERE event = 'chain.rollback'"), "an experiment|t");
}

/// Checkpoints that were changed, copied, removed, or are of somebody else.
#[test]
fn what_is_done_to_checkpoints_is_found() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    back_up(&site.cluster, APP, "");
    let first = await_anchored(&site, "local");
    back_up(&site.cluster, APP, "");
    let second = await_anchored(&site, "local");
    let files = checkpoint_files(&site);
    let [old, new] = files.as_slice() else { panic!("{files:?}") };
    let (old_note, new_note) = (std::fs::read(old).unwrap(), std::fs::read(new).unwrap());
    let put = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).unwrap();
        site.cluster.give_to_server(path);
    };

    for at in (0..new_note.len()).step_by(7) {
        let mut flipped = new_note.clone();
        flipped[at] ^= 1;
        put(new, &flipped);
        assert_eq!(findings(&site, true), format!("{second}|bad_checkpoint"), "byte {at}");
    }
    put(new, &old_note);
    assert_eq!(
        findings(&site, true),
        format!("{second}|bad_checkpoint"),
        "an old one in the place of a new one"
    );
    std::fs::remove_file(new).unwrap();
    assert_eq!(findings(&site, true), format!("{second}|missing_checkpoint"));
    put(new, &new_note);
    assert_eq!(findings(&site, true), "");

    let later = new.with_file_name(format!("{:020}", second + 50));
    put(&later, &new_note);
    assert_eq!(findings(&site, true), format!("{}|bad_checkpoint", second + 50), "replayed");
    // It is told, and is no reason to sign nothing.
    back_up(&site.cluster, APP, "");
    await_anchored(&site, "local");
    std::fs::remove_file(&later).unwrap();
    assert_eq!(findings(&site, true), "");

    // Entries that were cut off at the end, with their head, are missing beside every checkpoint over them.
    site.sql(&format!(
        "ALTER TABLE walwarden.audit DISABLE TRIGGER ALL; ALTER TABLE walwarden.audit_head DISABLE TRIGGER ALL; \
         DELETE FROM walwarden.audit WHERE seq > {first}; \
         UPDATE walwarden.audit_head SET (seq, hash, at) = (SELECT seq, hash, at FROM walwarden.audit WHERE seq = {first})"
    ));
    assert_eq!(findings(&site, false), "");
    let found = findings(&site, true);
    assert!(found.starts_with(&format!("{second}|anchor_missing")), "{found}");

    // A storage that does not answer was not compared, which is not the same as agreeing.
    site.sql("UPDATE walwarden.storage SET url = 'file:///nowhere/at/all' WHERE name = 'local'");
    assert!(findings(&site, true).contains("unreadable_storage"));
}

/// A day without entries is signed, too.
#[test]
fn silence_is_signed() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    back_up(&site.cluster, APP, "");
    let size = await_anchored(&site, "local");
    site.await_rest(PATIENCE);
    // A tick comes when the launcher finds that the server has started, and appends nothing itself.
    site.sql("UPDATE walwarden.anchor SET anchored_at = anchored_at - interval '1 day'");
    let mut site = site;
    site.cluster.restart();
    await_event(&site, "chain.heartbeat");
    site.await_true(
        "a newer checkpoint",
        PATIENCE,
        &format!("SELECT size = {size} + 1 AND state = 'current' FROM walwarden.anchors"),
    );
    assert_eq!(findings(&site, true), "");
}

/// Copies the server's folder as it is.
fn copy_folder(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(run(Command::new("cp").arg("-a").arg(from).arg(to)).status.success());
}

/// A server that came back from an old copy: what was signed since is lost, which the chain says itself from now on.
#[test]
fn a_database_that_was_set_back_says_so() {
    let mut site = Site::local(Cluster::builder().preload_walwarden());
    let outside = site.cluster.new_server_folder("outside");
    site.sql(&format!("SELECT walwarden.add_storage('outside', 'file://{}')", outside.display()));
    back_up(&site.cluster, APP, "storage => 'outside'");
    let kept = await_anchored(&site, "outside");
    site.await_rest(PATIENCE);
    let data = site.cluster.data_dir();
    let copy = site.cluster.folder().join("copy");
    site.cluster.stop(StopMode::Fast);
    copy_folder(&data, &copy);
    site.cluster.start();
    back_up(&site.cluster, APP, "storage => 'outside'");
    let lost = await_anchored(&site, "outside");
    site.cluster.stop(StopMode::Fast);
    copy_folder(&copy, &data);
    site.cluster.start();

    site.sql("UPDATE walwarden.anchor SET anchored_at = anchored_at - interval '1 day'");
    site.wake();
    await_event(&site, "chain.rollback");
    let told = site.sql("SELECT detail ->> 'from_epoch', (detail ->> 'first')::int = kept + 1, detail ->> 'last' FROM walwarden.audit_chain, (SELECT KEPT AS kept) AS k WHERE event = 'chain.rollback'".replace("KEPT", &kept.to_string()).as_str());
    assert_eq!(told, format!("1|t|{lost}"));
    site.await_true(
        "signing to go on",
        PATIENCE,
        "SELECT epoch = 2 FROM walwarden.anchors WHERE storage = 'outside'",
    );
    assert_eq!(findings(&site, true), "");
    assert_eq!(
        site.sql(
            "SELECT count(*) FROM walwarden.verify_audit_chain(true) WHERE ok AND message LIKE '%lost%'"
        ),
        "1"
    );
    back_up(&site.cluster, APP, "storage => 'outside'");
    await_anchored(&site, "outside");
    assert_eq!(findings(&site, true), "");
}

/// A standby that was promoted and went on before anybody looked: a new timeline tells it from a fork.
#[test]
fn a_promoted_standby_that_lacks_entries_says_so() {
    let mut site = Site::local(Cluster::builder().preload_walwarden());
    let outside = site.cluster.new_server_folder("outside");
    site.sql(&format!("SELECT walwarden.add_storage('outside', 'file://{}')", outside.display()));
    back_up(&site.cluster, APP, "storage => 'outside'");
    let common = await_anchored(&site, "outside");
    site.await_rest(PATIENCE);
    let (data, copy) = (site.cluster.data_dir(), site.cluster.folder().join("copy"));
    site.cluster.stop(StopMode::Fast);
    copy_folder(&data, &copy);
    site.cluster.start();
    back_up(&site.cluster, APP, "storage => 'outside'");
    let lost = await_anchored(&site, "outside");
    site.cluster.stop(StopMode::Fast);
    copy_folder(&copy, &data);
    std::fs::write(data.join("standby.signal"), "").unwrap();
    site.cluster.give_to_server(&data.join("standby.signal"));
    site.cluster.append_config("walwarden.enabled = off");
    site.cluster.start();
    site.sql("SELECT pg_promote()");
    // More than was lost, before anybody compares.
    for number in 0..(lost - common + 3) {
        site.sql(&format!("SELECT walwarden.schedule('s{number}')"));
    }
    site.cluster.append_config("walwarden.enabled = on");
    site.cluster.reload();
    back_up(&site.cluster, APP, "storage => 'outside'");
    await_event(&site, "chain.rollback");
    assert_eq!(
        site.sql("SELECT detail ->> 'first', detail ->> 'last' FROM walwarden.audit_chain WHERE event = 'chain.rollback'"),
        format!("{}|{lost}", common + 1)
    );
    site.await_true(
        "signing to go on",
        PATIENCE,
        "SELECT epoch = 2 FROM walwarden.anchors WHERE storage = 'outside'",
    );
    assert_eq!(findings(&site, true), "");
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.audit_chain WHERE event = 'chain.fork'"), "0");
}

/// Without the launcher the leader of a backup sees to it.
#[test]
fn without_preload_a_backup_is_anchored_as_well() {
    let site = Site::local(Cluster::builder());
    back_up(&site.cluster, APP, "");
    await_anchored(&site, "local");
    wait_until("the anchor to leave", PATIENCE, || site.workers().is_empty().then_some(()));
    assert_eq!(findings(&site, true), "");
}
