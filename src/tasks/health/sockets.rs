//! `listen`: is it really the application that waits at its port? `connections`: who talks with this machine?

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::sockets::{self, Socket, State};
use crate::sys::{files, machine};
use crate::units;

const MISSING: &str = "listen.missing";
const ADDRESS: &str = "listen.address";
const USER: &str = "listen.user";
const MANY: &str = "connections.many";

/// Looks for the socket of `[app] listen`.
pub fn listen(scene: &Scene, _: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let (host, port) = &scene.listen;
    let subject = scene.app.listen.as_str();
    for id in [MISSING, ADDRESS, USER] {
        report.examined(id, subject);
    }
    let there: Vec<Socket> = sockets::sockets()?
        .into_iter()
        .filter(|socket| socket.state == State::Listening && socket.local.port() == *port)
        .collect();
    report.measure("listen_up", f64::from(u8::from(!there.is_empty())), "", []);
    if there.is_empty() {
        report.find(
            Finding::new(
                MISSING,
                Severity::Critical,
                subject,
                format!("nothing listens on port {port}"),
            )
            .hint(format!("systemctl status {}", scene.app.service)),
        );
        return Ok(Looked::At(format!("nothing listens on port {port}")));
    }
    let wanted: Option<IpAddr> = host.parse().ok();
    let reached = there.iter().any(|socket| {
        let at = socket.local.ip();
        at.is_unspecified() || wanted.is_none_or(|wanted| at == wanted)
    });
    if !reached {
        let at: Vec<_> = there.iter().map(|s| s.local.to_string()).collect();
        report.find(
            Finding::new(
                ADDRESS,
                Severity::Medium,
                subject,
                format!(
                    "port {port} is open on {} only, not on {host}",
                    at.join(", ")
                ),
            )
            .hint("[app] listen says where it should be"),
        );
    }
    judge_user(scene, report, subject, &there)?;
    let inodes: BTreeSet<u64> = there.iter().map(|socket| socket.inode).collect();
    let owners: Vec<_> = sockets::owners(&inodes)
        .iter()
        .map(ToString::to_string)
        .collect();
    Ok(Looked::At(format!(
        "port {port} is open: {}",
        match owners.is_empty() {
            true => "which process has it only root can see".to_owned(),
            false => owners.join(", "),
        }
    )))
}

/// A socket of another user than the application's is somebody else's program at its port.
fn judge_user(
    scene: &Scene,
    report: &Reporter,
    subject: &str,
    there: &[Socket],
) -> anyhow::Result<()> {
    let wanted = match &scene.app.user {
        Some(name) => machine::user_id(name)?,
        None => files::metadata(&scene.root)?.map(|meta| meta.uid()),
    };
    let Some(wanted) = wanted else {
        return Ok(());
    };
    // Root may have opened the port for it.
    if let Some(other) = there
        .iter()
        .find(|socket| socket.uid != wanted && socket.uid != 0)
    {
        report.find(
            Finding::new(
                USER,
                Severity::Medium,
                subject,
                format!(
                    "the program at port {} runs as uid {}, not as the application's uid {wanted}",
                    other.local.port(),
                    other.uid
                ),
            )
            .hint(format!("ss -ltnp 'sport = :{}'", other.local.port())),
        );
    }
    Ok(())
}

/// Counts established connections, those to our own servers and those that this machine opened to others.
pub fn connections(scene: &Scene, _: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let all = sockets::sockets()?;
    let (to_us, to_others) = sides(&all);
    let app = to_us
        .iter()
        .filter(|socket| socket.local.port() == scene.listen.1)
        .count();
    let total = to_us.len() + to_others.len();
    let figure = |number: usize| number as f64;
    report.measure("connections_inbound", figure(to_us.len()), "", []);
    report.measure("connections_outbound", figure(to_others.len()), "", []);
    report.measure("connections_app", figure(app), "", []);
    report.examined(MANY, "tcp");
    let told = format!(
        "{}: {} to us ({app} of them to port {}), {} to others",
        units::count(total as u64, "established connection"),
        to_us.len(),
        scene.listen.1,
        to_others.len()
    );
    if let Some((severity, limit)) = scene.limits.connections.judge(figure(total)) {
        report.find(
            Finding::new(MANY, severity, "tcp", format!("{told} (limit {limit:.0})"))
                .measured(figure(total), "", limit)
                .hint("ss -tn state established"),
        );
    }
    Ok(Looked::At(told))
}

/// A connection from this machine to itself has two sockets and is one connection: the server's side counts.
fn sides(all: &[Socket]) -> (Vec<&Socket>, Vec<&Socket>) {
    let open: BTreeSet<u16> = all
        .iter()
        .filter(|socket| socket.state == State::Listening)
        .map(|socket| socket.local.port())
        .collect();
    let (to_us, rest): (Vec<_>, Vec<_>) = all
        .iter()
        .filter(|socket| socket.state == State::Established)
        .partition(|socket| open.contains(&socket.local.port()));
    let ends: BTreeSet<_> = to_us
        .iter()
        .map(|socket| (socket.remote, socket.local))
        .collect();
    let to_others = rest
        .into_iter()
        .filter(|socket| !ends.contains(&(socket.local, socket.remote)))
        .collect();
    (to_us, to_others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(local: &str, remote: &str, state: State) -> Socket {
        Socket {
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
            state,
            uid: 0,
            inode: 0,
        }
    }

    #[test]
    fn both_sides_are_told_apart_and_a_loop_counts_once() {
        let all = [
            socket("0.0.0.0:3000", "0.0.0.0:0", State::Listening),
            socket("10.0.0.1:3000", "10.0.0.9:5000", State::Established),
            socket("127.0.0.1:3000", "127.0.0.1:40000", State::Established),
            socket("127.0.0.1:40000", "127.0.0.1:3000", State::Established),
            socket("10.0.0.1:41000", "1.1.1.1:443", State::Established),
            socket("10.0.0.1:42000", "1.1.1.1:443", State::Other),
        ];
        let (to_us, to_others) = sides(&all);
        assert_eq!((to_us.len(), to_others.len()), (2, 1));
        assert_eq!(to_others[0].local.port(), 41000);
    }
}
