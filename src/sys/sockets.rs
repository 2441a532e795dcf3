//! TCP and UDP sockets of this machine, out of /proc/net, and a bounded connection to somewhere else.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::machine::{Holder, running};

/// What a socket is doing; all other states pass quickly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for others to connect.
    Listening,
    /// Talks.
    Established,
    /// Anything else.
    Other,
}

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// This end.
    pub local: SocketAddr,
    /// The other end; port 0 for a listening one.
    pub remote: SocketAddr,
    /// What it does.
    pub state: State,
    /// Who made it.
    pub uid: u32,
    /// By which the process is found.
    pub inode: u64,
}

/// Every TCP socket, of both families.
pub fn sockets() -> anyhow::Result<Vec<Socket>> {
    read([("/proc/net/tcp", true), ("/proc/net/tcp6", false)])
}

/// Every UDP socket that takes what anybody sends: bound and not connected to one peer. It counts as listening.
pub fn datagrams() -> anyhow::Result<Vec<Socket>> {
    let all = read([("/proc/net/udp", true), ("/proc/net/udp6", false)])?;
    let unconnected = all.into_iter().filter(|socket| socket.remote.port() == 0);
    Ok(unconnected
        .map(|socket| Socket {
            state: State::Listening,
            ..socket
        })
        .collect())
}

/// The ports that the kernel gives to who asks for none in particular, as clients do.
pub fn given_ports() -> anyhow::Result<std::ops::RangeInclusive<u16>> {
    const FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
    let text = std::fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
    let mut words = text.split_whitespace().map(str::parse);
    match (words.next(), words.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Ok(first..=last),
        _ => anyhow::bail!("{FILE} holds no range of ports"),
    }
}

fn read(files: [(&str, bool); 2]) -> anyhow::Result<Vec<Socket>> {
    let mut found = Vec::new();
    for (file, needed) in files {
        match std::fs::read_to_string(file) {
            Ok(text) => found.extend(text.lines().skip(1).filter_map(parse)),
            Err(error) if needed => {
                return Err(error).with_context(|| format!("cannot read {file}"));
            }
            Err(_) => {} // a kernel without IPv6
        }
    }
    Ok(found)
}

fn parse(line: &str) -> Option<Socket> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(Socket {
        local: address(words.get(1)?)?,
        remote: address(words.get(2)?)?,
        state: match *words.get(3)? {
            "0A" => State::Listening,
            "01" => State::Established,
            _ => State::Other,
        },
        uid: words.get(7)?.parse().ok()?,
        inode: words.get(9)?.parse().ok()?,
    })
}

/// `0100007F:0BB8`: the address in words of the machine's own byte order, the port as it is.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..host.len()).step_by(8) {
        let word = u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let host = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    // A server that listens on both families sees IPv4 peers as ::ffff:a.b.c.d.
    Some(SocketAddr::new(host.to_canonical(), port))
}

/// The processes that hold one of these sockets, as far as we may see them.
pub fn owners(inodes: &BTreeSet<u64>) -> Vec<Holder> {
    let names: BTreeSet<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let is_wanted = |open: &Path| {
        std::fs::read_link(open)
            .is_ok_and(|link| link.to_str().is_some_and(|link| names.contains(link)))
    };
    running()
        .filter(|one| one.has_open(is_wanted))
        .map(|one| one.holder())
        .collect()
}

/// Connects to `host:port`; every later read and write on it has the limit too.
pub fn connect(host: &str, port: u16, limit: Duration) -> anyhow::Result<TcpStream> {
    let describe = || format!("cannot connect to {host} port {port}");
    let addresses = (host, port).to_socket_addrs().with_context(describe)?;
    let mut last = anyhow::anyhow!("the name has no address");
    let started = Instant::now();
    for address in addresses {
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))?;
                return Ok(stream);
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last.context(describe()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_the_machines_byte_order() {
        assert_eq!(address("0100007F:0BB8"), "127.0.0.1:3000".parse().ok());
        assert_eq!(
            address("00000000000000000000000001000000:0050"),
            "[::1]:80".parse().ok()
        );
        assert_eq!(
            address("0000000000000000FFFF00000100007F:0050"),
            "127.0.0.1:80".parse().ok()
        );
        assert_eq!(address("7F:0050"), None);
    }

    #[test]
    fn a_bound_datagram_socket_listens_and_a_connected_one_does_not() {
        let bind = || std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
        let (open, connected) = (bind(), bind());
        let peer = open.local_addr().expect("has an address");
        connected.connect(peer).expect("connects");
        let own = connected.local_addr().expect("has an address");
        let all = datagrams().expect("reads");
        let has = |local| all.iter().any(|socket| socket.local == local);
        assert_eq!((has(peer), has(own)), (true, false));
        let given = given_ports().expect("reads");
        assert!(given.contains(&peer.port()), "{given:?}");
    }

    #[test]
    fn our_own_listener_is_found_and_is_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
        let local = listener.local_addr().expect("has an address");
        let all = sockets().expect("reads");
        let ours = all
            .iter()
            .find(|socket| socket.local == local && socket.state == State::Listening)
            .expect("is listed");
        let owners = owners(&BTreeSet::from([ours.inode]));
        let own = i32::try_from(std::process::id()).expect("fits");
        assert!(owners.iter().any(|holder| holder.pid == own), "{owners:?}");
    }
}
