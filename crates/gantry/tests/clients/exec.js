// npm's @kubernetes/client-node on the running pod `shell`, whose container prints "started" and serves HTTP at 8080.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Exec, KubeConfig, Log, PortForward } from '@kubernetes/client-node';

const [namespace, pod, container] = ['default', 'shell', 'shell'];
const config = new KubeConfig();
config.loadFromDefault();

// What a command prints, and its status.
function run(command, { input, tty = false } = {}) {
    const [out, err] = [new PassThrough(), new PassThrough()];
    return new Promise((resolve, reject) => {
        const done = (status) => {
            out.end();
            err.end();
            resolve(Promise.all([text(out), text(err), status]));
        };
        new Exec(config).exec(namespace, pod, container, command, out, tty ? null : err, input ?? null, tty, done)
            .catch(reject);
    });
}

async function output() {
    const [out, err, status] = await run(['sh', '-c', 'echo one; echo two >&2; exit 3']);
    assert.deepEqual([out, err, status.status], ['one\n', 'two\n', 'Failure']);
    assert.deepEqual(status.details.causes, [{ reason: 'ExitCode', message: '3' }]);
}

async function inputIsRead() {
    const input = new PassThrough();
    input.write('words\n');
    const [out, , status] = await run(['sh', '-c', 'read line; echo heard $line'], { input });
    assert.deepEqual([out, status.status], ['heard words\n', 'Success']);
}

async function terminal() {
    const [out] = await run(['sh', '-c', 'test -t 1 && echo a terminal'], { tty: true });
    assert.equal(out, 'a terminal\r\n');
}

async function log() {
    const out = new PassThrough();
    await new Log(config).log(namespace, pod, container, out, { follow: false });
    assert.equal(await text(out), 'started\n');
}

async function port() {
    const [input, out, err] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const socket = await new PortForward(config).portForward(namespace, pod, [8080], out, err, input);
    input.write('GET /page HTTP/1.0\r\n\r\n');
    let answer = '';
    for await (const part of out) {
        answer += part;
        if (answer.endsWith('a page\n')) break;
    }
    socket.close();
}

for (const check of [output, inputIsRead, terminal, log, port]) {
    await check();
    console.log('ok', check.name);
}
process.exit(0);
