// A real broker for a test, with a data directory of its own, and the calls that a producer and a worker make.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const WINDLASS = process.env.WINDLASS ?? new URL('../../target/debug/windlass', import.meta.url).pathname;

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Asks again until the answer is truthy. */
export async function eventually(what, ask, patienceMs = 20_000) {
  const end = Date.now() + patienceMs;
  let last;
  for (;;) {
    try {
      last = await ask();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    assert.ok(Date.now() < end, `${what}: ${last instanceof Error ? last.stack : JSON.stringify(last)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export class Broker {
  static async start() {
    const broker = await Broker.prepare();
    await broker.run();
    return broker;
  }

  /** A broker that does not run yet. */
  static async prepare() {
    const broker = new Broker();
    broker.data = await mkdtemp(join(tmpdir(), 'windlass-browser-'));
    [broker.port, broker.http] = [await freePort(), await freePort()];
    broker.url = `http://127.0.0.1:${broker.http}`;
    return broker;
  }

  /** Starts the process; after `kill` it comes back with the same data on the same ports. */
  async run(further = []) {
    const args = ['serve', '--data', this.data, '--listen', `127.0.0.1:${this.port}`, '--http', `127.0.0.1:${this.http}`, ...further];
    this.process = spawn(WINDLASS, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.said = '';
    this.process.stderr.on('data', (text) => (this.said = (this.said + text).slice(-4000)));
    await eventually(`the broker is ready (${this.said})`, async () => (await fetch(`${this.url}/readyz`)).ok);
  }

  async kill() {
    const ended = new Promise((done) => this.process.once('exit', done));
    this.process.kill('SIGKILL');
    await ended;
  }

  async stop() {
    await this.kill();
    await rm(this.data, { recursive: true, force: true });
  }

  async call(method, path, body, headers = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  enqueue(jobs) {
    return this.call('POST', '/v1/jobs', { jobs });
  }

  /** Takes up to `max` jobs of a queue and settles each by what `work` returns: a failure, or a result. */
  async work(queue, max, work) {
    const { items } = await this.call('POST', '/v1/leases', { queues: [queue], max, worker: 'browser-test' }, { prefer: 'wait=10' });
    for (const item of items) {
      const failure = work(item);
      const path = `/v1/leases/${encodeURIComponent(item.lease)}`;
      if (failure) await this.call('POST', `${path}/fail`, failure);
      else await this.call('POST', `${path}/complete`, { result: { done: true } });
    }
    return items.length;
  }
}
