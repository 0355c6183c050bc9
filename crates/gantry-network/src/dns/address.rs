//! The service's address on this machine: pods reach it through their bridge, so each node answers its own.

use super::DnsError;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;

const INTERFACE: &str = "lo";
/// How many ports are tried where any will do.
const ANY_PORT_TRIES: u32 = 32;

/// Both sockets of an address that becomes one of the machine's if it is not yet.
pub(super) fn bind(address: SocketAddr) -> Result<(UdpSocket, TcpListener), DnsError> {
    match sockets(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            add(address.ip())?;
            sockets(address)
        }
        other => other,
    }
    .map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => DnsError::Taken(address),
        _ => DnsError::Bind(address, error),
    })
}

fn sockets(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { ANY_PORT_TRIES } else { 1 };
    loop {
        let udp = UdpSocket::bind(address)?;
        tries -= 1;
        // Any port that is free for UDP may be taken for TCP.
        let tcp = match TcpListener::bind(udp.local_addr()?) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => continue,
            other => other?,
        };
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        return Ok((udp, tcp));
    }
}

fn add(address: IpAddr) -> Result<(), DnsError> {
    let host = host(address);
    // Replacing is adding that does not mind when another start was faster.
    let mut arguments = vec!["addr", "replace", &host, "dev", INTERFACE];
    // Nobody else on the loopback interface can have the address: it need not be waited for.
    if address.is_ipv6() {
        arguments.push("nodad");
    }
    ip(&arguments)
        .map(drop)
        .map_err(|reason| DnsError::Address(address, reason))
}

/// Takes the address away again; it is fine when it is not there.
pub(super) fn remove(address: IpAddr) -> Result<(), DnsError> {
    let host = host(address);
    let remove = || {
        // What `ip` says of an address that is not there differs between its versions.
        let shown = ip(&["-oneline", "addr", "show", "dev", INTERFACE])?;
        if shown.split_whitespace().any(|word| word == host) {
            ip(&["addr", "del", &host, "dev", INTERFACE])?;
        }
        Ok(())
    };
    remove().map_err(|reason| DnsError::Remove(address, reason))
}

/// The network of one address.
fn host(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

/// What the command prints, or what it complains of.
fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|e| format!("ip cannot be run: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_comes_and_goes() {
        // SAFETY: asks for a number.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("skipped: only root may make a network namespace");
            return;
        }
        // The namespace is this thread's own, and goes with it.
        let test = std::thread::spawn(|| {
            // SAFETY: changes nothing but the thread's namespace.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            ip(&["link", "set", INTERFACE, "up"]).unwrap();
            for address in ["10.43.0.10", "fd00:43::10"] {
                let address: IpAddr = address.parse().unwrap();
                let there = || {
                    ip(&["addr", "show", "dev", INTERFACE])
                        .unwrap()
                        .contains(&host(address))
                };
                remove(address).unwrap();
                let sockets = bind(SocketAddr::new(address, 53)).unwrap();
                assert!(there());
                assert_eq!(sockets.0.local_addr().unwrap(), SocketAddr::new(address, 53));
                add(address).unwrap();
                remove(address).unwrap();
                assert!(!there());
            }
            remove(IpAddr::from([127, 0, 0, 1])).unwrap();
            assert!(
                ip(&["addr", "show", "dev", INTERFACE])
                    .unwrap()
                    .contains("127.0.0.1/8")
            );
        });
        test.join().unwrap();
    }
}
