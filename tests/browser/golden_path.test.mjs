// What an operator does at night: a job fails until it is dead, its error is found, and it is run again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker, eventually } from './broker.mjs';
import { close, launch, open } from './browser.mjs';

let broker, browser;
before(async () => {
  [broker, browser] = await Promise.all([Broker.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await broker?.stop();
});

test('an empty broker shows the first three commands', async () => {
  const page = await open(browser);
  await page.goto(broker.url);
  await page.getByText('windlass enqueue generate_pdf').waitFor();
  await page.getByText('worker-example').first().waitFor();
  await close(page);
});

test('a job is enqueued, fails, is dead, is found by its error, and is redriven', async () => {
  const page = await open(browser);
  await page.goto(`${broker.url}/queues`);
  await broker.enqueue([{ kind: 'send_email', queue: 'mail', payload: { to: 'ada@example.com', password: 'hunter2' }, max_attempts: 1 }]);
  // The list is live: nobody reloads it.
  await page.getByRole('link', { name: 'mail', exact: true }).click();
  await page.getByRole('heading', { name: 'mail', level: 1 }).waitFor();

  const taken = await broker.work('mail', 1, () => ({ kind: 'SmtpError', message: 'connect to 10.0.0.7 timed out', trace: 'at connect (smtp.ts:12)' }));
  assert.equal(taken, 1);
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: /^Errors/ }).click();
  await page.getByRole('link', { name: 'SmtpError' }).click();
  await page.getByRole('heading', { name: 'SmtpError', level: 1 }).waitFor();

  // The job itself: its attempt, and its payload with the secret hidden until it is asked for.
  await page.locator('tbody [data-open]').first().click();
  await page.locator('.attempt-message').getByText('connect to 10.0.0.7 timed out').waitFor();
  await page.getByText('at connect (smtp.ts:12)').waitFor();
  assert.equal(await page.getByText('hunter2').count(), 0);
  await page.getByRole('button', { name: 'Reveal hidden' }).click();
  await page.getByText('hunter2').waitFor();

  await page.getByRole('link', { name: 'All failures like this' }).click();
  await page.getByRole('button', { name: 'Redrive 1…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Redrive 1', exact: true }).click();
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  assert.equal(await eventually('the job is ready again', () => broker.work('mail', 1, () => null)), 1);

  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Jobs' }).click();
  await page.locator('tbody .is-completed').waitFor();
  await close(page);
});

test('a paused queue says why, and its job says that it waits for it', async () => {
  const page = await open(browser);
  const { results } = await broker.enqueue([{ kind: 'charge', queue: 'bills', payload: {} }]);
  await page.goto(`${broker.url}/queues/bills`);
  await page.getByRole('button', { name: 'Pause…' }).click();
  await page.getByLabel('Why').fill('audit until Monday');
  await page.getByRole('dialog').getByRole('button', { name: 'Pause', exact: true }).click();
  await page.getByText('Paused: audit until Monday').waitFor();
  await page.goto(`${broker.url}/jobs/${results[0].id}`);
  await page.getByRole('heading', { name: 'Why is it not running?' }).waitFor();
  await page.getByText('audit until Monday').waitFor();
  await page.goto(`${broker.url}/queues/bills`);
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByText('Paused: audit until Monday').waitFor({ state: 'detached' });
  await page.goto(`${broker.url}/settings/audit`);
  await page.getByText('pause:queue/bills').first().waitFor();
  await close(page);
});

test('what the broker refuses is a sentence', async () => {
  const page = await open(browser);
  page.mayFail = (text) => text.includes('400');
  await page.goto(`${broker.url}/jobs?q=colour:red`);
  await page.getByRole('alert').getByText('is no column').waitFor();
  await close(page);
});
