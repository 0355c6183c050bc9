//! Two servers over one etcd, which demands certificates: what is written through one is seen through the other.

#[path = "../../gantry-store/tests/common/mod.rs"]
mod common;
mod kubectls;
mod server;

use common::EtcdServer;
use kubectls::{Kubectl, kubectls};
use server::{Server, free_port};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn servers_see_each_others_writes() {
    let Some(program) = kubectls().into_iter().next() else {
        return;
    };
    let Some(etcd) = EtcdServer::start_tls() else {
        return;
    };
    let file = |name: &str| etcd.folder().join(name).display().to_string();
    let options = [
        format!("--datastore-endpoint=https://127.0.0.1:{}", etcd.port()),
        format!("--datastore-cafile={}", file("pki/ca.crt")),
        format!("--datastore-certfile={}", file("client.crt")),
        format!("--datastore-keyfile={}", file("client.key")),
    ];
    let data = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Server::start(data[0].path(), free_port(), &options);
    // Both must sign with the same keys.
    std::fs::create_dir(data[1].path().join("pki")).unwrap();
    for key in data[0].path().join("pki").read_dir().unwrap() {
        let key = key.unwrap();
        std::fs::copy(key.path(), data[1].path().join("pki").join(key.file_name())).unwrap();
    }
    let second = Server::start(data[1].path(), free_port(), &options);

    let of = |server| Kubectl {
        program: &program,
        server,
    };
    let (first, second) = (of(&first), of(&second));

    let mut watch = Command::new(&program)
        .args([
            "--kubeconfig",
            second.server.kubeconfig(),
            "get",
            "configmaps",
            "--watch",
            "-o",
            "name",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(watch.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    for n in 0..10 {
        let (writer, reader) = if n % 2 == 0 {
            (&first, &second)
        } else {
            (&second, &first)
        };
        writer.check(&format!("create configmap c{n} --from-literal=a={n}"), "created");
        reader.check(
            &format!("get configmap c{n} -o jsonpath={{.data.a}}"),
            &n.to_string(),
        );
        reader.check("get configmaps", &format!("c{n} "));
        let name = format!("configmap/c{n}");
        assert!(told.any(|line| line == name), "the watch ended without {name}");
    }
    first.check("delete configmap c0", "deleted");
    second.check("get configmap c0", "NotFound");
    watch.kill().unwrap();
    watch.wait().unwrap();
}
