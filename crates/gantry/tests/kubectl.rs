//! The server from outside: the built binary, driven by stock kubectl.

mod kubectls;
mod server;

use kubectls::{Kubectl, kubectls};
use server::{Server, command, free_port};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file can be written");
    path.display().to_string()
}

const CONFIG_MAP: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"a":"1"}}"#;
const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{
  "selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"LABEL"}},
  "spec":{"containers":[{"name":"c","image":"web:1"}]}}}}"#;

#[test]
fn objects_live_through_kubectl_and_through_a_kill() {
    for program in kubectls() {
        live_through_a_kill(&program);
    }
}

fn live_through_a_kill(program: &Path) {
    let data = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let map = write(data.path(), "map.json", CONFIG_MAP);
    let good = write(data.path(), "good.json", &DEPLOYMENT.replace("LABEL", "web"));
    let bad = write(data.path(), "bad.json", &DEPLOYMENT.replace("LABEL", "other"));
    let unknown = write(
        data.path(),
        "unknown.json",
        &CONFIG_MAP.replace("\"data\"", "\"datum\""),
    );

    let server = Server::start(data.path(), port, &[]);
    let kubectl = Kubectl {
        program,
        server: &server,
    };
    kubectl.check("get namespaces", "kube-system");
    kubectl.check("api-resources", "deploy ");
    kubectl.check("explain deployment.spec.replicas", "FIELD: replicas <integer>");
    kubectl.check(&format!("create -f {map}"), "configmap/settings created");
    kubectl.check(
        &format!("create -f {map}"),
        "configmaps \"settings\" already exists",
    );
    kubectl.check(
        &format!("create --validate=strict -f {unknown}"),
        "strict decoding error: unknown field \"datum\"",
    );
    let list = write(
        data.path(),
        "list.json",
        &format!(
            r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#,
            CONFIG_MAP.replace("settings", "listed")
        ),
    );
    // kubectl checks lists by the document of OpenAPI 2.0, which it asks for in protobuf.
    kubectl.check(&format!("create -f {list}"), "configmap/listed created");
    kubectl.check(
        &format!("create -f {}", write(data.path(), "worse.json", r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":1}]}"#)),
        "ConfigMap.data): invalid type",
    );
    kubectl.check("get configmap settings -o jsonpath={.data.a}", "1");
    kubectl.check(
        "label configmap settings tier=front",
        "configmap/settings labeled",
    );
    kubectl.check("get configmaps -l tier=front -o name", "configmap/settings");
    kubectl.check(
        "get configmaps --field-selector metadata.name=other",
        "No resources found",
    );
    kubectl.check(
        "patch configmap settings --type=merge -p {\"data\":{\"b\":\"2\"}}",
        "configmap/settings patched",
    );
    kubectl.check("get configmap settings -o jsonpath={.data.b}", "2");
    kubectl.check(
        &format!("apply -f {bad}"),
        "`selector` does not match template `labels`",
    );
    kubectl.check(&format!("apply -f {good}"), "deployment.apps/web created");
    kubectl.check(&format!("apply -f {good}"), "deployment.apps/web unchanged");
    kubectl.check("scale deployment web --replicas=3", "deployment.apps/web scaled");
    kubectl.check("get deployment web", "0/3");
    kubectl.check(
        "set image deployment/web c=web:2",
        "deployment.apps/web image updated",
    );
    kubectl.check("rollout history deployment/web", "2");
    kubectl.check(
        "get widgets",
        "the server doesn't have a resource type \"widgets\"",
    );
    kubectl.check("get configmap missing", "configmaps \"missing\" not found");

    let second = command(data.path(), free_port()).output().expect("gantry runs");
    assert_eq!(
        second.status.code(),
        Some(1),
        "a second server on the same data must not start"
    );
    assert_eq!(String::from_utf8_lossy(&second.stderr).trim().lines().count(), 1);

    drop(server);
    let server = Server::start(data.path(), port, &[]);
    let kubectl = Kubectl {
        program,
        server: &server,
    };
    kubectl.check("get configmap settings -o jsonpath={.data.b}", "2");
    kubectl.check("delete deployment web", "deleted");
    kubectl.check("get deployments", "No resources found");
}

const DEFINITION: &str = r#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
  "metadata":{"name":"backups.ops.example.com"},"spec":{"group":"ops.example.com","scope":"Namespaced",
  "names":{"plural":"backups","singular":"backup","kind":"Backup","shortNames":["bk"]},
  "versions":[{"name":"v1","served":true,"storage":true,
  "additionalPrinterColumns":[{"name":"Every","type":"string","jsonPath":".spec.every"}],
  "schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{
  "every":{"type":"string","description":"How often."},"keep":{"type":"integer","minimum":1},
  "hosts":{"type":"array","items":{"type":"string"}}}}}}}}]}}"#;
const BACKUP: &str = r#"{"apiVersion":"ops.example.com/v1","kind":"Backup","metadata":{"name":"nightly"},
  "spec":{"every":"EVERY","hosts":["a","b"]}}"#;

#[test]
fn custom_resources_live_through_kubectl() {
    for program in kubectls() {
        let data = tempfile::tempdir().expect("a folder");
        let definition = write(data.path(), "definition.json", DEFINITION);
        let daily = write(data.path(), "daily.json", &BACKUP.replace("EVERY", "24h"));
        let hourly = write(data.path(), "hourly.json", &BACKUP.replace("EVERY", "1h"));
        let unknown = write(data.path(), "unknown.json", &BACKUP.replace("hosts", "guests"));
        let server = Server::start(data.path(), free_port(), &[]);
        let kubectl = Kubectl {
            program: &program,
            server: &server,
        };
        let check = |command: &str, expected: &str| kubectl.check(command, expected);
        check(
            &format!("apply -f {definition}"),
            "backups.ops.example.com created",
        );
        check(
            "wait --for=condition=Established crd/backups.ops.example.com",
            "condition met",
        );
        check("explain backup", "APIVersion defines");
        check("explain backup.metadata", "CreationTimestamp is a timestamp");
        check("explain backup.spec.every", "How often.");
        check(
            &format!("apply -f {daily}"),
            "backup.ops.example.com/nightly created",
        );
        check(
            &format!("apply -f {daily}"),
            "backup.ops.example.com/nightly unchanged",
        );
        check(
            &format!("apply -f {hourly}"),
            "backup.ops.example.com/nightly configured",
        );
        check("get bk", "nightly   1h");
        check(&format!("diff -f {daily}"), "24h");
        check(
            "patch bk nightly --type=merge -p {\"spec\":{\"keep\":0}}",
            "spec.keep in body should be greater than or equal to 1",
        );
        check(&format!("apply -f {unknown}"), "unknown field \"spec.guests\"");
        check(
            &format!("apply --server-side --force-conflicts -f {daily}"),
            "backup.ops.example.com/nightly serverside-applied",
        );
        check(
            "label bk nightly tier=front",
            "backup.ops.example.com/nightly labeled",
        );
        check(
            &format!("replace -f {hourly}"),
            "backup.ops.example.com/nightly replaced",
        );
        check(&format!("delete -f {definition}"), "deleted");
        // kubectl remembers for some minutes what there was.
        check("get bk", "the server could not find the requested resource");
    }
}

#[test]
fn a_start_that_cannot_be_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address").port();
    let check = |port: u16, option: &str, value: &str, expected: &str| {
        let data = tempfile::tempdir().expect("a folder");
        let mut command = command(data.path(), port);
        if !option.is_empty() {
            command.arg(option).arg(value);
        }
        let output = command.output().expect("gantry runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{option} {value}: {text}");
        assert!(
            text.contains(expected) && text.trim().lines().count() == 1,
            "{option} {value}: {text}"
        );
    };
    check(taken, "", "", "choose another with --https-port");
    check(
        free_port(),
        "--service-cidr",
        "all",
        "give an IPv4 network with 12 to 29 bits",
    );
    check(free_port(), "--config", "/none.yaml", "/none.yaml");
    check(free_port(), "--runtime-config", "nothing/v1=true", "nothing/v1");
    check(
        free_port(),
        "--datastore-endpoint",
        "https://127.0.0.1:1",
        "needs the CA",
    );
}

#[test]
fn users_are_told_apart() {
    let Some(program) = kubectls().into_iter().next() else {
        return;
    };
    let data = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let server = Server::start(data.path(), port, &[]);
    let kubectl = Kubectl {
        program: &program,
        server: &server,
    };
    kubectl.check("get pods --as ann", "User \"ann\" cannot list resource \"pods\"");
    kubectl.check(
        "get pods --as ann --as-group system:masters",
        "No resources found",
    );
    let account = r#"{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot"}}"#;
    let account = write(data.path(), "account.json", account);
    kubectl.check(&format!("create -f {account}"), "serviceaccount/bot created");
    let request = write(data.path(), "request.json", "{}");
    let path = "/api/v1/namespaces/default/serviceaccounts/bot/token";
    let answer = kubectl.run(&["create", "--raw", path, "-f", &request]);
    let token = answer
        .split("\"token\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_else(|| panic!("no token in {answer}"));
    let url = format!("https://127.0.0.1:{port}");
    let ca = data.path().join("pki/ca.crt").display().to_string();
    let with = |token: &str| {
        let args = ["--kubeconfig=/dev/null", "get", "pods", "--server", &url];
        let output = Command::new(&program)
            .args(args)
            .args(["--certificate-authority", &ca, "--token", token])
            .output()
            .expect("kubectl runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let bot = with(token);
    assert!(
        bot.contains("User \"system:serviceaccount:default:bot\" cannot list"),
        "{bot}"
    );
    let stranger = with("stranger");
    assert!(
        stranger.contains("You must be logged in to the server (Unauthorized)"),
        "{stranger}"
    );
}
