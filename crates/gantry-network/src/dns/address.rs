//! The service's address on this machine: pods reach it through their bridge, so each node answers its own.

use super::DnsError;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;

const INTERFACE: &str = "lo";

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
        io::ErrorKind::AddrInUse => DnsError::Taken(address, address.port()),
        _ => DnsError::Bind(address, error),
    })
}

fn sockets(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind(address)?;
    // The port that UDP got, where any was asked for.
    let tcp = TcpListener::bind(udp.local_addr()?)?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok((udp, tcp))
}

fn add(address: IpAddr) -> Result<(), DnsError> {
    let failed = |reason| DnsError::Address(address, reason);
    let output = ip("add", address).map_err(|e| failed(e.to_string()))?;
    // Another start may have been faster.
    if output.status.success() || said(&output, "File exists") {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_string()))
}

/// Takes the address away again; it is fine when it is not there.
pub(super) fn remove(address: IpAddr) -> Result<(), DnsError> {
    let failed = |reason| DnsError::Remove(address, reason);
    let output = ip("del", address).map_err(|e| failed(e.to_string()))?;
    if output.status.success() || said(&output, "Cannot assign requested address") {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_string()))
}

fn ip(verb: &str, address: IpAddr) -> io::Result<std::process::Output> {
    let host = if address.is_ipv4() {
        format!("{address}/32")
    } else {
        format!("{address}/128")
    };
    Command::new("ip")
        .args(["addr", verb, &host, "dev", INTERFACE])
        .env("LC_ALL", "C")
        .output()
}

fn said(output: &std::process::Output, text: &str) -> bool {
    String::from_utf8_lossy(&output.stderr).contains(text)
}
