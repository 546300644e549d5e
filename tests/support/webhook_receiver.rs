//! A receiver of webhooks in the test's own process, which behaves as the test wants, from one moment to the next.

use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// How it treats a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Take,
    /// Takes connections and requests, and never answers.
    Hang,
    /// Closes every connection at once.
    Down,
    /// Answers with this status and nothing else.
    Status(u16),
    /// Answers this status to one event, and takes all others.
    Refuse(&'static str, u16),
    /// Says that it is elsewhere.
    Redirect(String),
    /// Takes it, and promises an answer that never ends.
    Endless,
}

/// A request that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The headers, by name in lower case.
    pub headers: HashMap<String, String>,
    /// The body as it came.
    pub body: String,
}

impl Taken {
    /// The body's JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The id by which a repetition is told.
    pub fn id(&self) -> String {
        self.headers["walwarden-id"].clone()
    }

    /// The event.
    pub fn event(&self) -> String {
        self.headers["walwarden-event"].clone()
    }
}

/// The receiver. Its threads live as long as the test.
#[derive(Debug, Clone)]
pub struct WebhookReceiver {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    connections: usize,
    taken: Vec<Taken>,
    /// So that nobody sees them closed.
    hanging: Vec<TcpStream>,
}

impl WebhookReceiver {
    /// One that treats requests in this manner.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state = State { manner, connections: 0, taken: Vec::new(), hanging: Vec::new() };
        let receiver = Self { port, state: Arc::new(Mutex::new(state)) };
        let own = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (own, stream) = (own.clone(), stream.expect("a connection"));
                // A connection that breaks off is the other side's affair.
                thread::spawn(move || own.serve(stream));
            }
        });
        receiver
    }

    /// From now on.
    pub fn behave(&self, manner: Manner) {
        let mut state = self.state.lock().expect("no panic");
        state.manner = manner;
        state.hanging.clear();
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it took so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.state.lock().expect("no panic").taken.clone()
    }

    /// The events it took so far, in order of their names.
    pub fn events(&self) -> Vec<String> {
        let mut events: Vec<String> = self.taken().iter().map(Taken::event).collect();
        events.sort();
        events
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.state.lock().expect("no panic").connections
    }

    /// How many requests wait for an answer that never comes.
    pub fn hanging(&self) -> usize {
        self.state.lock().expect("no panic").hanging.len()
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        self.state.lock().expect("no panic").connections += 1;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            if self.state.lock().expect("no panic").manner == Manner::Down {
                return None;
            }
            let request = read_request(&mut reader)?;
            let mut state = self.state.lock().expect("no panic");
            let manner = match &state.manner {
                Manner::Refuse(event, status) if request.event() == *event => Manner::Status(*status),
                Manner::Refuse(..) => Manner::Take,
                other => other.clone(),
            };
            let answer = match manner {
                Manner::Take => {
                    state.taken.push(request);
                    "204 No Content\r\n\r\n".to_owned()
                }
                Manner::Endless => {
                    state.taken.push(request);
                    "200 OK\r\nContent-Length: 9000000000\r\n\r\nI will tell you all".to_owned()
                }
                Manner::Status(status) => format!("{status} So\r\nContent-Length: 0\r\n\r\n"),
                Manner::Redirect(to) => format!("307 There\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"),
                Manner::Hang | Manner::Down | Manner::Refuse(..) => {
                    state.hanging.push(stream);
                    return None;
                }
            };
            drop(state);
            stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).ok()?;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Taken> {
    let mut headers = HashMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            None if line == "\r\n" => break,
            None => {}
        }
    }
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Taken { headers, body: String::from_utf8(body).ok()? })
}
