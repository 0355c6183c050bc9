"""PyPI's kubernetes on the running pod `shell`, whose container prints "started" and serves HTTP at 8080."""

import json

from kubernetes import client, config, watch
from kubernetes.stream import portforward, stream

POD, NAMESPACE = "shell", "default"


def run(core, *command, **kwargs):
    options = {"stderr": True, "stdout": True, "stdin": False, "tty": False, **kwargs}
    return stream(core.connect_get_namespaced_pod_exec, POD, NAMESPACE, command=list(command), **options)


def output(core):
    assert run(core, "sh", "-c", "echo one; echo two >&2") in ("one\ntwo\n", "two\none\n")


def input_and_exit_code(core):
    session = run(core, "sh", "-c", "read line; echo heard $line; exit 3", stdin=True, _preload_content=False)
    session.write_stdin("words\n")
    session.run_forever(timeout=30)
    assert session.read_stdout() == "heard words\n"
    assert session.returncode == 3, session.returncode


def terminal(core):
    # The size goes another way than the input, so that the command may be the first of them.
    command = 'i=0; until [ "$(stty size)" = "33 44" ] || [ $i = 100 ]; do sleep 0.1; i=$((i+1)); done; stty size'
    session = run(core, "sh", "-c", command, stdin=True, tty=True, _preload_content=False)
    session.write_channel(4, json.dumps({"Height": 33, "Width": 44}))
    session.run_forever(timeout=30)
    text = session.read_stdout()
    assert "33 44" in text, f"the terminal has the size it was given, not {text!r}"


def logs(core):
    # Read as it is: this version of the library makes "b'…'" of what is no JSON.
    assert core.read_namespaced_pod_log(POD, NAMESPACE, _preload_content=False).data == b"started\n"
    lines = watch.Watch().stream(core.read_namespaced_pod_log, POD, NAMESPACE, follow=True)
    assert next(iter(lines)) == "started"


def port(core):
    forward = portforward(core.connect_get_namespaced_pod_portforward, POD, NAMESPACE, ports="8080")
    connection = forward.socket(8080)
    connection.settimeout(30)
    connection.sendall(b"GET /page HTTP/1.0\r\n\r\n")
    text = b""
    while part := connection.recv(4096):
        text += part
    assert text.endswith(b"a page\n") and forward.error(8080) is None, (text, forward.error(8080))


def proxy(core):
    answer = core.connect_get_namespaced_pod_proxy_with_path(f"{POD}:8080", NAMESPACE, "page", _preload_content=False)
    assert answer.data == b"a page\n", answer.data


config.load_kube_config()
for check in (output, input_and_exit_code, terminal, logs, port, proxy):
    check(client.CoreV1Api())
    print("ok", check.__name__, flush=True)
