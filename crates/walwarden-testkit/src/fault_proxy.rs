//! A network that fails on command: a TCP proxy on 127.0.0.1 in front of a real server.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a waiting thread looks whether the fault has changed.
const TICK: Duration = Duration::from_millis(20);

/// What the proxy does with its connections. A change holds at once, for open connections too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is wrong.
    Pass,
    /// Connections are accepted and stay open, and nothing moves any more in either direction.
    Stall,
    /// Every connection is closed as soon as it is made; open ones are closed now.
    Refuse,
    /// Closes everything as soon as the clients have sent this many more bytes, and then refuses: a server that is gone
    /// halfway through an upload.
    CutAfter(u64),
    /// Stalls as soon as the clients have sent this many more bytes: an upload that never ends.
    StallAfter(u64),
}

/// A proxy in front of one server. Dropped, it closes everything.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    fault: Mutex<Fault>,
    /// Bytes that clients sent since the fault was set.
    sent: AtomicU64,
    connections: AtomicUsize,
    stopping: AtomicBool,
}

impl FaultProxy {
    /// A proxy that passes everything to `upstream`.
    #[must_use]
    pub fn new(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a socket");
        let shared = Arc::new(Shared {
            upstream,
            fault: Mutex::new(Fault::Pass),
            sent: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, do this. Counts of bytes begin anew.
    pub fn set(&self, fault: Fault) {
        let mut current = self.shared.fault();
        self.shared.sent.store(0, Ordering::SeqCst);
        *current = fault;
    }

    /// Whether the fault of [`Fault::CutAfter`] or [`Fault::StallAfter`] has struck.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        matches!(self.shared.effect(), Effect::Stall | Effect::Close)
    }

    /// How many bytes the clients have sent since the fault was set.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// How many connections were made since the proxy was.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Pass,
    Stall,
    Close,
}

impl Shared {
    fn fault(&self) -> MutexGuard<'_, Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn effect(&self) -> Effect {
        if self.stopping.load(Ordering::SeqCst) {
            return Effect::Close;
        }
        let sent = self.sent.load(Ordering::SeqCst);
        match *self.fault() {
            Fault::Stall => Effect::Stall,
            Fault::Refuse => Effect::Close,
            Fault::CutAfter(limit) if sent >= limit => Effect::Close,
            Fault::StallAfter(limit) if sent >= limit => Effect::Stall,
            Fault::Pass | Fault::CutAfter(_) | Fault::StallAfter(_) => Effect::Pass,
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stopping.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((client, _)) => {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(shared);
                std::thread::spawn(move || serve(client, &shared));
            }
            Err(_) => std::thread::sleep(TICK),
        }
    }
}

/// One client. An error on either side ends the connection, which is all a proxy can say.
fn serve(client: TcpStream, shared: &Arc<Shared>) {
    while shared.effect() == Effect::Stall {
        std::thread::sleep(TICK);
    }
    if shared.effect() == Effect::Close {
        return;
    }
    let Ok(server) = TcpStream::connect(shared.upstream) else { return };
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| pump(client, server, shared, true));
        scope.spawn(|| pump(server_too, client_too, shared, false));
    });
}

/// Moves bytes until one side ends or a fault does.
fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared, from_client: bool) {
    let mut buffer = [0; 16 * 1024];
    let ready = from.set_nonblocking(false).and_then(|()| from.set_read_timeout(Some(TICK)));
    if ready.is_err() {
        return;
    }
    loop {
        match shared.effect() {
            Effect::Close => break,
            Effect::Stall => std::thread::sleep(TICK),
            Effect::Pass => match from.read(&mut buffer) {
                Ok(0) => {
                    // The other direction may go on: a client that has sent its request and waits.
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(n) => {
                    if from_client {
                        shared.sent.fetch_add(n as u64, Ordering::SeqCst);
                    }
                    while shared.effect() == Effect::Stall {
                        std::thread::sleep(TICK);
                    }
                    if shared.effect() == Effect::Close || to.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            },
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::wait_until;

    /// A server that answers every byte with the same byte.
    fn echo_server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut &stream));
            }
        });
        address
    }

    fn connect(proxy: &FaultProxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream
    }

    fn echo(stream: &mut TcpStream) -> std::io::Result<u8> {
        let mut answer = [0];
        stream.write_all(b"x")?;
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    #[test]
    fn passes_stalls_and_goes_on() {
        let proxy = FaultProxy::new(echo_server());
        let mut stream = connect(&proxy);
        assert_eq!(echo(&mut stream).unwrap(), b'x');
        proxy.set(Fault::Stall);
        assert!(matches!(echo(&mut stream).unwrap_err().kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        let mut late = connect(&proxy);
        assert!(matches!(echo(&mut late).unwrap_err().kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        proxy.set(Fault::Pass);
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"x");
    }

    #[test]
    fn refuses_old_and_new_connections() {
        let proxy = FaultProxy::new(echo_server());
        let mut stream = connect(&proxy);
        assert_eq!(echo(&mut stream).unwrap(), b'x');
        proxy.set(Fault::Refuse);
        wait_until("the open connection to end", Duration::from_secs(5), || echo(&mut stream).err());
        assert!(echo(&mut connect(&proxy)).is_err());
    }

    #[test]
    fn cuts_after_so_many_bytes() {
        let proxy = FaultProxy::new(echo_server());
        let mut stream = connect(&proxy);
        proxy.set(Fault::CutAfter(3));
        assert!(echo(&mut stream).is_ok());
        assert!(!proxy.has_struck());
        assert!(echo(&mut stream).is_ok());
        assert!(echo(&mut stream).is_err());
        assert!(proxy.has_struck());
        assert_eq!(proxy.bytes_sent(), 3);
    }
}
