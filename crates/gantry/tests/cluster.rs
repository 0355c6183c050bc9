//! A whole cluster from outside: the built binary as control plane and node in a network namespace of its own, with real
//! containerd and stock kubectl. Needs root; says so when it cannot run.

mod clients;
mod machine;

use machine::{IMAGE, Machine, possible};
use std::collections::BTreeSet;

const APPLICATION: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "hello from a file", GREETING: "hello from env"}
---
apiVersion: v1
kind: Secret
metadata: {name: door}
stringData: {password: sesame}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: httpd
        image: IMAGE
        command: [/bin/busybox, sh, -c]
        args:
        - |
          /bin/busybox --install -s /bin
          mkdir /www && cp /page/index.html /secret/password /www/
          echo "$GREETING $PASSWORD $VERSION" >/www/env; hostname >/www/host
          exec httpd -f -p 8080 -h /www
        env:
        - {name: GREETING, valueFrom: {configMapKeyRef: {name: page, key: GREETING}}}
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: door, key: password}}}
        - {name: VERSION, value: "1"}
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /env, port: http}, periodSeconds: 1}
        # The endpoint leaves the services before the server ends, as in every rolling update without a lost request.
        lifecycle: {preStop: {exec: {command: [/bin/busybox, sleep, "2"]}}}
        volumeMounts: [{name: page, mountPath: /page}, {name: door, mountPath: /secret}]
      volumes:
      - {name: page, configMap: {name: page}}
      - {name: door, secret: {secretName: door}}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: shell, image: IMAGE, command: [/bin/busybox, sh, -c, "/bin/busybox --install -s /bin; echo started; exec sleep 10000"]}
"#;

const CRASHING: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: crash}
spec:
  containers: [{name: c, image: IMAGE, command: [/bin/busybox, sh, -c, "echo last words; exit 7"]}]
"#;

const ECHOING: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: echo}
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  containers: [{name: c, image: IMAGE, stdin: true, stdinOnce: true, command: [/bin/busybox, tr, a-z, A-Z]}]
"#;

/// Asks the service again and again until it is told to stop, and says how often and how often in vain.
const ASKING: &str = "n=0; bad=0; while [ ! -e /stop ] && [ $n -lt 20000 ]; do \
    timeout 5 wget -q -O /dev/null http://web/env || bad=$((bad+1)); n=$((n+1)); done; echo asked $n failed $bad";

#[test]
fn an_application_lives_on_the_cluster() {
    if !possible() {
        return;
    }
    let mut machine = Machine::new("app");
    machine.start();
    machine.wait("node --all", "condition=Ready");
    machine.import_image();
    machine.check("create namespace shop", "namespace/shop created");
    machine.check("config set-context --current --namespace shop", "modified");
    machine.apply(APPLICATION);
    machine.check(
        "rollout status deployment/web --timeout=60s",
        "successfully rolled out",
    );
    machine.wait("pod/client", "condition=Ready");

    services_and_names(&machine);
    logs_and_commands(&machine);
    rolling_update(&machine);
    unready_and_crashing(&machine);

    let containers = "get pods -o jsonpath={.items[*].status.containerStatuses[*].containerID}";
    let before = machine.kubectl(containers);
    machine.kill();
    machine.start();
    machine.wait("node --all", "condition=Ready");
    machine.wait("pod/client", "condition=Ready");
    assert_eq!(
        machine.kubectl(containers),
        before,
        "containers outlive a killed gantry"
    );
    machine.check("exec client -- wget -q -O- http://web/env", "hello from env");

    machine.check("delete namespace shop --timeout=60s", "deleted");
    machine.check("get pods,services,configmaps -n shop", "No resources found");
    machine.end();
}

fn services_and_names(machine: &Machine) {
    let fetch = |url: &str| machine.kubectl(&format!("exec client -- timeout 5 wget -q -O- {url}"));
    assert_eq!(fetch("http://web"), "hello from a file");
    assert_eq!(fetch("http://web.shop.svc.cluster.local/password"), "sesame");
    assert_eq!(fetch("http://web.shop/env"), "hello from env sesame 1");
    let hosts: BTreeSet<String> = (0..40).map(|_| fetch("http://web/host")).collect();
    assert_eq!(hosts.len(), 3, "every replica is asked: {hosts:?}");
    assert_eq!(
        machine.fetch("http://127.0.0.1:30080/password"),
        "",
        "node ports are not on loopback"
    );
    assert_eq!(
        machine.fetch(&format!("http://{}:30080/password", machine.address())),
        "sesame"
    );
    let address = machine.kubectl("get service web -o jsonpath={.spec.clusterIP}");
    assert_eq!(machine.fetch(&format!("http://{address}/password")), "sesame");
    machine.check(
        "exec client -- nslookup kubernetes.default.svc.cluster.local",
        "10.43.0.1",
    );
    machine.check(
        "exec client -- cat /etc/resolv.conf",
        "search shop.svc.cluster.local svc.cluster.local",
    );
    machine.check("get endpointslices -l kubernetes.io/service-name=web", "8080");
}

fn logs_and_commands(machine: &Machine) {
    machine.check("logs client", "started");
    machine.check("logs deployment/web --tail=1 --since=1h", "");
    machine.check("exec client -- sh -c 'echo out; exit 3'", "exit code 3");
    let shouted = machine.with_input("exec -i client -- tr a-z A-Z", "through and through");
    assert_eq!(shouted, "THROUGH AND THROUGH");
    let file = machine.file("note.txt", "a note for the pod\n");
    machine.check(&format!("cp {file} client:/note.txt"), "");
    machine.check("exec client -- cat /note.txt", "a note for the pod");
    machine.check(&format!("cp client:/note.txt {file}.back"), "");
    assert_eq!(
        std::fs::read_to_string(format!("{file}.back")).expect("the copy"),
        "a note for the pod\n"
    );

    let mut forward = machine.spawn("port-forward service/web 18080:80");
    machine.until("the forwarded port answers", || {
        machine.fetch("http://127.0.0.1:18080/password") == "sesame"
    });
    forward.stop();

    machine.check(
        &format!("run talker --image={IMAGE} --restart=Never --command -- /bin/busybox sh -c 'echo one; sleep 2; echo two'"),
        "pod/talker created",
    );
    machine.check(
        "wait pod/talker --for=jsonpath={.status.phase}=Running --timeout=60s",
        "condition met",
    );
    assert_eq!(machine.kubectl("logs -f talker"), "one\ntwo");
    machine.check("delete pod talker", "deleted");

    machine.apply(ECHOING);
    machine.wait("pod/echo", "condition=Ready");
    let said = machine.with_input("attach -i echo", "to be repeated\n");
    assert!(said.contains("TO BE REPEATED"), "{said}");
    machine.check("delete pod echo", "deleted");
}

fn rolling_update(machine: &Machine) {
    let asking = machine.spawn_with(&["exec", "client", "--", "sh", "-c", ASKING]);
    machine.check("set env deployment/web VERSION=2", "updated");
    machine.check(
        "rollout status deployment/web --timeout=90s",
        "successfully rolled out",
    );
    machine.check("exec client -- wget -q -O- http://web/env", "sesame 2");
    machine.check("exec client -- touch /stop", "");
    let said = asking.output();
    assert!(
        said.contains("asked") && said.contains("failed 0"),
        "during a rolling update: {said}"
    );

    machine.check("rollout undo deployment/web", "rolled back");
    machine.check(
        "rollout status deployment/web --timeout=90s",
        "successfully rolled out",
    );
    machine.check("exec client -- wget -q -O- http://web/env", "sesame 1");
    machine.check("scale deployment web --replicas=1", "scaled");
    machine.until("one replica is left", || {
        machine.kubectl("get pods -l app=web -o name").lines().count() == 1
    });
}

fn unready_and_crashing(machine: &Machine) {
    let ready = "get endpointslices -l kubernetes.io/service-name=web -o jsonpath={.items[*].endpoints[*].conditions.ready}";
    assert_eq!(machine.kubectl(ready), "true");
    machine.check("exec deployment/web -- rm /www/env", "");
    machine.until("the unready pod leaves the endpoints", || {
        machine.kubectl(ready) == "false"
    });
    let said = machine.kubectl("exec client -- timeout 5 wget -q -O- http://web/password");
    assert!(said.contains("Connection refused"), "{said}");
    machine.check("exec deployment/web -- sh -c 'echo hello from env >/www/env'", "");
    machine.until("the pod is ready again", || machine.kubectl(ready) == "true");

    machine.apply(CRASHING);
    let reason = "get pod crash -o jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    machine.until("the crashing pod backs off", || {
        machine.kubectl(reason) == "CrashLoopBackOff"
    });
    machine.check("logs crash --previous", "last words");
    machine.check("events --for pod/crash", "Back-off restarting failed container");
    machine.check("describe pod crash", "CrashLoopBackOff");
    let counts =
        "get events --field-selector reason=BackOff,involvedObject.name=crash -o jsonpath={.items[*].count}";
    let counts = machine.kubectl(counts);
    let count: u32 = counts
        .parse()
        .unwrap_or_else(|_| panic!("one event counts: {counts}"));
    assert!(
        count < 20,
        "a container that waits is left alone: {count} times in a few seconds"
    );
    machine.check("delete pod crash --timeout=30s", "deleted");
}

/// What the client libraries of other languages find: a shell that serves a page.
const SHELL: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: shell
    image: IMAGE
    command: [/bin/busybox, sh, -c]
    args: ["/bin/busybox --install -s /bin; mkdir /www; echo a page >/www/page; echo started; exec httpd -f -p 8080 -h /www"]
    readinessProbe: {httpGet: {path: /page, port: 8080}, periodSeconds: 1}
"#;

#[test]
fn other_clients_reach_into_pods() {
    if !possible() {
        return;
    }
    let libraries = [(clients::python(), "exec.py"), (clients::node(), "exec.js")];
    let mut machine = Machine::new("lib");
    machine.start();
    machine.wait("node --all", "condition=Ready");
    machine.import_image();
    machine.apply(SHELL);
    machine.wait("pod/shell", "condition=Ready");
    for (library, script) in libraries {
        if let Some(library) = library {
            library.check(script, &machine.kubeconfig(), |program| machine.inside(program));
        }
    }
    machine.end();
}

#[test]
fn images_are_listed_and_pods_are_measured() {
    if !possible() {
        return;
    }
    let mut machine = Machine::new("img");
    machine.start();
    machine.import_image();
    let listed = machine.gantry(&["image", "ls"]);
    assert!(
        listed.contains("gantry.local/pause:1") && listed.contains(IMAGE),
        "{listed}"
    );
    let wrong = machine.file("wrong.tar", "no archive");
    let said = machine.gantry(&["image", "import", &wrong]);
    assert!(
        said.contains("is no image archive") && said.lines().count() == 1,
        "{said}"
    );
    let said = machine.bench_pods(&["--count", "2", "--rounds", "2", "--output", "json"]);
    let rows: serde_json::Value =
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("no figures: {said}"));
    let sort = |row: &serde_json::Value| (row["requests"].clone(), row["failed"].clone());
    let sorts: Vec<_> = rows.as_array().into_iter().flatten().map(sort).collect();
    assert_eq!(sorts, vec![(4.into(), 0.into()); 3], "{said}");
    machine.end();
    let said = machine.gantry(&["image", "ls"]);
    assert!(
        said.contains("is gantry running?") && said.lines().count() == 1,
        "{said}"
    );
}
