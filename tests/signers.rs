//! Signers that keep the key away from the server: a command, and an ssh-agent; and what stock programs say of the forms of a
//! signature.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use support::signing_keys::{
    assert_unbroken, current, events, fails_for_the_key, key_file, key_of, keys, new_key, set_mode, verify,
};
use support::site::{PATIENCE, PROMPTLY};
use support::{LocalBackup, await_end, back_up, openssl_verifies, run, text};
use walwarden_core::key::SigningKey;
use walwarden_core::signature::{minisign, sshsig};
use walwarden_testkit::{Cluster, wait_until};

fn shop() -> Cluster {
    let cluster = Cluster::builder().start();
    cluster.create_database("shop");
    cluster.sql("shop", "CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n");
    support::install(&cluster, "shop");
    cluster
}

/// Gives the setting to the server, and waits until it has it.
fn set_signer(cluster: &Cluster, signer: &str) {
    cluster.append_config(&format!("walwarden.signer = '{signer}'"));
    cluster.reload();
    let mut client = cluster.client("shop");
    // The library has to be loaded for the setting to have a value.
    client.batch_execute("LOAD 'walwarden'").unwrap();
    wait_until("the setting to be read", PATIENCE, || {
        let row = client.query_one("SELECT current_setting('walwarden.signer')", &[]).unwrap();
        (row.get::<_, String>(0) == signer).then_some(())
    });
}

/// A program for `walwarden.signer`, of the server's user.
fn program(cluster: &Cluster, name: &str, script: &str) -> PathBuf {
    let path = cluster.folder().join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    set_mode(&path, 0o700);
    cluster.give_to_server(&path);
    path
}

/// What signs with a key by openssl, given as the last argument but one.
const BY_OPENSSL: &str = "case \"$2\" in
public-key) exec openssl pkey -in \"$1\" -pubout ;;
sign) exec openssl pkeyutl -sign -inkey \"$1\" -rawin -in /dev/stdin ;;
esac";

#[test]
fn a_command_signs_after_the_key_file_has_handed_over() {
    let cluster = shop();
    let of_file = back_up(&cluster, "shop", "");
    let (first, second) = (cluster.folder().join("first.pem"), cluster.folder().join("second.pem"));
    new_key(&cluster, &first);
    new_key(&cluster, &second);
    let by_openssl = program(&cluster, "by-openssl", BY_OPENSSL);
    let signer = |key: &Path| format!("command:{} {}", by_openssl.display(), key.display());
    set_signer(&cluster, &signer(&first));
    let said = fails_for_the_key(&cluster, "shop");
    assert!(said.contains("was not handed over") && said.contains("rotate_key()"), "{said}");
    assert!(key_file(&cluster).exists(), "nothing is erased before somebody says so");
    let id = cluster.sql("shop", "SELECT walwarden.rotate_key()");
    assert!(!key_file(&cluster).exists(), "the key file has handed over");
    assert_unbroken(&cluster, "shop");
    assert_eq!(text(&current(&cluster, "shop"), "source"), "external");

    let backup = back_up(&cluster, "shop", "");
    assert_eq!(key_of(&cluster, &backup), id);
    let files = LocalBackup::of(&cluster, backup.clone());
    let public = cluster.folder().join("first.pub");
    assert!(
        run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&first).arg("-out").arg(&public))
            .status
            .success()
    );
    assert!(openssl_verifies(&public, &files.manifest, &files.signature));
    for backup in [&of_file, &backup] {
        assert_eq!(text(&verify(&cluster, "shop", backup), "state"), "completed");
    }
    let said = cluster.try_sql("shop", "SELECT walwarden.rotate_key()").unwrap_err();
    assert!(said.contains("rotated where it is kept"), "{said}");

    // A command that has another key cannot sign with the old one any more.
    set_signer(&cluster, &signer(&second));
    let said = cluster.try_sql("shop", "SELECT walwarden.rotate_key()").unwrap_err();
    assert!(said.contains("cannot sign for the new one"), "{said}");
    back_up(&cluster, "shop", "");
    assert_eq!(text(&current(&cluster, "shop"), "origin"), "replaced");
    set_signer(&cluster, &signer(&first));
    assert!(fails_for_the_key(&cluster, "shop").contains("was retired"));
    // No key file comes back by itself.
    set_signer(&cluster, "");
    assert!(fails_for_the_key(&cluster, "shop").contains("is missing"));
    assert!(!key_file(&cluster).exists());
    cluster.sql("shop", "SELECT walwarden.rotate_key(lost => true)");
    back_up(&cluster, "shop", "");
    assert_eq!(text(&current(&cluster, "shop"), "source"), "file");
    assert_eq!(cluster.sql("shop", "SELECT ok FROM walwarden.verify_audit_chain()"), "t");
}

/// The server holds no key at all from the beginning; whatever a signer does wrong, nothing is signed.
#[test]
fn a_command_that_misbehaves_signs_nothing() {
    let cluster = shop();
    let key = cluster.folder().join("key.pem");
    let other = cluster.folder().join("other.pem");
    new_key(&cluster, &key);
    new_key(&cluster, &other);
    let (key, other) = (key.display(), other.display());
    let good_key = format!("public-key) exec openssl pkey -in {key} -pubout ;;");
    let with_sign = |sign: &str| format!("case \"$1\" in\n{good_key}\nsign) {sign} ;;\nesac");
    let cases = [
        ("fails", "echo \"$(printf 'no\\033[31m token')\" >&2; exit 3".to_owned(), "no [31m token"),
        ("no key", "echo hello".to_owned(), "gave no public key"),
        ("no signature", with_sign("echo secret-output"), "gave no signature"),
        ("short", with_sign("head -c 63 /dev/zero"), "gave no signature"),
        ("zeros", with_sign("head -c 64 /dev/zero"), "a signature that is not right"),
        (
            "of another key",
            with_sign(&format!("exec openssl pkeyutl -sign -inkey {other} -rawin -in /dev/stdin")),
            "a signature that is not right",
        ),
        (
            "of other bytes",
with_sign(&format!("exec openssl pkeyutl -sign -inkey {key} -rawin -in {other}")),
            "a signature that is not right",
        ),
        ("without an end", with_sign("exec cat /dev/zero"), "said too much"),
        (
            "its environment",
            "test \"$(env | grep -v -e ^PATH= -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=)\" = '' || { env >&2; exit 1; }; \
             echo clean >&2; exit 1"
                .to_owned(),
            "clean",
        ),
    ];
    for (number, (what, script, told)) in cases.iter().enumerate() {
        let path = program(&cluster, &format!("signer-{number}"), script);
        set_signer(&cluster, &format!("command:{}", path.display()));
        let said = fails_for_the_key(&cluster, "shop");
        assert!(said.contains(told), "{what}: {said}");
        assert!(said.contains("signer-"), "{what} is told by its name: {said}");
        assert!(!said.contains("secret-output"), "{what}: {said}");
    }
    for (setting, told) in [
        ("command:/does/not/exist".to_owned(), "could not be started"),
        (format!("unix:{}", cluster.folder().join("nobody.sock").display()), "cannot be asked"),
    ] {
        set_signer(&cluster, &setting);
        let said = fails_for_the_key(&cluster, "shop");
        assert!(said.contains(told), "{setting}: {said}");
    }
    for setting in ["yes", "command:relative", "unix:/run/x.sock not-an-id"] {
        set_signer(&cluster, setting);
        let job = support::run_now(&cluster, "shop", "");
        let row = await_end(&cluster, "shop", &job);
        assert_eq!(text(&row, "error_class"), "configuration", "{row:#}");
        assert!(!text(&row, "error_hint").is_empty());
    }
    assert!(!key_file(&cluster).exists(), "the server has made no key of its own");
    assert_eq!(cluster.sql("shop", "SELECT count(*) FROM walwarden.backups"), "0");

    // base64 is as good as the bytes.
    let path = program(
        &cluster,
        "in-base64",
        &with_sign(&format!("openssl pkeyutl -sign -inkey {key} -rawin -in /dev/stdin | base64")),
    );
    set_signer(&cluster, &format!("command:{}", path.display()));
    back_up(&cluster, "shop", "");
    let keys = keys(&cluster, "shop");
    assert_eq!((keys.len(), text(&keys[0], "source")), (1, "external"), "{keys:#?}");
    assert_eq!(events(&cluster, "shop"), format!("key.created {}", text(&keys[0], "id")));
}

/// A job that waits for its signer is canceled as any other, and the signer is gone with it.
#[test]
fn waiting_for_a_signer_can_be_ended() {
    let cluster = shop();
    let asked = cluster.new_server_folder("asked");
    let script = format!("echo $$ > {}/pid.new; mv {0}/pid.new {0}/pid; exec sleep 1000", asked.display());
    let path = program(&cluster, "sleeper", &script);
    set_signer(&cluster, &format!("command:{}", path.display()));
    let pid_file = asked.join("pid");
    let await_pid = || {
        let pid = wait_until("the signer to be asked", PATIENCE, || fs::read_to_string(&pid_file).ok());
        fs::remove_file(&pid_file).unwrap();
        pid.trim().to_owned()
    };
    let await_gone = |pid: &str| {
        let path = PathBuf::from(format!("/proc/{pid}"));
        wait_until("the signer to be gone", PROMPTLY, || (!path.exists()).then_some(()));
    };
    let job = support::run_now(&cluster, "shop", "");
    let pid = await_pid();
    assert_eq!(cluster.sql("shop", &format!("SELECT walwarden.cancel('{job}')")), "t");
    assert_eq!(text(&await_end(&cluster, "shop", &job), "state"), "canceled");
    await_gone(&pid);

    // In a session.
    let mut client = cluster.client("shop");
    let cancel = client.cancel_token();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| client.simple_query("SELECT walwarden.public_key()").map(|_| ()));
        let pid = await_pid();
        cancel.cancel_query(walwarden_testkit::postgres::NoTls).unwrap();
        let error = asking.join().unwrap().unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{error}");
        await_gone(&pid);
    });
}

/// OpenSSH's own agent, which keeps the keys in its memory.
struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(cluster: &Cluster) -> Self {
        let folder = cluster.new_server_folder("agent");
        let socket = folder.join("agent.sock");
        let mut command = Command::new("ssh-agent");
        command.args(["-D", "-a"]).arg(&socket);
        cluster.run_as_server(&mut command);
        command.stdout(std::process::Stdio::null());
        let process = command.spawn().expect("ssh-agent is installed");
        wait_until("the agent's socket", PATIENCE, || socket.exists().then_some(()));
        Self { process, socket }
    }

    /// Makes a key that only the agent has; gives its public key as openssl reads it.
    fn add_key(&self, cluster: &Cluster, name: &str) {
        let path = self.socket.with_file_name(name);
        self.ssh(
            cluster,
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path),
        );
        self.ssh(cluster, Command::new("ssh-add").arg("-q").arg(&path));
        fs::remove_file(&path).unwrap();
    }

    fn ssh(&self, cluster: &Cluster, command: &mut Command) {
        cluster.run_as_server(command);
        let output =
            run(command.env("SSH_AUTH_SOCK", &self.socket).env("HOME", self.socket.parent().unwrap()));
        assert!(output.status.success(), "{output:?}");
    }

    fn setting(&self, key_id: &str) -> String {
        format!("unix:{} {key_id}", self.socket.display()).trim_end().to_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_ssh_agent_signs_and_hands_over_to_its_next_key() {
    let cluster = shop();
    let agent = Agent::start(&cluster);
    set_signer(&cluster, &agent.setting(""));
    assert!(fails_for_the_key(&cluster, "shop").contains("has no Ed25519 key"));
    agent.add_key(&cluster, "first");
    let first = back_up(&cluster, "shop", "");
    let old = text(&current(&cluster, "shop"), "id").to_owned();
    assert_eq!(text(&current(&cluster, "shop"), "source"), "external");
    let public = support::public_key(&cluster, "shop");
    let files = LocalBackup::of(&cluster, first.clone());
    assert!(openssl_verifies(&public, &files.manifest, &files.signature));

    agent.add_key(&cluster, "second");
    let said = fails_for_the_key(&cluster, "shop");
    assert!(said.contains("has several Ed25519 keys") && said.contains(&old), "{said}");
    let new = said
        .split([' ', ',', '.'])
        .find(|word| word.len() == 16 && *word != old && is_hex(word))
        .unwrap()
        .to_owned();
    set_signer(&cluster, &agent.setting("0123456789abcdef"));
    assert!(fails_for_the_key(&cluster, "shop").contains("does not have key 0123456789abcdef"));

    // The agent has both, so the first key signs for the second.
    set_signer(&cluster, &agent.setting(&new));
    let second = back_up(&cluster, "shop", "");
    assert_eq!(key_of(&cluster, &second), new);
    assert_unbroken(&cluster, "shop");
    assert_eq!(keys(&cluster, "shop").len(), 2);
    for backup in [&first, &second] {
        assert_eq!(text(&verify(&cluster, "shop", backup), "state"), "completed");
    }
    assert!(!key_file(&cluster).exists());

    // What an agent does not take is told before anything is copied.
    cluster.sql("shop", "CREATE SCHEMA many; SELECT format('CREATE TABLE many.t%s (n int)', n) FROM generate_series(1, 1400) AS n \\gexec");
    let said = fails_for_the_key(&cluster, "shop");
    assert!(said.contains("too long for an ssh-agent") && said.contains("Use a command"), "{said}");
    let before = "SELECT finalizing_at IS NULL FROM walwarden.jobs ORDER BY queued_at DESC LIMIT 1";
    assert_eq!(cluster.sql("shop", before), "t");

    agent.ssh(&cluster, Command::new("ssh-add").args(["-q", "-D"]));
    assert!(fails_for_the_key(&cluster, "shop").contains(&format!("does not have key {new}")));
}

fn is_hex(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The same key and message in all three forms, by the programs that people have.
#[test]
fn stock_programs_take_every_form_of_a_signature() {
    let folder = std::env::temp_dir().join(format!("walwarden-forms-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let key = SigningKey::generate([42; 32]);
    let message = b"{\"format\":{\"name\":\"walwarden-manifest\",\"version\":1}}";
    let signature = key.sign(message);
    let (good, bad) = (file("manifest.json", message), file("changed.json", b"{\"format\":{}}"));
    let pem = file("pem", key.public().to_pem().unwrap().as_bytes());
    let raw = file("sig", &signature);
    let minisign_key = file("minisign.pub", minisign::public_key_file(&key.public()).as_bytes());
    let comment = "backup of shop, 2027-01-15";
    let minisig = file("minisig", minisign::signature_file(&key, &signature, comment).unwrap().as_bytes());
    let signers = file("allowed_signers", sshsig::allowed_signers_line(&key.public()).as_bytes());
    let sshsig_file = file("sshsig", sshsig::signature_file(&key, message).unwrap().as_bytes());

    assert!(openssl_verifies(&pem, &good, &raw) && !openssl_verifies(&pem, &bad, &raw));
    let by_minisign = |message: &Path, signature: &Path| {
        let mut command = Command::new("minisign");
        run(command.arg("-Vm").arg(message).arg("-x").arg(signature).arg("-p").arg(&minisign_key))
    };
    let output = by_minisign(&good, &minisig);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(comment), "{output:?}");
    assert!(!by_minisign(&bad, &minisig).status.success());
    let changed = fs::read_to_string(&minisig).unwrap().replace("2027", "2028");
    assert!(
        !by_minisign(&good, &file("changed.minisig", changed.as_bytes())).status.success(),
        "the comment is signed"
    );

    let by_ssh = |message: &Path, namespace: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-I", sshsig::PRINCIPAL, "-n", namespace, "-f"]).arg(&signers);
        command.arg("-s").arg(&sshsig_file).stdin(fs::File::open(message).unwrap());
        run(&mut command).status.success()
    };
    assert!(by_ssh(&good, sshsig::NAMESPACE));
    assert!(!by_ssh(&bad, sshsig::NAMESPACE));
    assert!(!by_ssh(&good, "git"));
    fs::remove_dir_all(&folder).unwrap();
}
