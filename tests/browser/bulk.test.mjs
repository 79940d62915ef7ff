// Actions on everything that matches, with the count on the button.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker, eventually } from './broker.mjs';
import { close, launch, open } from './browser.mjs';

const MANY = 10_001;
let broker, browser;
before(async () => {
  [broker, browser] = await Promise.all([Broker.start(), launch()]);
  for (let at = 0; at < MANY; at += 1000) {
    const jobs = Array.from({ length: Math.min(1000, MANY - at) }, (_, n) => ({ kind: 'bulk', queue: 'bulk', payload: { n: at + n }, delay_ms: 3_600_000 }));
    await broker.enqueue(jobs);
  }
});
after(async () => {
  await browser?.close();
  await broker?.stop();
});

const count = async (state) => (await broker.call('GET', '/v1/jobs/counts?q=queue:bulk'))[state];

test('rows that are chosen are changed, and no others', async () => {
  const page = await open(browser);
  await page.goto(`${broker.url}/jobs?q=queue:bulk`);
  await page.locator('tbody input[type=checkbox]').nth(0).check();
  await page.locator('tbody input[type=checkbox]').nth(1).check();
  await page.getByRole('button', { name: 'Cancel 2', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel 2', exact: true }).click();
  await page.getByText('2 jobs cancelled.').waitFor();
  assert.equal(await count('cancelled'), 2);
  await close(page);
});

test('everything that matches is changed in the background, with its progress on the page', async () => {
  await broker.enqueue(Array.from({ length: 2 }, () => ({ kind: 'bulk', queue: 'bulk', payload: {}, delay_ms: 3_600_000 })));
  const page = await open(browser);
  await page.goto(`${broker.url}/jobs?q=queue:bulk&state=scheduled`);
  await page.getByRole('button', { name: 'Cancel 10,001…' }).click();
  await page.getByLabel('Reason').fill('browser test');
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel 10,001', exact: true }).click();
  await page.getByRole('complementary', { name: 'Bulk changes' }).getByText('10,001 / 10,001').waitFor();
  await eventually('all are cancelled', async () => (await count('cancelled')) === MANY + 2);
  assert.equal(await count('scheduled'), 0);
  await page.goto(`${broker.url}/settings/operations`);
  await page.getByRole('cell', { name: 'browser test' }).waitFor();
  await close(page);
});

test('a page of ten thousand jobs comes at once, and the next one behind it', async () => {
  const page = await open(browser);
  await page.goto(`${broker.url}/jobs?q=queue:bulk`);
  await page.getByRole('button', { name: 'Load more' }).click();
  await page.locator('tbody tr').nth(99).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 100);
  await close(page);
});
