//! Whether a server runs on this machine.

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use tokio::{net::lookup_host, time::timeout};

use crate::resilience::conninfo::{Host, Place};

/// How long the resolver may take; a name that it does not know by then is no proof.
const PATIENCE: Duration = Duration::from_secs(3);

/// True when a host is this machine: a socket, or an address that is one of ours. What listens there may still
/// be a proxy or a tunnel to another machine: what is then done to files wants more proof than this.
pub async fn is_here(host: &Host) -> bool {
    match &host.place {
        Place::Unix(_) => true,
        Place::Tcp { address: Some(address), .. } => is_ours(*address),
        Place::Tcp { name: Some(name), .. } => {
            let found = timeout(PATIENCE, lookup_host((name.as_str(), host.port))).await;
            found.ok().and_then(Result::ok).is_some_and(|mut all| all.any(|one| is_ours(one.ip())))
        }
        Place::Tcp { .. } => false,
    }
}

/// An address of ours is one that a socket can be bound to.
fn is_ours(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_and_addresses_of_ours_are_here_and_others_are_not() {
        let tcp = |name: &str| Place::Tcp { name: Some(name.to_owned()), address: None };
        let fixed = |address: &str| Place::Tcp { name: None, address: address.parse().ok() };
        for (place, here) in [
            (Place::Unix("/run/postgresql".into()), true),
            (tcp("127.0.0.1"), true),
            (tcp("localhost"), true),
            (fixed("127.0.0.2"), true),
            // RFC 5737: nobody's.
            (fixed("192.0.2.7"), false),
            (tcp("192.0.2.7"), false),
            (tcp("no-such-host.invalid"), false),
        ] {
            let host = Host { place, port: 5432 };
            assert_eq!(is_here(&host).await, here, "{host}");
        }
    }
}
