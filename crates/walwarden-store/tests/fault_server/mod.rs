//! A real S3 server in the test's own process, with a layer in front that fails as real networks and servers do.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use serde_json::json;
use tokio::net::TcpListener;
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{CredentialSource, Location, RetryPolicy, StorageOptions, Store};

pub const KEY: &str = "test-key";
pub const SECRET: &str = "test-secret-canary";
pub const BUCKET: &str = "backups";

type AnyBody = BoxBody<Bytes, io::Error>;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "not every test file uses all of them")]
pub enum Fault {
    /// Answered with a status and a code; the server never sees it.
    Status(u16, &'static str),
    /// The server does it, but the answer is a status and a code.
    StatusAfter(u16, &'static str),
    /// The connection is closed without an answer.
    Close,
    /// The connection is closed after some of the request's body.
    CloseMidBody,
    /// The server does it, but the connection is closed instead of an answer.
    LoseReply,
    /// Never answered.
    Hang,
    /// Answered with status 200 and an error in the body.
    OkWithError(&'static str),
    /// Answered with status 200 and this body.
    Reply(&'static str),
    /// The answer's body ends too early, with the connection.
    TruncateBody,
    /// The answer's body ends too early, as if it were complete.
    ShortBody,
    /// One byte of the answer's body is another.
    FlipByte,
    /// The server overwrites what it was told not to.
    IgnoreCondition,
}

struct Rule {
    method: Method,
    contains: &'static str,
    fault: Fault,
    planned: usize,
    times: usize,
}

/// A running server; it stops with the test's runtime.
pub struct FaultServer {
    address: SocketAddr,
    folder: tempfile::TempDir,
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Whose form of the requests it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Amazon,
    Google,
}

impl Dialect {
    /// The request as the server knows it.
    fn translated(self, mut request: Request<Incoming>) -> Request<Incoming> {
        if self == Self::Google {
            let headers = request.headers_mut();
            headers.remove("authorization");
            if let Some(generation) = headers.remove("x-goog-if-generation-match") {
                assert_eq!(generation, "0");
                headers.insert("if-none-match", "*".parse().unwrap());
            }
        }
        request
    }
}

/// A request that came.
struct Seen {
    /// Method, path and query.
    line: String,
    headers: HeaderMap,
}

#[allow(dead_code, reason = "not every test file uses all of them")]
impl FaultServer {
    pub async fn start() -> Self {
        Self::start_as(Dialect::Amazon).await
    }

    /// A server that is spoken to as Google's XML API, which differs from Amazon's in a few headers. It does not look at
    /// who asks.
    pub async fn start_google() -> Self {
        Self::start_as(Dialect::Google).await
    }

    async fn start_as(dialect: Dialect) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        if dialect == Dialect::Amazon {
            builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        }
        let service = builder.build();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(accept(
            listener,
            service,
            folder.path().to_owned(),
            dialect,
            Arc::clone(&rules),
            Arc::clone(&seen),
        ));
        Self { address, folder, rules, seen }
    }

    /// The next `times` requests with this method whose path and query contain `contains` meet `fault`.
    pub fn fail(&self, method: Method, contains: &'static str, fault: Fault, times: usize) {
        self.rules.lock().unwrap().push(Rule { method, contains, fault, planned: times, times });
    }

    /// How many requests have met a fault.
    pub fn faults_met(&self) -> usize {
        self.rules.lock().unwrap().iter().map(|rule| rule.planned - rule.times).sum()
    }

    /// All requests so far: method, path and query.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.line.clone()).collect()
    }

    /// The headers of the last request whose method, path and query contain all of these.
    pub fn headers_of(&self, parts: &[&str]) -> HeaderMap {
        let seen = self.seen.lock().unwrap();
        let found = seen.iter().rev().find(|seen| parts.iter().all(|part| seen.line.contains(part)));
        found.unwrap_or_else(|| panic!("no request has {parts:?}")).headers.clone()
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket's folder.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    /// Files of uploads that are neither completed nor aborted.
    pub fn pending_uploads(&self) -> Vec<String> {
        files(self.folder.path()).into_iter().filter(|name| name.contains("upload")).collect()
    }

    pub fn options(&self) -> serde_json::Value {
        json!({"endpoint": format!("http://{}", self.address), "allow_http": true, "region": "us-east-1"})
    }

    pub fn store(&self) -> Store {
        self.store_with(BUCKET, SECRET, quick())
    }

    pub fn store_with(&self, bucket: &str, secret: &str, policy: RetryPolicy) -> Store {
        let location = Location::parse(&format!("s3://{bucket}/some/prefix")).unwrap();
        let options = StorageOptions::parse(&location, &self.options()).unwrap();
        Store::open_with_policy(
            &location,
            &options,
            &credentials(KEY, secret),
            &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
            policy,
        )
        .unwrap()
    }

    /// A store with more options.
    pub fn store_of(&self, more: serde_json::Value, source: &CredentialSource) -> Store {
        let location = Location::parse(&format!("s3://{BUCKET}/some/prefix")).unwrap();
        let mut options = self.options();
        for (name, value) in more.as_object().unwrap() {
            options[name] = value.clone();
        }
        let options = StorageOptions::parse(&location, &options).unwrap();
        Store::open_with_policy(
            &location,
            &options,
            source,
            &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
            quick(),
        )
        .unwrap()
    }
}

/// Keys given explicitly: nothing may ask a metadata service.
pub fn credentials(key: &str, secret: &str) -> CredentialSource {
    let variables = [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)];
    CredentialSource::from_variables(variables.map(|(name, value)| (name.to_owned(), value.to_owned())), None)
}

pub fn quick() -> RetryPolicy {
    RetryPolicy {
        budget: Duration::from_secs(8),
        attempt_timeout: Duration::from_secs(2),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
    }
}

/// All files below `folder`, by their path in it.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in current.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

async fn accept(
    listener: TcpListener,
    service: S3Service,
    folder: PathBuf,
    dialect: Dialect,
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let (service, folder) = (service.clone(), folder.clone());
        let (rules, seen) = (Arc::clone(&rules), Arc::clone(&seen));
        tokio::spawn(async move {
            let handler = service_fn(move |request: Request<Incoming>| {
                let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
                let line = format!("{} {target}", request.method());
                seen.lock().unwrap().push(Seen { line, headers: request.headers().clone() });
                let fault = take_fault(&rules, request.method(), &target);
                answer(service.clone(), folder.clone(), dialect.translated(request), fault)
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), handler)
                .await;
        });
    }
}

fn take_fault(rules: &Mutex<Vec<Rule>>, method: &Method, target: &str) -> Option<Fault> {
    let mut rules = rules.lock().unwrap();
    let rule =
        rules.iter_mut().find(|r| r.times > 0 && r.method == *method && target.contains(r.contains))?;
    rule.times -= 1;
    Some(rule.fault)
}

/// An error makes hyper close the connection without an answer.
async fn answer(
    service: S3Service,
    folder: PathBuf,
    request: Request<Incoming>,
    fault: Option<Fault>,
) -> Result<Response<AnyBody>, io::Error> {
    let closed = || Err(io::Error::other("closed by the test"));
    match fault {
        Some(Fault::Status(status, code)) => {
            // Read the body first, as servers do that want their answer to arrive.
            let _ = request.into_body().collect().await;
            Ok(error(status, code))
        }
        Some(Fault::OkWithError(code)) => {
            let _ = request.into_body().collect().await;
            Ok(error(200, code))
        }
        Some(Fault::Reply(body)) => {
            let _ = request.into_body().collect().await;
            Ok(Response::new(full(Bytes::from_static(body.as_bytes()))))
        }
        Some(Fault::Close) => closed(),
        Some(Fault::CloseMidBody) => {
            let _ = request.into_body().frame().await;
            closed()
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::IgnoreCondition) => {
            // The condition is signed, so it cannot be taken from the request; the object is taken away instead.
            let _ = std::fs::remove_file(folder.join(request.uri().path().trim_start_matches('/')));
            pass(service, request).await
        }
        Some(Fault::LoseReply) => {
            pass(service, request).await?;
            closed()
        }
        Some(Fault::StatusAfter(status, code)) => {
            pass(service, request).await?;
            Ok(error(status, code))
        }
        Some(fault @ (Fault::TruncateBody | Fault::ShortBody | Fault::FlipByte)) => {
            damage(pass(service, request).await?, fault).await
        }
        None => pass(service, request).await,
    }
}

async fn pass(service: S3Service, request: Request<Incoming>) -> Result<Response<AnyBody>, io::Error> {
    let answer =
        service.call(request.map(s3s::Body::from)).await.map_err(|e| io::Error::other(format!("{e:?}")))?;
    Ok(answer.map(|body| body.map_err(|e| io::Error::other(e.to_string())).boxed()))
}

async fn damage(answer: Response<AnyBody>, fault: Fault) -> Result<Response<AnyBody>, io::Error> {
    let (mut parts, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let half = bytes.slice(..bytes.len() / 2);
    let body = match fault {
        Fault::TruncateBody => {
            let frames = [Ok(Frame::data(half)), Err(io::Error::other("closed by the test"))];
            BodyExt::boxed(StreamBody::new(futures::stream::iter(frames)))
        }
        Fault::ShortBody => {
            parts.headers.remove("content-length");
            full(half)
        }
        _ => {
            let mut bytes = bytes.to_vec();
            if let Some(byte) = bytes.get_mut(half.len()) {
                *byte ^= 1;
            }
            full(Bytes::from(bytes))
        }
    };
    Ok(Response::from_parts(parts, body))
}

fn error(status: u16, code: &str) -> Response<AnyBody> {
    let text = if code.is_empty() {
        String::new()
    } else {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>made by the test</Message>\
             <StringToSign>{SECRET}</StringToSign></Error>"
        )
    };
    let mut response = Response::new(full(Bytes::from(text)));
    *response.status_mut() = status.try_into().unwrap();
    *response.headers_mut() = HeaderMap::new();
    response
}

fn full(bytes: Bytes) -> AnyBody {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed()
}
