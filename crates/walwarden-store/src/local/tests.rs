use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

fn local(root: &Path) -> Local {
    Local::open(root.to_owned(), true).unwrap()
}

/// All files and folders below `root`, with their modes.
fn tree(root: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.push((name, metadata.mode() & 0o7777));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn objects_appear_whole_private_and_once() {
    let root = tempfile::tempdir().unwrap();
    let local = local(root.path());
    local.create("a/b/object", Bytes::from_static(b"first"), LIMIT).await.unwrap();
    let failure = local.create("a/b/object", Bytes::from_static(b"second"), LIMIT).await.unwrap_err();
    assert_eq!(failure.class, ErrorClass::StorageConflict);
    let (bytes, size) = local.read("a/b/object", 1..4, LIMIT).await.unwrap();
    assert_eq!((&bytes[..], size), (&b"irs"[..], 5));
    assert_eq!(
        tree(root.path()),
        [("a".to_owned(), 0o700), ("a/b".to_owned(), 0o700), ("a/b/object".to_owned(), 0o600)]
    );
    assert_eq!(root.path().join("a/b/object").metadata().unwrap().nlink(), 1);
    local.delete("a/b/object", LIMIT).await.unwrap();
    local.delete("a/b/object", LIMIT).await.unwrap();
    assert!(tree(root.path()).is_empty(), "empty folders go with the last object");
}

#[tokio::test]
async fn what_a_crash_left_is_found_by_its_id_and_swept_by_its_key() {
    let root = tempfile::tempdir().unwrap();
    let local = local(root.path());
    let id = local.begin("d/x", LIMIT).await.unwrap();
    local.put_part("d/x", &id, 0, Bytes::from_static(b"half"), LIMIT).await.unwrap();
    let other = local.begin("d/x", LIMIT).await.unwrap();
    let longer = local.begin("d/x.y", LIMIT).await.unwrap();
    assert_eq!(local.head("d/x", LIMIT).await.unwrap(), None);

    // Another process finds it.
    let later = Local::open(root.path().to_owned(), true).unwrap();
    later.abort("d/x", &id, LIMIT).await.unwrap();
    later.abort("d/x", &id, LIMIT).await.unwrap();
    assert_eq!(tree(root.path()).len(), 3, "the folder and the two other uploads");

    std::fs::write(root.path().join("d/.x.note.staged"), "someone's").unwrap();
    later.delete("d/x", LIMIT).await.unwrap();
    let names: Vec<String> = tree(root.path()).into_iter().map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| name.contains(&other)));
    assert_eq!(names, ["d".to_owned(), "d/.x.note.staged".to_owned(), format!("d/.x.y.{longer}.staged")]);
}

#[tokio::test]
async fn an_upload_id_cannot_lead_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    let local = local(root.path());
    for id in ["", "../../etc/passwd", "x"] {
        assert_eq!(local.abort("d/x", id, LIMIT).await.unwrap_err().class, ErrorClass::InvalidInput);
    }
}

#[tokio::test]
async fn completing_needs_every_byte_and_a_free_name() {
    let root = tempfile::tempdir().unwrap();
    let local = local(root.path());
    let id = local.begin("x", LIMIT).await.unwrap();
    local.put_part("x", &id, 3, Bytes::from_static(b"def"), LIMIT).await.unwrap();
    local.put_part("x", &id, 0, Bytes::from_static(b"abc"), LIMIT).await.unwrap();
    assert_eq!(local.complete("x", &id, 7, LIMIT).await.unwrap_err().class, ErrorClass::StorageCorrupt);
    local.complete("x", &id, 6, LIMIT).await.unwrap();
    assert_eq!(&local.read("x", 0..6, LIMIT).await.unwrap().0[..], b"abcdef");

    let id = local.begin("x", LIMIT).await.unwrap();
    assert_eq!(local.complete("x", &id, 0, LIMIT).await.unwrap_err().class, ErrorClass::StorageConflict);
    assert_eq!(&local.read("x", 0..6, LIMIT).await.unwrap().0[..], b"abcdef");
}

#[tokio::test]
async fn a_link_that_succeeded_in_secret_is_success() {
    let root = tempfile::tempdir().unwrap();
    let local = local(root.path());
    let id = local.begin("x", LIMIT).await.unwrap();
    let staged = Staged::parse("x", &id).unwrap_or_else(|_| panic!("id")).path(&local.folder);
    std::fs::hard_link(staged, root.path().join("x")).unwrap();
    local.complete("x", &id, 0, LIMIT).await.unwrap();
    assert_eq!(tree(root.path()), [("x".to_owned(), 0o600)]);
}

#[test]
fn only_the_root_folder_itself_is_made() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("backups");
    local(&root);
    assert_eq!(root.metadata().unwrap().mode() & 0o7777, 0o700);
    let error = Local::open(parent.path().join("not/mounted"), true).err().unwrap();
    assert_eq!(error.class, ErrorClass::StorageNotFound);
    assert!(error.hint.unwrap().contains("mount"));
    std::fs::write(parent.path().join("file"), "").unwrap();
    assert!(Local::open(parent.path().join("file"), true).is_err());
}

#[tokio::test]
async fn a_full_disk_is_storage_full_and_leaves_nothing() {
    // Where the test runs as root, a tiny file system can be mounted; /dev/full would fail at another place.
    let root = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(root.path())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        return;
    }
    let local = local(root.path());
    let failure = local.create("a/x", Bytes::from(vec![7; 200_000]), LIMIT).await.unwrap_err();
    let left = tree(root.path());
    let _ = std::process::Command::new("umount").arg(root.path()).status();
    assert_eq!(failure.class, ErrorClass::StorageFull);
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_folder_of_others_is_a_permission_error() {
    if rustix::process::geteuid().is_root() {
        // Root may write everywhere; the mapping of EACCES is tested in `failure`.
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let local = local(root.path());
    std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o500)).unwrap();
    let failure = local.create("x", Bytes::new(), LIMIT).await.unwrap_err();
    assert_eq!(failure.class, ErrorClass::StoragePermission);
}

#[tokio::test]
async fn racing_creates_have_one_winner_and_no_race_with_tidying() {
    let root = tempfile::tempdir().unwrap();
    let local = Arc::new(local(root.path()));
    for round in 0..20 {
        let key = format!("r/{round}");
        let racers: Vec<_> = (0..8_u8)
            .map(|n| {
                let (local, key) = (Arc::clone(&local), key.clone());
                tokio::spawn(async move { local.create(&key, Bytes::from(vec![n; 100]), LIMIT).await })
            })
            .collect();
        let mut winners = 0;
        for racer in racers {
            match racer.await.unwrap() {
                Ok(()) => winners += 1,
                Err(failure) => assert_eq!(failure.class, ErrorClass::StorageConflict, "{failure:?}"),
            }
        }
        assert_eq!(winners, 1);
        local.delete(&key, LIMIT).await.unwrap();
    }
    assert!(tree(root.path()).is_empty());
}
