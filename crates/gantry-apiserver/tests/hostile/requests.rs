//! Many requests at once, and what they hold.

use crate::cluster::{Cluster, LONG_ENOUGH, MAPS, request, unfinished, url, with_body};
use futures::FutureExt;
use gantry_apiserver::Patience;
use http_body_util::BodyExt;
use serde_json::json;

#[tokio::test]
async fn one_users_slow_requests_leave_places_for_others() {
    let cluster = Cluster::with((2, 2), Patience::default()).await;
    let (ann, bob) = (cluster.user("ann"), cluster.user("bob"));
    let mut slow = cluster.http2(&ann).await;
    let held = tokio::spawn(slow.send_request(with_body("POST", &url(), unfinished("{"))));
    // Her second request waits for her first, until that times out or is taken back; his does not.
    let second = cluster.send(&ann, request("POST", &format!("{MAPS}?timeout=30s"), "{}"));
    let mut second = std::pin::pin!(second);
    let map = json!({"metadata": {"name": "his"}}).to_string();
    let (code, answer) = tokio::select! {
        biased;
        early = second.as_mut() => panic!("answered before there was a place: {early:?}"),
        his = cluster.send(&bob, request("POST", MAPS, map)) => his,
    };
    assert_eq!(code, 201, "{answer}");
    held.abort();
    let (code, _) = second.await;
    assert_eq!(code, 422, "an object without a name");
}

#[tokio::test]
async fn streams_that_are_reset_at_once() {
    let cluster = Cluster::start().await;
    let ann = cluster.user("ann");
    for _ in 0..3 {
        let mut connection = cluster.http2(&ann).await;
        for _ in 0..2_000 {
            // The server may end such a connection at any time.
            if connection.ready().await.is_err() {
                break;
            }
            let _ = connection
                .send_request(request("GET", &format!("{}?watch=true", url()), ""))
                .now_or_never();
            tokio::task::yield_now().await;
        }
    }
    cluster.works().await;
}

#[tokio::test]
async fn a_connection_has_a_hundred_streams() {
    let cluster = Cluster::start().await;
    let ann = cluster.user("ann");
    let mut connection = cluster.http2(&ann).await;
    let watch = format!("{}?watch=true", url());
    let mut watches = Vec::new();
    for _ in 0..100 {
        let answer = connection.send_request(request("GET", &watch, "")).await.unwrap();
        assert_eq!(answer.status(), 200);
        watches.push(answer);
    }
    let more = connection.send_request(request("GET", &watch, ""));
    let mut more = std::pin::pin!(more);
    tokio::select! {
        biased;
        early = more.as_mut() => panic!("101 streams at once: {early:?}"),
        () = cluster.works() => {}
    }
    watches.pop();
    assert_eq!(more.await.unwrap().status(), 200);
}

/// One client opens a thousand watches and reads none of them.
#[tokio::test]
async fn watches_that_are_many() {
    let patience = Patience {
        taking: std::time::Duration::from_secs(1),
        ..Patience::default()
    };
    let cluster = Cluster::with((0, 0), patience).await;
    let (ann, bob) = (cluster.user("ann"), cluster.user("bob"));
    let mut kept = Vec::new();
    for _ in 0..10 {
        let mut connection = cluster.http2(&ann).await;
        for _ in 0..100 {
            let answer = connection.send_request(request("GET", &format!("{}?watch=true", url()), ""));
            kept.push(answer.await.unwrap());
        }
    }
    cluster.has_long_requests("WATCH", 1_000).await;
    let mut his = cluster.http2(&bob).await;
    let watch = his.send_request(request("GET", &format!("{}?watch=true", url()), ""));
    let mut watch = watch.await.unwrap().into_body();
    for n in 0..50 {
        let name = format!("his-{n:03}");
        let data = "x".repeat(100_000);
        let map = json!({"metadata": {"name": name}, "data": {"a": data}}).to_string();
        let (code, answer) = cluster.send(&bob, request("POST", MAPS, map)).await;
        assert_eq!(code, 201, "{answer}");
        // He is told of it at once, and she is not waited for.
        let told = async {
            loop {
                let frame = watch.frame().await.expect("his watch goes on").unwrap();
                let data = frame.into_data().unwrap();
                if String::from_utf8_lossy(&data).contains(&name) {
                    break;
                }
            }
        };
        tokio::time::timeout(LONG_ENOUGH, told).await.expect("his event");
    }
    // Hers were too slow.
    cluster.has_long_requests("WATCH", 1).await;
}
