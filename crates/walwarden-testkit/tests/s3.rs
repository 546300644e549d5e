//! The S3 server answers, refuses and comes back; the proxy in front of it plays the network's part.

use walwarden_testkit::{Fault, FaultProxy, S3Server};

const BUCKET: &str = S3Server::BUCKET;

#[test]
fn stores_lists_and_survives_a_kill() {
    let mut server = S3Server::start();
    let client = server.client();
    assert!(client.list(BUCKET, "").is_empty());
    client.put(BUCKET, "a/1 with space+plus", b"one");
    client.put(BUCKET, "a/2", b"two");
    client.put(BUCKET, "b/3", b"three");
    let keys: Vec<String> = client.list(BUCKET, "a/").into_iter().map(|object| object.key).collect();
    assert_eq!(keys, ["a/1 with space+plus", "a/2"]);
    assert_eq!(client.get(BUCKET, "a/1 with space+plus").unwrap(), b"one");
    assert_eq!(client.get(BUCKET, "nothing"), None);
    assert!(client.pending_uploads(BUCKET).is_empty());
    client.flip_byte(BUCKET, "a/2", 0);
    assert_eq!(client.get(BUCKET, "a/2").unwrap(), b"uwo");
    client.create_bucket("another");
    client.put("another", "x", b"");

    server.kill();
    server.start_again();
    assert_eq!(server.client().get(BUCKET, "b/3").unwrap(), b"three");
    server.client().delete(BUCKET, "b/3");
    assert!(server.client().list(BUCKET, "b/").is_empty());
}

#[test]
fn two_servers_and_a_proxy() {
    let (first, second) = (S3Server::start(), S3Server::start());
    first.client().put(BUCKET, "k", b"v");
    assert_eq!(second.client().get(BUCKET, "k"), None);

    let proxy = FaultProxy::new(first.address());
    assert_eq!(first.client().through(&proxy).get(BUCKET, "k").unwrap(), b"v");
    assert_eq!(proxy.connections(), 1);
    proxy.set(Fault::CutAfter(1000));
    let cut = std::panic::catch_unwind(|| first.client().through(&proxy).put(BUCKET, "big", &[0; 100_000]));
    assert!(cut.is_err());
    assert!(proxy.has_struck());
    proxy.set(Fault::Pass);
    assert_eq!(first.client().get(BUCKET, "big"), None);
}

#[test]
fn the_reader_may_only_read() {
    let server = S3Server::start();
    server.client().put(BUCKET, "k", b"v");
    assert_eq!(server.reader().get(BUCKET, "k").unwrap(), b"v");
    assert!(std::panic::catch_unwind(|| server.reader().put(BUCKET, "k", b"w")).is_err());
    assert_eq!(server.client().get(BUCKET, "k").unwrap(), b"v");
}
