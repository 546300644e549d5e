//! Real requests to receivers in this process: good ones, and all kinds of bad ones.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test's support code fails by panicking"
)]

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, LOCATION, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;
use walwarden_alert::{Failure, Format, Notification, Receiver, Scope, Secret, Severity, Target};
use walwarden_reach::{AllowList, Lookup, Purpose};

const NOW: i64 = 1_800_000_000;
const HERE: &str = "127.0.0.1";

fn notification() -> Notification {
    Notification {
        id: Uuid::from_u128(7),
        event: "backup.failed".to_owned(),
        severity: Severity::Error,
        at: chrono::DateTime::from_timestamp(NOW, 0).unwrap(),
        database: "shop".to_owned(),
        database_id: Uuid::from_u128(8),
        schedule: None,
        job: None,
        text: "backup failed".to_owned(),
        details: serde_json::Map::new(),
    }
}

/// What a receiver got.
#[derive(Debug, Clone)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: String,
}

/// A receiver that answers properly, with what a closure says.
struct Server {
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answer: impl Fn() -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            got: Arc::default(),
            connections: Arc::default(),
        };
        let (got, connections, answer) = (server.got.clone(), server.connections.clone(), Arc::new(answer));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (got, answer) = (got.clone(), answer.clone());
                let serve = service_fn(move |request: Request<Incoming>| {
                    let (got, answer) = (got.clone(), answer.clone());
                    async move {
                        let (path, headers) = (request.uri().to_string(), request.headers().clone());
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let body = String::from_utf8(body.to_vec()).unwrap();
                        got.lock().unwrap().push(Got { path, headers, body });
                        Ok::<_, Infallible>(answer())
                    }
                });
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), serve)
                        .await;
                });
            }
        });
        server
    }

    async fn with_status(status: u16) -> Self {
        Self::start(move || Response::builder().status(status).body(Full::default()).unwrap()).await
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// A receiver that does with a connection what it likes.
async fn rogue<F>(treat: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(treat(stream));
        }
    });
    port
}

/// Reads the head of a request, so that the client has sent something.
async fn read_head(stream: &mut TcpStream) -> io::Result<()> {
    let mut seen = Vec::new();
    while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
        seen.push(stream.read_u8().await?);
    }
    Ok(())
}

/// Answers that were prepared, one look-up after the other; the last one again and again.
struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn prepared(answers: &[&str]) -> (Arc<dyn Lookup>, Arc<AtomicUsize>) {
        let parse = |text: &&str| text.split_whitespace().map(|address| address.parse().unwrap()).collect();
        let asked = Arc::<AtomicUsize>::default();
        let names = Self { answers: answers.iter().map(parse).collect(), asked: asked.clone() };
        (Arc::new(names), asked)
    }
}

impl Lookup for Names {
    fn lookup(&self, _: String) -> std::pin::Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[number.min(self.answers.len() - 1)].clone();
        Box::pin(async move { Ok(answer) })
    }
}

fn receiver(url: &str, allowed: &str, names: &[&str]) -> Receiver {
    let secret = Some(Secret::new("canary-secret".to_owned()));
    let (lookup, _) = Names::prepared(names);
    Receiver::new(
        Target::parse(url).unwrap(),
        Format::Json,
        secret,
        AllowList::parse(Purpose::Webhook, allowed).unwrap(),
        lookup,
    )
    .unwrap()
}

fn local(port: u16) -> Receiver {
    receiver(&format!("http://{HERE}:{port}/canary?token=canary"), HERE, &[HERE])
}

async fn fails(receiver: &Receiver) -> Failure {
    let failure = receiver.send(&notification(), NOW).await.unwrap_err();
    assert!(!failure.note.contains("canary"), "{failure:?}");
    println!("{}", failure.note);
    failure
}

#[tokio::test]
async fn a_good_receiver_gets_a_request_that_openssl_verifies() {
    let server = Server::with_status(204).await;
    let receiver = local(server.port);
    for _ in 0..3 {
        assert_eq!(receiver.send(&notification(), NOW).await.unwrap().as_u16(), 204);
    }
    let got = server.got();
    assert_eq!(got.len(), 3);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "one connection for all of them");
    assert_eq!(got[0].path, "/canary?token=canary");
    let header = |name: &str| got[0].headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("walwarden-id"), Uuid::from_u128(7).to_string());
    assert_eq!(header("walwarden-event"), "backup.failed");
    assert_eq!(header("content-type"), "application/json");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{NOW}.{}", got[0].body)).unwrap();
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "canary-secret", "-r"])
        .arg(file.path())
        .output()
        .unwrap();
    let hex = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        header("walwarden-signature"),
        format!("t={NOW},v1={}", hex.split_whitespace().next().unwrap())
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::with_status(200).await;
    let target = format!("http://{HERE}:{}/", elsewhere.port);
    for status in [301, 302, 303, 307, 308, 300] {
        let to = target.clone();
        let server = Server::start(move || {
            Response::builder().status(status).header(LOCATION, &to).body(Full::default()).unwrap()
        })
        .await;
        let failure = fails(&local(server.port)).await;
        assert!(failure.note.contains("redirect"), "{failure:?}");
        assert_eq!(failure.scope, Scope::Receiver);
    }
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_a_status_says_is_said_of_the_receiver_or_of_the_notification() {
    for (status, scope) in [
        (500, Scope::Receiver),
        (503, Scope::Receiver),
        (429, Scope::Receiver),
        (408, Scope::Receiver),
        (400, Scope::Notification),
        (404, Scope::Notification),
        (413, Scope::Notification),
    ] {
        let server = Server::start(move || {
            Response::builder().status(status).header(RETRY_AFTER, "77").body(Full::default()).unwrap()
        })
        .await;
        let failure = fails(&local(server.port)).await;
        assert_eq!((failure.scope, failure.wanted_pause), (scope, Some(Duration::from_secs(77))), "{status}");
        assert!(failure.note.contains(&status.to_string()));
    }
    let server = Server::start(|| {
        Response::builder().status(503).header(RETRY_AFTER, "soon").body(Full::default()).unwrap()
    })
    .await;
    assert_eq!(fails(&local(server.port)).await.wanted_pause, None);
}

#[tokio::test]
async fn whoever_is_slow_is_left_alone_after_a_time() {
    let silent = rogue(|mut stream| async move {
        read_head(&mut stream).await?;
        std::future::pending().await
    })
    .await;
    // A byte of a header now and then, for ever.
    let dripping = rogue(|mut stream| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await?;
        loop {
            stream.write_all(b"x").await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    // Never takes a connection: its queue is full.
    let (one, two) = (local(silent), local(dripping));
    let both =
        tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(fails(&one), fails(&two)) });
    let (one, two) = both.await.expect("both gave up by themselves");
    for failure in [one, two] {
        assert!(failure.note.contains("did not answer within 10 seconds"), "{failure:?}");
        assert_eq!(failure.scope, Scope::Receiver);
    }
}

#[tokio::test]
async fn nobody_waits_for_an_endless_answer() {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let endless = |status: &'static str| {
        rogue(move |mut stream| async move {
            read_head(&mut stream).await?;
            stream
                .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 100000000000\r\n\r\n").as_bytes())
                .await?;
            loop {
                stream.write_all(&[b'x'; 8192]).await?;
                WRITTEN.fetch_add(8192, Ordering::SeqCst);
            }
        })
    };
    // Good news is good news, whatever follows it.
    assert_eq!(local(endless("200 OK").await).send(&notification(), NOW).await.unwrap().as_u16(), 200);
    assert!(fails(&local(endless("500 No").await)).await.note.contains("500"));
    // What was written beyond 64 KiB stood in the buffers of the kernel when the connection was closed.
    let written = WRITTEN.load(Ordering::SeqCst);
    println!("written before the connections were closed: {written} bytes");
    assert!(written < 64 << 20, "{written}");
    let says_nothing_more = rogue(|mut stream| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 202 OK\r\nContent-Length: 10\r\n\r\n").await?;
        std::future::pending().await
    })
    .await;
    assert_eq!(local(says_nothing_more).send(&notification(), NOW).await.unwrap().as_u16(), 202);
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure_of_the_receiver() {
    let closing = rogue(|_| async { Ok(()) }).await;
    let closing_early = rogue(|mut stream| async move { read_head(&mut stream).await }).await;
    let talking = rogue(|mut stream| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"canary SSH-2.0 hello\r\n\r\n").await
    })
    .await;
    let long_headers = rogue(|mut stream| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        loop {
            stream.write_all(b"X-Header: canary\r\n").await?;
        }
    })
    .await;
    let nobody = {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    for port in [closing, closing_early, talking, long_headers, nobody] {
        let failure = fails(&local(port)).await;
        assert_eq!(failure.scope, Scope::Receiver);
        assert!(failure.note.starts_with(&format!("{HERE}:{port}: ")), "{failure:?}");
    }
}

#[tokio::test]
async fn plain_text_where_tls_is_due_is_a_failure() {
    let server = Server::with_status(200).await;
    let failure = fails(&receiver(&format!("https://{HERE}:{}/canary", server.port), HERE, &[])).await;
    assert_eq!(failure.scope, Scope::Receiver);
    assert!(server.got().is_empty());
}

#[tokio::test]
async fn only_what_is_allowed_is_connected_to() {
    let server = Server::with_status(200).await;
    let port = server.port;
    for (url, allowed, names) in [
        // By address, in every notation.
        (format!("http://127.0.0.1:{port}/"), "", ""),
        (format!("http://2130706433:{port}/"), "10.0.0.0/8", ""),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "::1", ""),
        (format!("http://0.0.0.0:{port}/"), "127.0.0.0/8", ""),
        // By name; any of the addresses counts.
        (format!("http://localhost:{port}/"), "", HERE),
        (format!("https://hook.test:{port}/"), "", HERE),
        (format!("http://hook.test:{port}/"), "127.0.0.1/32", "127.0.0.1 10.0.0.1"),
        (format!("http://hook.test:{port}/"), "other.test", HERE),
        (format!("http://hook.test:{port}/"), "hook.test:1", HERE),
        (format!("http://hook.test:{port}/"), "hook.test", "169.254.169.254"),
        (format!("http://hook.test:{port}/"), "hook.test", "0.0.0.0"),
        (format!("http://hook.test:{port}/"), "hook.test", "::ffff:169.254.169.254"),
    ] {
        let failure = fails(&receiver(&url, allowed, &[names])).await;
        assert!(failure.note.contains("walwarden.webhook_allow"), "{url}: {failure:?}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
    for (url, allowed) in [
        (format!("http://hook.test:{port}/"), "hook.test"),
        (format!("http://hook.test:{port}/"), "127.0.0.0/8"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), HERE),
    ] {
        let receiver = receiver(&url, allowed, &[HERE]);
        assert_eq!(receiver.send(&notification(), NOW).await.unwrap().as_u16(), 200, "{url}");
    }
    let unknown = fails(&receiver(&format!("https://hook.test:{port}/"), "", &[""])).await;
    assert!(unknown.note.contains("could not find"), "{unknown:?}");
}

/// A name that is one address when it is judged and another one when it is connected to.
#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let server = Server::with_status(200).await;
    let target = || Target::parse(&format!("http://hook.test:{}/", server.port)).unwrap();
    let make = |answers: &[&str]| {
        let (lookup, asked) = Names::prepared(answers);
        let allow = AllowList::parse(Purpose::Webhook, "127.0.0.2").unwrap();
        (Receiver::new(target(), Format::Json, None, allow, lookup).unwrap(), asked)
    };
    // Judged well: what is connected to is that address, where nobody listens, and not this server's.
    let (receiver, asked) = make(&["127.0.0.2", HERE]);
    let failure = receiver.send(&notification(), NOW).await.unwrap_err();
    assert!(failure.note.contains("could not connect"), "{failure:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // The next connection is judged anew.
    let failure = receiver.send(&notification(), NOW).await.unwrap_err();
    assert!(failure.note.contains("loopback"), "{failure:?}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn certificates_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=hook.test", "-addext", "subjectAltName=DNS:hook.test", "-keyout"])
        .arg(file("key"))
        .arg("-out")
        .arg(file("certificate"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let port = TcpListener::bind((HERE, 0)).await.unwrap().local_addr().unwrap().port();
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", &format!("{HERE}:{port}"), "-key"])
        .arg(file("key"))
        .arg("-cert")
        .arg(file("certificate"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let up = async {
        while TcpStream::connect((HERE, port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), up).await.expect("openssl s_server");
    let failure = fails(&receiver(&format!("https://hook.test:{port}/canary"), "hook.test", &[HERE])).await;
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(failure.note.contains("certificate"), "{failure:?}");
}
