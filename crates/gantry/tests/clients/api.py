"""PyPI's kubernetes against a server without a node: each check is one function, and `ok` follows each that passed."""

import os
import threading

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

NAMESPACE = "python"
LABELS = {"app": "web"}
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=LABELS), data=data)


def deployment(name):
    container = client.V1Container(name="c", image="web:1", env=[client.V1EnvVar(name="A", value="1")])
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=LABELS), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=0, selector=client.V1LabelSelector(match_labels=LABELS), template=template
    )
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


def refused(code, reason, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ApiException as error:
        assert (error.status, error.reason) == (code, reason), error
        return error
    raise AssertionError(f"{call.__name__} must be refused with {code}")


def objects(core):
    made = core.create_namespaced_config_map(NAMESPACE, config_map("one", a="1"))
    assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo, made
    refused(409, "Conflict", core.create_namespaced_config_map, NAMESPACE, config_map("one"))
    refused(404, "Not Found", core.read_namespaced_config_map, "none", NAMESPACE)
    error = refused(422, "Unprocessable Entity", core.create_namespaced_config_map, NAMESPACE, config_map("No"))
    assert "RFC 1123" in error.body, error.body
    made.data = {"a": "2"}
    changed = core.replace_namespaced_config_map("one", NAMESPACE, made)
    assert changed.data == {"a": "2"} and changed.metadata.uid == made.metadata.uid
    refused(409, "Conflict", core.replace_namespaced_config_map, "one", NAMESPACE, made)
    core.delete_namespaced_config_map("one", NAMESPACE)
    refused(404, "Not Found", core.delete_namespaced_config_map, "one", NAMESPACE)


def pages(core):
    for i in range(7):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{i}"))
    found, token = [], None
    while token != "":
        page = core.list_namespaced_config_map(NAMESPACE, limit=3, _continue=token, label_selector="app in (web)")
        found += [item.metadata.name for item in page.items]
        token = page.metadata._continue or ""
    assert found == [f"page-{i}" for i in range(7)], found
    one = core.list_config_map_for_all_namespaces(field_selector="metadata.name=page-3").items
    assert [item.metadata.namespace for item in one] == [NAMESPACE], one
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="app=web")
    assert core.list_namespaced_config_map(NAMESPACE, label_selector="app=web").items == []


def watching(core):
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, config_map("seen", a="1"))
    core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("seen", NAMESPACE)
    watcher, seen = watch.Watch(), []
    stream = watcher.stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=start, timeout_seconds=30, allow_watch_bookmarks=True
    )
    for event in stream:
        seen.append((event["type"], event["object"].data["a"]))
        if event["type"] == "DELETED":
            watcher.stop()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], seen
    ends = watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, timeout_seconds=1, resource_version=start)
    assert [event["type"] for event in ends] == ["ADDED", "MODIFIED", "DELETED"]


def patches(apps):
    apps.create_namespaced_deployment(NAMESPACE, deployment("web"))

    def patch(body, content_type):
        return apps.patch_namespaced_deployment("web", NAMESPACE, body, _content_type=content_type)

    def containers(**fields):
        return {"spec": {"template": {"spec": {"containers": [{"name": "c", **fields}]}}}}

    after = patch(containers(env=[{"name": "B", "value": "2"}]), STRATEGIC)
    env = after.spec.template.spec.containers[0].env
    assert [(e.name, e.value) for e in env] == [("B", "2"), ("A", "1")], env
    after = patch({"metadata": {"annotations": {"a": "1", "b": None}}}, MERGE)
    assert after.metadata.annotations["a"] == "1" and "b" not in after.metadata.annotations, after.metadata
    after = apps.patch_namespaced_deployment(
        "web", NAMESPACE, [{"op": "test", "path": "/spec/replicas", "value": 0},
                           {"op": "add", "path": "/spec/paused", "value": True}]
    )
    assert after.spec.paused is True
    refused(422, "Unprocessable Entity", apps.patch_namespaced_deployment, "web", NAMESPACE,
            [{"op": "test", "path": "/spec/replicas", "value": 5}])
    scale = apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 0}})
    # A zero is left out, as by upstream.
    assert (scale.spec.replicas, scale.status.selector) == (None, "app=web"), scale
    apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")


def applying(core):
    def apply(manager, data, **kwargs):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data}
        return core.patch_namespaced_config_map(
            "applied", NAMESPACE, body, field_manager=manager, _content_type=APPLY, **kwargs
        )

    assert apply("one", {"a": "1", "b": "1"}).data == {"a": "1", "b": "1"}
    error = refused(409, "Conflict", apply, "two", {"a": "2"})
    assert 'conflict with \\"one\\"' in error.body, error.body
    assert apply("two", {"a": "2"}, force=True).data == {"a": "2", "b": "1"}
    after = apply("one", {})
    assert after.data == {"a": "2"}, after.data
    assert sorted(m.manager for m in after.metadata.managed_fields) == ["one", "two"]


def by_discovery(api):
    every = dynamic.DynamicClient(api)
    maps = every.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"a": "1"}}
    made = maps.server_side_apply(body=body, namespace=NAMESPACE, field_manager="dynamic", force_conflicts=True)
    assert made.data.a == "1"
    stale = maps.get(name="dynamic", namespace=NAMESPACE).to_dict()
    stale["metadata"]["resourceVersion"] = "1"
    try:
        maps.replace(body=stale, namespace=NAMESPACE)
        raise AssertionError("an old version must not replace a newer one")
    except ConflictError:
        pass
    maps.delete(name="dynamic", namespace=NAMESPACE)
    try:
        maps.get(name="dynamic", namespace=NAMESPACE)
        raise AssertionError("it was deleted")
    except NotFoundError:
        pass
    assert every.resources.get(api_version="apps/v1", kind="Deployment").namespaced
    assert every.version["kubernetes"]["gitVersion"].startswith("v1.36")


def manifests(api):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
               "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": "http"}]}}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    for body in (service, role):
        utils.create_from_dict(api, body, namespace=NAMESPACE)
    try:
        utils.create_from_dict(api, service, namespace=NAMESPACE)
        raise AssertionError("it exists already")
    except utils.FailToCreateError as error:
        assert "already exists" in str(error), error
    made = client.CoreV1Api(api).read_namespaced_service("web", NAMESPACE)
    assert made.spec.cluster_ip and made.spec.ports[0].target_port == "http", made.spec


def access(core, api):
    account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="bot"))
    core.create_namespaced_service_account(NAMESPACE, account)
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("bot", NAMESPACE, request).status.token
    own = client.Configuration.get_default_copy()
    own.cert_file = own.key_file = None
    own.api_key = {"authorization": f"Bearer {token}"}
    bot = client.ApiClient(own)
    error = refused(403, "Forbidden", client.CoreV1Api(bot).list_namespaced_pod, NAMESPACE)
    assert f"system:serviceaccount:{NAMESPACE}:bot" in error.body, error.body
    who = client.AuthenticationV1Api(bot).create_self_subject_review(client.V1SelfSubjectReview())
    assert f"system:serviceaccounts:{NAMESPACE}" in who.status.user_info.groups, who
    question = client.V1SubjectAccessReview(spec=client.V1SubjectAccessReviewSpec(
        user="ann", resource_attributes=client.V1ResourceAttributes(verb="get", resource="pods", namespace=NAMESPACE)))
    answer = client.AuthorizationV1Api(api).create_subject_access_review(question)
    assert answer.status.allowed is False, answer


def leader(_):
    led = threading.Event()
    lock = ConfigMapLock("leader", NAMESPACE, "first")
    settings = electionconfig.Config(
        lock, lease_duration=10, renew_deadline=8, retry_period=2, onstarted_leading=led.set, onstopped_leading=None
    )
    threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True).start()
    assert led.wait(30), "nobody leads after 30 s"


def main():
    config.load_kube_config()
    api = client.ApiClient()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    for check, *given in [
        (objects, core), (pages, core), (watching, core), (patches, apps), (applying, core), (by_discovery, api),
        (manifests, api), (access, core, api), (leader, api),
    ]:
        check(*given)
        print("ok", check.__name__, flush=True)


main()
# The leader's thread has no end of its own.
os._exit(0)
