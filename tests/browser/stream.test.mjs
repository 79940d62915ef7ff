// The page is live, stops when told, and comes back by itself when the broker does.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker } from './broker.mjs';
import { close, launch, open } from './browser.mjs';

let broker, browser;
before(async () => {
  [broker, browser] = await Promise.all([Broker.start(), launch()]);
  await broker.enqueue([{ kind: 'hello', queue: 'live', payload: 1 }]);
});
after(async () => {
  await browser?.close();
  await broker?.stop();
});

test('new jobs wait behind a button, and no row moves under the pointer', async () => {
  const page = await open(browser);
  await page.goto(`${broker.url}/jobs`);
  const first = page.locator('tbody tr').first();
  await first.waitFor();
  const before = await first.innerText();
  await broker.enqueue([1, 2, 3].map((n) => ({ kind: 'hello', queue: 'live', payload: n })));
  const news = page.getByRole('button', { name: '3 new' });
  await news.waitFor();
  assert.equal((await first.innerText()).split('\t')[1], before.split('\t')[1]);
  await news.click();
  await page.locator('tbody tr').nth(3).waitFor();
  await close(page);
});

test('a broker that is killed and started again is live again without a reload', async () => {
  const page = await open(browser);
  page.mayFail = (text) => text.includes('net::ERR_');
  await page.goto(broker.url);
  await page.getByRole('button', { name: 'Live' }).waitFor();
  await broker.kill();
  await page.getByRole('button', { name: 'Broker away' }).waitFor();
  await broker.run();
  await page.getByRole('button', { name: 'Live' }).waitFor({ timeout: 30_000 });
  await broker.enqueue([{ kind: 'hello', queue: 'after-restart', payload: 1 }]);
  await page.getByRole('link', { name: 'after-restart' }).waitFor();
  await close(page);
});

test('a paused page stands still, and goes on', async () => {
  const page = await open(browser);
  await page.goto(`${broker.url}/`);
  await page.getByRole('button', { name: 'Live' }).click();
  await page.getByRole('button', { name: 'Paused' }).waitFor();
  await broker.enqueue([{ kind: 'hello', queue: 'while-paused', payload: 1 }]);
  await page.waitForTimeout(2500);
  assert.equal(await page.getByRole('link', { name: 'while-paused' }).count(), 0);
  await page.getByRole('button', { name: 'Paused' }).click();
  await page.getByRole('link', { name: 'while-paused' }).waitFor();
  await close(page);
});
