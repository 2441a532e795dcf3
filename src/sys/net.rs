//! Whether something listens.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// True when a connection to `address`, a number and a port, is accepted within `limit`.
pub fn listens(address: &str, limit: Duration) -> bool {
    let found = address.to_socket_addrs().into_iter().flatten().next();
    found.is_some_and(|address| TcpStream::connect_timeout(&address, limit).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_seen_and_its_end_too() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("has one").to_string();
        assert!(listens(&address, Duration::from_secs(5)));
        drop(listener);
        assert!(!listens(&address, Duration::from_secs(5)));
    }
}
