//! Real Redis servers with keys in them: one, three as a cluster, and one behind a way that breaks.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use redis::{Connection, FromRedisValue, cmd};
use tempfile::TempDir;

use super::Server;
use super::services::{Peer, free_port};

/// A server of its own, and a connection to it.
pub struct Keys {
    pub port: u16,
    pub connection: Connection,
    pub folder: TempDir,
    peer: Peer,
}

impl Keys {
    /// With these lines of configuration.
    pub fn start(lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peer = super::services::redis(
            folder.path(),
            &[&["--enable-debug-command yes"], lines].concat(),
        );
        Self {
            port: peer.port,
            connection: connect(peer.port),
            folder,
            peer,
        }
    }

    /// Starts it anew, without its keys.
    pub fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--enable-debug-command", "yes", "--dir"]);
        command.arg(self.folder.path());
        self.peer.end();
        self.peer = Peer::start(self.port, &mut command);
        self.connection = connect(self.port);
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.peer.end();
    }

    pub fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut command = cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut self.connection).unwrap()
    }

    /// So many keys `PREFIX:0` and on, without an end.
    pub fn fill(&mut self, prefix: &str, number: usize) {
        self.ask::<()>(&["DEBUG", "POPULATE", &number.to_string(), prefix, "50"]);
    }

    /// Keys that match.
    pub fn count(&mut self, pattern: &str) -> usize {
        self.ask::<Vec<Vec<u8>>>(&["KEYS", pattern]).len()
    }

    pub fn size(&mut self) -> u64 {
        self.ask(&["DBSIZE"])
    }

    /// A machine whose `[redis]` is this one.
    pub fn server(&self, lines: &str) -> Server {
        at(self.port, lines)
    }
}

/// A machine whose Redis is at this port.
pub fn at(port: u16, lines: &str) -> Server {
    Server::empty().config(&format!(
        "[redis]\nurl = \"redis://127.0.0.1:{port}/0\"\n{lines}"
    ))
}

/// One rule, as lines of configuration.
pub fn rule(pattern: &str, when: &str, action: &str) -> String {
    format!(
        "[[cache.rule]]\npattern = {}\nwhen = {when:?}\naction = {action:?}\n",
        toml::Value::from(pattern)
    )
}

pub fn connect(port: u16) -> Connection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
    client.get_connection().unwrap()
}

/// Three primaries that share the slots.
pub fn cluster() -> [Keys; 3] {
    let mut servers = [(); 3].map(|()| {
        let bus = free_port().to_string();
        Keys::start(&["--cluster-enabled yes", &format!("--cluster-port {bus}")])
    });
    let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for (server, (from, to)) in servers.iter_mut().zip(ranges) {
        server.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
    }
    let [first, others @ ..] = &mut servers;
    for other in others {
        let bus: Vec<String> = other.ask(&["CONFIG", "GET", "cluster-port"]);
        let port = other.port.to_string();
        first.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus[1]]);
    }
    for server in &mut servers {
        let knows_all = |server: &mut Keys| {
            let info: String = server.ask(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_size:3")
        };
        while !knows_all(server) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    servers
}

/// What the way does with answers once enough of them have passed.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    Open = 0,
    /// Nothing comes any more.
    Silent = 1,
    /// The connection is closed.
    Closed = 2,
    /// Everything takes its time.
    Slow = 3,
}

/// A way to a server that does something once `after` pieces of the answers have passed.
pub fn way(to: u16, after: usize, what: Way) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let passed = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicU8::new(Way::Open as u8));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else {
                return;
            };
            let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut into));
            let (passed, now) = (Arc::clone(&passed), Arc::clone(&now));
            std::thread::spawn(move || answers(server, client, after, what, &passed, &now));
        }
    });
    port
}

fn answers(
    mut from: TcpStream,
    mut into: TcpStream,
    after: usize,
    what: Way,
    passed: &AtomicUsize,
    now: &AtomicU8,
) {
    let mut piece = [0; 65_536];
    while let Ok(read) = from.read(&mut piece) {
        if read == 0 {
            break;
        }
        if passed.fetch_add(1, Ordering::SeqCst) >= after {
            now.store(what as u8, Ordering::SeqCst);
        }
        match now.load(Ordering::SeqCst) {
            1 => continue,
            2 => break,
            3 => std::thread::sleep(Duration::from_millis(30)),
            _ => {}
        }
        if into.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = into.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}
