// Whatever a producer sends stays text, and the headers would stop it if it did not.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker } from './broker.mjs';
import { close, launch, open } from './browser.mjs';

const EVIL = '<img src=x onerror=alert(1)><script>alert(2)</script>';
let broker, browser;
before(async () => {
  [broker, browser] = await Promise.all([Broker.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await broker?.stop();
});

test('markup in keys, tags, payloads, failures and filters stays text on every page', async () => {
  const { results } = await broker.enqueue([
    { kind: 'evil', queue: 'evil', key: EVIL, tags: [EVIL.slice(0, 90)], payload: { [EVIL]: EVIL, list: [EVIL] }, headers: { note: EVIL }, max_attempts: 1 },
  ]);
  await broker.work('evil', 1, () => ({ kind: EVIL, message: EVIL, trace: EVIL }));
  const page = await open(browser);
  page.mayFail = (text) => text.includes('400');
  for (const path of ['/', '/queues', '/queues/evil', '/jobs', `/jobs/${results[0].id}`, '/errors', '/workers', '/settings/audit', `/jobs?q=${encodeURIComponent(EVIL)}`, `/queues/${encodeURIComponent(EVIL)}`]) {
    await page.goto(broker.url + path).catch(() => {});
    await page.waitForTimeout(400);
    assert.equal(await page.locator('main img, main script').count(), 0, path);
  }
  await page.goto(`${broker.url}/jobs/${results[0].id}`);
  await page.getByText(EVIL).first().waitFor();
  page.faults = page.faults.filter((fault) => !/40[04]/.test(fault));
  await close(page);
});

test('the page is served with headers that allow nothing from elsewhere and nothing inline', async () => {
  const page = await fetch(broker.url);
  const policy = page.headers.get('content-security-policy');
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval|https?:/);
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff');
  assert.doesNotMatch(await page.text(), /<style|style=|onload=|<script(?![^>]*src=)/);
});

test('the whole transfer is under 80 KB, and is asked for once', async () => {
  let bytes = 0;
  for (const path of ['/', '/app.js', '/app.css', '/icon.svg']) {
    const response = await fetch(broker.url + path, { headers: { 'accept-encoding': 'identity' } });
    const etag = response.headers.get('etag');
    assert.ok(etag, path);
    const { gzipSync } = await import('node:zlib');
    bytes += gzipSync(Buffer.from(await response.arrayBuffer())).length;
    const again = await fetch(broker.url + path, { headers: { 'if-none-match': etag } });
    assert.equal(again.status, 304, path);
    const packed = await fetch(broker.url + path, { headers: { 'accept-encoding': 'gzip' } });
    if (path.startsWith('/app')) assert.equal(packed.headers.get('content-encoding'), 'gzip', path);
  }
  assert.ok(bytes < 80 * 1024, `${bytes} bytes`);
});
