//! Backups of tables that nothing has in memory: after a restart, with the files dropped from the system's cache.

use crate::DATABASE;
use crate::table::Table;
use crate::types::spread;
use std::path::Path;
use std::process::{Command, Stdio};
use walwarden_testkit::Cluster;

/// Seconds that the copying took.
type Seconds = f64;

/// In turns, so that what slows the machine down cancels out.
pub fn measure(cluster: &mut Cluster, rounds: usize) -> Table {
    let folder = cluster.new_server_folder("backups");
    cluster.sql(DATABASE, &format!("SELECT walwarden.add_storage('folder', 'file://{}')", folder.display()));
    let (mut direct, mut copy) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        eprintln!("nothing cached, round {round} of {rounds}");
        if round % 2 == 1 {
            direct.push(back_up(cluster, "auto"));
            copy.push(back_up(cluster, "copy"));
        } else {
            copy.push(back_up(cluster, "copy"));
            direct.push(back_up(cluster, "auto"));
        }
    }
    let ratios = direct.iter().zip(&copy).map(|(direct, copy)| direct / copy).collect();
    let mut table = Table::new(&["", "copying, s"]);
    table.row("direct", spread(direct));
    table.row("through COPY", spread(copy));
    table.row("direct ÷ COPY", spread(ratios));
    table
}

fn back_up(cluster: &mut Cluster, encoder: &str) -> Seconds {
    cluster.sql(DATABASE, &format!("ALTER DATABASE {DATABASE} SET walwarden.encoder = {encoder}"));
    cluster.sql(DATABASE, "CHECKPOINT");
    cluster.restart();
    forget(&cluster.data_dir().join("base"));
    let mut client = cluster.client(DATABASE);
    let query = "SELECT walwarden.run_now(storage => 'folder', jobs => 2, compression => 'none')::text";
    let job: String = client.query_one(query, &[]).expect("a job").get(0);
    let state: String =
        client.query_one("SELECT walwarden.wait_for($1::text::uuid)", &[&job]).expect("its end").get(0);
    assert_eq!(state, "completed");
    let query = "SELECT extract(epoch FROM finalizing_at - started_at)::float8 FROM walwarden.jobs WHERE id = $1::text::uuid";
    let seconds = client.query_one(query, &[&job]).expect("the job").get(0);
    let query = "SELECT walwarden.delete_backup($1::text::uuid, 'measured')";
    client.query_one(query, &[&job]).expect("a backup that can be deleted");
    seconds
}

/// Has the system drop these files from its cache, as `dd` asks it to.
fn forget(folder: &Path) {
    for entry in
        std::fs::read_dir(folder).expect("the server's files").map(|entry| entry.expect("a file").path())
    {
        if entry.is_dir() {
            forget(&entry);
            continue;
        }
        let mut command = Command::new("dd");
        command.arg(format!("if={}", entry.display())).args(["iflag=nocache", "count=0", "status=none"]);
        let status = command.stdin(Stdio::null()).status().expect("dd runs");
        // The server may have removed a file of its own meanwhile.
        assert!(status.success() || !entry.exists(), "dd of {}", entry.display());
    }
}
