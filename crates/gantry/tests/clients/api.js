// npm's @kubernetes/client-node against a server without a node: `ok` follows each check that passed.

import assert from 'node:assert/strict';
import {
    ApiException, AppsV1Api, CoreV1Api, KubeConfig, KubernetesObjectApi, PatchStrategy, Watch, makeInformer, setHeaderOptions,
} from '@kubernetes/client-node';

const namespace = 'node';
const labels = { app: 'web' };
const config = new KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(CoreV1Api);
const apps = config.makeApiClient(AppsV1Api);

const configMap = (name, data) => ({ metadata: { name, labels }, data });

async function refused(code, promise) {
    const error = await promise.then(() => assert.fail(`must be refused with ${code}`), (e) => e);
    assert(error instanceof ApiException, error);
    assert.equal(error.code, code);
    return JSON.parse(error.body);
}

async function objects() {
    const body = configMap('one', { a: '1' });
    const made = await core.createNamespacedConfigMap({ namespace, body });
    assert(made.metadata.creationTimestamp instanceof Date);
    const again = await refused(409, core.createNamespacedConfigMap({ namespace, body }));
    assert.equal(again.reason, 'AlreadyExists');
    made.data = { a: '2' };
    const changed = await core.replaceNamespacedConfigMap({ name: 'one', namespace, body: made });
    assert.equal(changed.data.a, '2');
    await refused(409, core.replaceNamespacedConfigMap({ name: 'one', namespace, body: made }));
    const found = await core.listNamespacedConfigMap({ namespace, labelSelector: 'app=web' });
    assert.deepEqual(found.items.map((i) => i.metadata.name), ['one']);
    await core.deleteNamespacedConfigMap({ name: 'one', namespace });
    const gone = await refused(404, core.readNamespacedConfigMap({ name: 'one', namespace }));
    assert.equal(gone.message, 'configmaps "one" not found');
}

async function patches() {
    const container = { name: 'c', image: 'web:1', env: [{ name: 'A', value: '1' }] };
    const spec = { replicas: 0, selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container] } } };
    await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: 'web' }, spec } });
    const patch = (body, type, more = {}) => apps.patchNamespacedDeployment(
        { name: 'web', namespace, body, ...more }, setHeaderOptions('Content-Type', type));
    const containers = (fields) => ({ spec: { template: { spec: { containers: [{ name: 'c', ...fields }] } } } });

    let after = await patch([{ op: 'replace', path: '/spec/replicas', value: 0 },
        { op: 'add', path: '/metadata/annotations', value: { a: '1' } }], PatchStrategy.JsonPatch);
    assert.equal(after.metadata.annotations.a, '1');
    after = await patch({ metadata: { annotations: { a: null, b: '2' } } }, PatchStrategy.MergePatch);
    assert.equal(after.metadata.annotations.a, undefined);
    assert.equal(after.metadata.annotations.b, '2');
    after = await patch(containers({ env: [{ name: 'B', value: '2' }] }), PatchStrategy.StrategicMergePatch);
    assert.deepEqual(after.spec.template.spec.containers[0].env.map((e) => e.name), ['B', 'A']);
    const applied = { apiVersion: 'apps/v1', kind: 'Deployment', ...containers({ image: 'web:2' }) };
    const clash = await refused(409, patch(applied, PatchStrategy.ServerSideApply, { fieldManager: 'other' }));
    assert.equal(clash.details.causes[0].reason, 'FieldManagerConflict');
    after = await patch(applied, PatchStrategy.ServerSideApply, { fieldManager: 'other', force: true });
    assert.equal(after.spec.template.spec.containers[0].image, 'web:2');
    await refused(415, patch({}, 'application/x-patch'));
    await apps.deleteNamespacedDeployment({ name: 'web', namespace });
}

async function watching() {
    const seen = [];
    const { metadata } = await core.listNamespacedConfigMap({ namespace });
    let close;
    const ended = new Promise((resolve, reject) => {
        const path = `/api/v1/namespaces/${namespace}/configmaps`;
        const query = { resourceVersion: metadata.resourceVersion, timeoutSeconds: 30 };
        close = new Watch(config).watch(path, query, (type, object) => {
            seen.push(`${type} ${object.metadata.name}`);
            if (type === 'DELETED') resolve();
        }, reject);
    });
    await core.createNamespacedConfigMap({ namespace, body: configMap('seen') });
    await core.deleteNamespacedConfigMap({ name: 'seen', namespace });
    const aborting = await close;
    await ended;
    aborting.abort();
    assert.deepEqual(seen, ['ADDED seen', 'DELETED seen']);
}

async function informing() {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: 'app=web' });
    const informer = makeInformer(config, path, list, 'app=web');
    const next = (event) => new Promise((resolve) => informer.on(event, resolve));
    const [added, changed, removed] = ['add', 'update', 'delete'].map(next);
    await core.createNamespacedConfigMap({ namespace, body: configMap('before', { a: '1' }) });
    await informer.start();
    assert.equal((await added).metadata.name, 'before');
    await core.patchNamespacedConfigMap({ name: 'before', namespace, body: { data: { a: '2' } } },
        setHeaderOptions('Content-Type', PatchStrategy.MergePatch));
    assert.equal((await changed).data.a, '2');
    await core.deleteNamespacedConfigMap({ name: 'before', namespace });
    assert.equal((await removed).metadata.name, 'before');
    assert.deepEqual(informer.list(namespace), []);
    await informer.stop();
}

async function anyKind() {
    const api = KubernetesObjectApi.makeApiClient(config);
    const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace },
        spec: { selector: labels, ports: [{ port: 80 }] } };
    const made = await api.create(service);
    assert.match(made.spec.clusterIP, /^10\.43\./);
    const patched = await api.patch({ ...service, spec: { ports: [{ port: 80, name: 'http' }] } });
    assert.equal(patched.spec.ports[0].name, 'http');
    const all = await api.list('v1', 'Service', namespace);
    assert.deepEqual(all.items.map((i) => i.metadata.name), ['web']);
    await api.delete(service);
}

await core.createNamespace({ body: { metadata: { name: namespace } } });
for (const check of [objects, patches, watching, informing, anyKind]) {
    await check();
    console.log('ok', check.name);
}
process.exit(0);
