//! Against name servers on loopback.

use super::*;
use crate::dns::tests::{Upstream, question};

async fn closed() -> SocketAddr {
    tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

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
    check("the first answers", vec![upstream.address, closed().await], 0).await;
    check("the first is dead", vec![closed().await, upstream.address], 1).await;
    check(
        "two are dead",
        vec![closed().await, closed().await, upstream.address],
        2,
    )
    .await;
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
    assert_eq!(**forwarder.servers.read().unwrap(), [one, two]);
}
