//! Says what an S3 client asked for: a proxy on 127.0.0.1 that passes everything on and writes the requests down.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A request as it was sent, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Request {
    /// GET, PUT, ...
    pub method: String,
    /// The bucket.
    pub bucket: String,
    /// The key, as in the path; None for a request that is about the bucket.
    pub key: Option<String>,
    /// What is behind the question mark, not decoded.
    pub query: BTreeMap<String, String>,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
}

/// A proxy in front of one S3 server, for clients that put the bucket into the path.
pub struct S3Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    requests: Mutex<Vec<S3Request>>,
    stopping: AtomicBool,
}

impl S3Recorder {
    /// A proxy that passes everything to `upstream`.
    #[must_use]
    pub fn new(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared =
            Arc::new(Shared { upstream, requests: Mutex::default(), stopping: AtomicBool::new(false) });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(client, &shared));
            }
        });
        Self { address, shared }
    }

    /// Where clients connect to, as a URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked so far.
    #[must_use]
    pub fn requests(&self) -> Vec<S3Request> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for S3Recorder {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // The listener waits for somebody.
        let _ = TcpStream::connect(self.address);
    }
}

/// One client. An error on either side ends the connection, which is all a proxy can say.
fn serve(client: TcpStream, shared: &Shared) {
    let Ok(server) = TcpStream::connect(shared.upstream) else { return };
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to) = (server_too, client_too);
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let (mut from, mut to) = (BufReader::new(client), server);
        while let Some(()) = pass_on(&mut from, &mut to, shared) {}
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// Passes one request on; None at the end of the connection.
fn pass_on(from: &mut BufReader<TcpStream>, to: &mut TcpStream, shared: &Shared) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if from.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    let request = parse(&String::from_utf8_lossy(&head));
    let length = request.headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    assert!(!request.headers.contains_key("transfer-encoding"), "a body without a length: {request:?}");
    shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    to.write_all(&head).ok()?;
    std::io::copy(&mut from.take(length), to).ok()?;
    Some(())
}

fn parse(head: &str) -> S3Request {
    let mut lines = head.lines();
    let mut first = lines.next().expect("a request line").split(' ');
    let method = first.next().expect("a method").to_owned();
    let target = first.next().expect("a target");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (bucket, key) =
        path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let headers = lines.filter_map(|line| line.split_once(':'));
    S3Request {
        method,
        bucket: bucket.to_owned(),
        key: (!key.is_empty()).then(|| key.to_owned()),
        query: pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_apart() {
        let request = parse("PUT /b/a/c.dump?partNumber=1&uploads HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
        assert_eq!((request.method.as_str(), request.bucket.as_str()), ("PUT", "b"));
        assert_eq!(request.key.as_deref(), Some("a/c.dump"));
        assert_eq!(request.query["partNumber"], "1");
        assert_eq!(request.query["uploads"], "");
        assert_eq!(request.headers["content-length"], "5");
        assert_eq!(parse("GET /b/?list-type=2 HTTP/1.1\r\n\r\n").key, None);
    }
}
