//! Against name servers on loopback.

use super::*;
use crate::dns::tests::{Upstream, question};
use std::net::{IpAddr, Ipv4Addr};

/// Where nobody listens: tcpmux.
const CLOSED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

fn text(reply: &Reply) -> String {
    let records = reply
        .answers
        .iter()
        .chain(&reply.authorities)
        .map(ToString::to_string);
    [vec![format!("{:?}", reply.code)], records.collect()]
        .concat()
        .join("; ")
}

#[tokio::test]
async fn replies() {
    let upstream = Upstream::start().await;
    let forwarder = Forwarder::new(vec![upstream.address]);
    let check = async |name: &str, expected: &str, asked: usize| {
        let before = upstream.asked.load(Ordering::Relaxed);
        for _ in 0..2 {
            let reply = forwarder.resolve(&question(name)).await.unwrap();
            assert_eq!(text(&reply), expected, "{name}");
        }
        assert_eq!(upstream.asked.load(Ordering::Relaxed) - before, asked, "{name}");
    };
    check("a.test", "NoError; a.test. 30 IN A 192.0.2.1", 1).await;
    check("A.TEST", "NoError; a.test. 30 IN A 192.0.2.1", 0).await;
    check("forged.test", "NoError; forged.test. 30 IN A 192.0.2.1", 1).await;
    let denial = "NXDomain; test. 20 IN SOA ns.test. root.test. 1 7200 900 86400 20";
    check("none.test", denial, 1).await;
    check("refused.test", "Refused", 2).await;
    check("old.test", "NoError; old.test. 30 IN A 192.0.2.1", 2).await;
    let big = forwarder.resolve(&question("big.test")).await.unwrap();
    assert_eq!((big.answers.len(), big.truncated), (100, false));
}

#[tokio::test]
async fn another_server_is_asked() {
    let upstream = Upstream::start().await;
    let check = async |what: &str, servers: Vec<SocketAddr>, preferred: usize| {
        let forwarder = Forwarder::new(servers);
        let reply = forwarder.resolve(&question("a.test")).await.unwrap();
        assert_eq!(text(&reply), "NoError; a.test. 30 IN A 192.0.2.1", "{what}");
        assert_eq!(forwarder.preferred.load(Ordering::Relaxed), preferred, "{what}");
    };
    check("the first answers", vec![upstream.address, CLOSED], 0).await;
    check("the first is dead", vec![CLOSED, upstream.address], 1).await;
    check("two are dead", vec![CLOSED, CLOSED, upstream.address], 2).await;
}

#[tokio::test]
async fn a_refusal_counts_when_none_answers() {
    let refuses = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = refuses.local_addr().unwrap();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (size, client) = refuses.recv_from(&mut buffer).await.unwrap();
            let mut message = Message::from_vec(&buffer[..size]).unwrap().into_response();
            message.metadata.response_code = ResponseCode::ServFail;
            refuses.send_to(&message.to_vec().unwrap(), client).await.unwrap();
        }
    });
    let upstream = Upstream::start().await;
    let check = async |servers: Vec<SocketAddr>, expected: &str| {
        let reply = Forwarder::new(servers)
            .resolve(&question("a.test"))
            .await
            .unwrap();
        assert_eq!(text(&reply), expected);
    };
    check(
        vec![address, upstream.address],
        "NoError; a.test. 30 IN A 192.0.2.1",
    )
    .await;
    check(vec![CLOSED, address], "ServFail").await;
}

#[tokio::test(start_paused = true)]
async fn nobody_answers() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let check = async |servers: Vec<SocketAddr>, expected: &str| {
        let error = Forwarder::new(servers)
            .resolve(&question("a.test"))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(vec![], "the node's resolv.conf names no other name server").await;
    check(vec![address], "no name server answered in time").await;
    check(vec![address; 10], "no name server answered in time").await;
    let forwarder = Forwarder::new(vec![address]);
    let _all = forwarder
        .permits
        .acquire_many(u32::try_from(CONCURRENT).unwrap())
        .await
        .unwrap();
    let error = forwarder.resolve(&question("a.test")).await.unwrap_err();
    assert!(matches!(error, ForwardError::Busy));
}

#[test]
fn servers_are_replaced() {
    let (one, two) = ("192.0.2.1:53".parse().unwrap(), "192.0.2.2:53".parse().unwrap());
    let forwarder = Forwarder::new(vec![one]);
    assert!(!forwarder.set_servers(vec![one]));
    assert!(forwarder.set_servers(vec![one, two]));
    assert_eq!(*forwarder.servers(), [one, two]);
}
