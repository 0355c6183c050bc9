//! Query and answer, with another name server behind.

use super::*;
use crate::dns::tests::{Upstream, handler, name};
use crate::dns::zone::tests::model;
use hickory_server::proto::op::Query;
use serde_json::json;

fn text(answer: &Answer) -> Vec<String> {
    let mut head = format!("{:?}", answer.code);
    if answer.authoritative {
        head.push_str(" aa");
    }
    let records = answer
        .answers
        .iter()
        .chain(&answer.authorities)
        .chain(&answer.additionals);
    let line = |r: &Record| match r.record_type() {
        RecordType::SOA => format!("{} SOA", r.name),
        type_ => format!("{} {type_} {}", r.name, r.data),
    };
    [vec![head], records.map(line).collect()].concat()
}

async fn check(handler: &Handler, query: &str, expected: &[&str]) {
    let (name_, type_) = query.split_once(' ').unwrap();
    let lower = LowerQuery::query(Query::query(name(name_), type_.parse().unwrap()));
    let answer = handler.answer(&lower, false, false).await;
    assert_eq!(text(&answer), expected, "{query}");
}

#[tokio::test]
async fn names_of_the_cluster_and_others() {
    let upstream = Upstream::start().await;
    let handler = handler(model(), vec![upstream.address]);
    let check = async |query: &str, expected: &[&str]| check(&handler, query, expected).await;
    let svc1 = "svc1.testns.svc.cluster.local";
    check(
        &format!("{svc1} A"),
        &["NoError aa", &format!("{svc1}. A 10.0.0.1")],
    )
    .await;
    check(&format!("{svc1} AAAA"), &["NoError aa", "cluster.local. SOA"]).await;
    check(
        "x.testns.svc.cluster.local A",
        &["NXDomain aa", "cluster.local. SOA"],
    )
    .await;
    check("a.test A", &["NoError", "a.test. A 192.0.2.1"]).await;
    check("none.test A", &["NXDomain", "test. SOA"]).await;
    check("refused.test A", &["Refused"]).await;
    let external = "external.testns.svc.cluster.local";
    let alias = format!("{external}. CNAME ext.interwebs.test.");
    check(
        &format!("{external} A"),
        &["NoError aa", &alias, "ext.interwebs.test. A 192.0.2.1"],
    )
    .await;
    check(&format!("{external} CNAME"), &["NoError aa", &alias]).await;
}

#[tokio::test]
async fn names_of_addresses() {
    let upstream = Upstream::start().await;
    let with = handler(model(), vec![upstream.address]);
    let without = handler(model(), Vec::new());
    let known = "1.0.0.10.in-addr.arpa";
    for handler in [&with, &without] {
        let pointer = format!("{known}. PTR svc1.testns.svc.cluster.local.");
        check(handler, &format!("{known} PTR"), &["NoError aa", &pointer]).await;
        // The range says nothing about what an address of an endpoint is.
        check(
            handler,
            "4.0.0.172.in-addr.arpa PTR",
            &[
                "NoError aa",
                "4.0.0.172.in-addr.arpa. PTR dup.hdls1.testns.svc.cluster.local.",
            ],
        )
        .await;
    }
    // What others know of our addresses is passed on; where nobody does, there is no such name.
    check(
        &with,
        "7.7.0.10.in-addr.arpa A",
        &["NoError", "7.7.0.10.in-addr.arpa. A 192.0.2.1"],
    )
    .await;
    check(
        &without,
        "7.7.0.10.in-addr.arpa PTR",
        &["NXDomain aa", "0.10.in-addr.arpa. SOA"],
    )
    .await;
    check(&without, "7.7.0.11.in-addr.arpa PTR", &["ServFail"]).await;
}

#[tokio::test]
async fn before_the_model_is_whole() {
    let upstream = Upstream::start().await;
    let mut handler = handler(Model::default(), vec![upstream.address]);
    let (_sender, synced) = watch::channel(false);
    handler.synced = synced;
    check(&handler, "svc1.testns.svc.cluster.local A", &["ServFail"]).await;
    check(&handler, "1.0.0.10.in-addr.arpa PTR", &["ServFail"]).await;
    check(&handler, "a.test A", &["NoError", "a.test. A 192.0.2.1"]).await;
}

#[tokio::test]
async fn aliases_of_names_outside() {
    let upstream = Upstream::start().await;
    let mut model = model();
    for target in ["none.test", "refused.test"] {
        model.service_changed(
            None,
            Some(&json!({
                "metadata": {"namespace": "testns", "name": target.split('.').next()},
                "spec": {"type": "ExternalName", "externalName": target},
            })),
        );
    }
    let handler = handler(model, vec![upstream.address]);
    let alias = "none.testns.svc.cluster.local. CNAME none.test.";
    check(
        &handler,
        "none.testns.svc.cluster.local A",
        &["NoError aa", alias],
    )
    .await;
    check(&handler, "refused.testns.svc.cluster.local A", &["ServFail"]).await;
}

#[tokio::test]
async fn an_alias_whose_target_cannot_be_asked_for() {
    let handler = handler(model(), Vec::new());
    check(&handler, "external.testns.svc.cluster.local A", &["ServFail"]).await;
    let alias = "external.testns.svc.cluster.local. CNAME ext.interwebs.test.";
    check(
        &handler,
        "external.testns.svc.cluster.local CNAME",
        &["NoError aa", alias],
    )
    .await;
}
