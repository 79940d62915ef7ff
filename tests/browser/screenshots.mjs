// Takes the pictures in docs/screenshots: a real broker with real workers under a small load for some minutes.
// `node screenshots.mjs [minutes]`; WINDLASS and WORKER_EXAMPLE name the programs.
import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Broker, eventually } from './broker.mjs';
import { launch, open } from './browser.mjs';

const MINUTES = Number(process.argv[2] ?? 14);
const WORKER = process.env.WORKER_EXAMPLE ?? new URL('../../target/debug/worker-example', import.meta.url).pathname;
const OUT = new URL('../../docs/screenshots/', import.meta.url).pathname;

const broker = await Broker.start();
const workers = [];
for (const [queue, concurrency] of [['mail', 8], ['mail', 8], ['reports', 4], ['default', 6], ['invoices', 2]]) {
  const args = ['--addr', `127.0.0.1:${broker.port}`, '--queue', queue, '--concurrency', String(concurrency), '--out', join(broker.data, 'out', `${queue}-${workers.length}`)];
  workers.push(spawn(WORKER, args, { stdio: 'ignore' }));
}
const people = ['ada', 'grace', 'alan', 'edsger', 'barbara', 'donald', 'frances', 'ken'];
let seed = 7;
const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
const person = () => people[Math.floor(random() * people.length)];

function mail(queue, hold) {
  const name = person();
  const to = random() < 0.02 ? name : `${name}@example.com`;
  const payload = { to, subject: 'Welcome aboard', body: `Hello ${name}`, hold_ms: Math.round(hold * (0.5 + random())), api_key: 'sk_live_51Hq', user: { id: 4711, newsletter: true, locale: 'de-DE' } };
  if (random() < 0.04) payload.fail_first = random() < 0.3 ? 9 : 1;
  return { kind: 'send_email', queue, payload, key: `customer-${Math.floor(random() * 300)}`, tags: ['onboarding'], max_attempts: 3, backoff: { base_ms: 2000 } };
}
const pdf = (queue, hold) => ({ kind: 'generate_pdf', queue, payload: { title: 'Report', lines: ['from Windlass'], hold_ms: Math.round(hold * (0.5 + random())) }, max_attempts: 5 });

const FAILURES = [
  ['HttpError', 'POST https://hooks.example.net/in answered 503 Service Unavailable', 'at deliver (src/webhooks.ts:88:11)\n    at async handle (src/worker.ts:41:9)\n    at async run (node_modules/windlass/worker.js:302:7)'],
  ['Timeout', 'connect to hooks.example.net:443 timed out after 10 s', 'at connect (src/http.ts:214:19)\n    at async deliver (src/webhooks.ts:81:5)'],
];
function failure() {
  const dice = random();
  const found = dice < 0.1 ? FAILURES[0] : dice < 0.14 ? FAILURES[1] : null;
  return found && { kind: found[0], message: found[1], trace: `${found[0]}: ${found[1]}\n    ${found[2]}` };
}

await broker.call('PUT', '/v1/schedules/nightly-report', { cron: '30 2 * * *', tz: 'Europe/Berlin', job: { kind: 'generate_pdf', queue: 'reports', payload: { title: 'Nightly', lines: [] } } });
await broker.call('PUT', '/v1/schedules/sync-users', { cron: '*/5 * * * *', job: { kind: 'send_email', queue: 'default', payload: { to: 'ops@example.com', subject: 'sync', body: '' } } });
await broker.call('PUT', '/v1/schedules/weekly-digest', { cron: '0 9 * * 1', tz: 'Europe/London', job: { kind: 'send_email', queue: 'mail', payload: { to: 'all@example.com', subject: 'digest', body: '' } } });
await broker.call('PUT', '/v1/schedules/heartbeat', { every_ms: 30000, job: { kind: 'send_email', queue: 'default', payload: { to: 'ops@example.com', subject: 'beat', body: '' } } });
await broker.call('PUT', '/v1/limits/stripe', { rate: 100, per_ms: 1000, why: 'their limit is 120' });
await broker.enqueue(Array.from({ length: 12 }, () => ({ kind: 'charge_card', queue: 'billing:eu', payload: { amount: 1999 } })));
await broker.call('POST', '/v1/queues/billing:eu/pause', { why: 'month-end audit until the bank answers' });
await broker.enqueue(Array.from({ length: 40 }, (_, n) => ({ kind: 'video.encode', queue: 'video', payload: { clip: n } })));
await broker.enqueue(Array.from({ length: 60 }, () => ({ ...mail('mail', 100), delay_ms: 3_600_000 })));

const begun = Date.now();
const end = begun + MINUTES * 60_000;
while (Date.now() < end) {
  const minutes = (Date.now() - begun) / 60_000;
  const swell = 1 + 0.45 * Math.sin(minutes * 1.1) + 0.25 * Math.sin(minutes * 3.7);
  const jobs = [];
  for (let n = 0; n < 16 * swell; n += 1) jobs.push(mail('mail', 800));
  for (let n = 0; n < 8 * swell; n += 1) jobs.push(mail('default', 500));
  for (let n = 0; n < 2 * swell; n += 1) jobs.push(pdf('reports', 1500));
  for (let n = 0; n < 2; n += 1) jobs.push(pdf('invoices', 900));
  for (let n = 0; n < 3 * swell; n += 1) jobs.push({ kind: 'webhook.deliver', queue: 'webhooks', payload: { url: 'https://hooks.example.net/in', event: 'order.paid', token: 't' }, max_attempts: 3, backoff: { base_ms: 1500 } });
  await broker.enqueue(jobs);
  await broker.work('webhooks', 8, failure);
  await new Promise((done) => setTimeout(done, 1000));
  if (workers.some((worker) => worker.exitCode !== null)) throw new Error('a worker has ended');
}
// The load goes on while the pictures are taken, so that nothing stands still in them.
const load = setInterval(() => {
  const jobs = [...Array.from({ length: 14 }, () => mail('mail', 800)), ...Array.from({ length: 8 }, () => mail('default', 500)), pdf('reports', 1500), pdf('invoices', 900)];
  broker.enqueue(jobs).catch(() => {});
}, 1000);

const browser = await launch();
await mkdir(OUT, { recursive: true });
const first = async (q) => (await broker.call('GET', `/v1/jobs?q=${encodeURIComponent(q)}&limit=1`)).items[0]?.id;
const dead = await eventually('a dead job', () => first('state:dead kind:webhook.deliver'));
const waiting = await first('queue:billing:eu');
const pages = [
  ['overview', '/?range=15m', 6000],
  ['queue', '/queues/mail?range=15m', 3000],
  ['jobs', '/jobs?state=dead', 1500],
  ['job', `/jobs/${dead}`, 1500],
  ['waiting', `/jobs/${waiting}`, 1500],
  ['errors', '/errors', 1500],
  ['workers', '/workers', 1500],
  ['schedules', '/schedules', 1500],
  ['settings', '/settings/limits', 1500],
];
const shots = [];
for (const [mode, width, height, scheme] of [['light', 1280, 800, 'light'], ['dark', 1280, 800, 'dark'], ['narrow', 360, 720, 'light']]) {
  shots.push(
    (async () => {
      const page = await open(browser, { width, height, scheme });
      for (const [name, path, ms] of pages) {
        await page.goto(broker.url + path);
        await page.locator('main h1').waitFor();
        await page.waitForTimeout(ms);
        await page.screenshot({ path: join(OUT, `${name}-${mode}.png`) });
      }
      await page.context().close();
    })(),
  );
}
await Promise.all(shots);
clearInterval(load);
await browser.close();
for (const worker of workers) worker.kill('SIGKILL');
await broker.stop();
