//! Service account tokens in Secrets.

use crate::cluster::Cluster;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_client::resource::{SECRETS, SERVICE_ACCOUNTS};
use gantry_controllers::Config;
use http::Method;
use serde_json::{Value, json};

fn secret(name: &str, account: &str) -> Value {
    json!({
        "metadata": {
            "namespace": "default", "name": name, "annotations": {"kubernetes.io/service-account.name": account},
        },
        "type": "kubernetes.io/service-account-token",
    })
}

async fn review(cluster: &Cluster, token: &str) -> Value {
    let body = json!({"spec": {"token": token}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    cluster.client.raw(Method::POST, path, Some(&body)).await.unwrap()["status"].take()
}

#[tokio::test]
async fn a_secrets_token_lives_as_long_as_secret_and_account() {
    let cluster = Cluster::start(Config::default()).await;
    let account = json!({"metadata": {"namespace": "default", "name": "bot"}});
    let account = cluster.create(&SERVICE_ACCOUNTS, account).await;
    cluster.create(&SECRETS, secret("bot-token", "bot")).await;
    let filled = cluster
        .until(&SECRETS, "default/bot-token", |s| s["data"]["token"].is_string())
        .await;
    let data = |field: &str| {
        let bytes = STANDARD.decode(filled["data"][field].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(
        (data("namespace").as_str(), data("ca.crt").as_str()),
        ("default", "an authority")
    );
    assert_eq!(
        filled["metadata"]["annotations"]["kubernetes.io/service-account.uid"],
        account["metadata"]["uid"]
    );
    let token = data("token");
    let believed = review(&cluster, &token).await;
    assert_eq!(
        believed["user"]["username"], "system:serviceaccount:default:bot",
        "{believed}"
    );
    assert_eq!(believed["user"]["uid"], account["metadata"]["uid"]);

    // Another Secret's token of the same account is not touched when this one goes.
    cluster.create(&SECRETS, secret("other", "bot")).await;
    let other = cluster
        .until(&SECRETS, "default/other", |s| s["data"]["token"].is_string())
        .await;
    cluster
        .client
        .delete(&SECRETS, "default", "bot-token", &Value::Null)
        .await
        .unwrap();
    assert_eq!(review(&cluster, &token).await["authenticated"], Value::Null);
    let kept = STANDARD.decode(other["data"]["token"].as_str().unwrap()).unwrap();
    assert_eq!(
        review(&cluster, &String::from_utf8(kept).unwrap()).await["authenticated"],
        true
    );

    cluster
        .client
        .delete(&SERVICE_ACCOUNTS, "default", "bot", &Value::Null)
        .await
        .unwrap();
    cluster.until(&SECRETS, "default/other", Value::is_null).await;
}

#[tokio::test]
async fn a_secret_of_no_account_goes() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.create(&SECRETS, secret("stray", "nobody")).await;
    // Once the informer knows of a Secret made later, it knows of this one.
    cluster.create(&SECRETS, secret("marker", "default")).await;
    cluster
        .until(&SECRETS, "default/marker", |s| s["data"]["token"].is_string())
        .await;
    cluster.until(&SECRETS, "default/stray", Value::is_null).await;
}
