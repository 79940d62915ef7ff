// What is configured from the dashboard: schedules, policies, limits, jobs enqueued and edited by hand, purges.
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

const dialog = (page) => page.getByRole('dialog');

test('a schedule is added with its next runs shown, runs now, is edited, paused and removed', async () => {
  const page = await open(browser);
  await page.goto(`${broker.url}/schedules`);
  await page.getByRole('button', { name: 'New schedule…' }).click();
  await dialog(page).getByLabel('Schedule').fill('nightly');
  await dialog(page).getByLabel('Kind').fill('report');
  await dialog(page).getByLabel('Time zone').fill('Europe/Berlin');
  await dialog(page).locator('.next-runs li').nth(4).waitFor();
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await page.getByRole('link', { name: 'nightly' }).click();
  await page.getByText('Every day at 02:30').first().waitFor();

  await page.getByRole('button', { name: 'Run now…' }).click();
  await dialog(page).getByRole('button', { name: 'Run now' }).click();
  await page.getByRole('table').getByText('report').first().waitFor();

  await broker.call('PUT', '/v1/schedules/nightly', { cron: '30 2 * * *', tz: 'Europe/Berlin', pause_after_failures: 3, job: { kind: 'report', payload: { deep: [1] }, tags: ['night'] } });
  await page.reload();
  await page.getByRole('button', { name: 'Edit…' }).click();
  await dialog(page).getByLabel('Cron expression').fill('0 4 * * *');
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await page.getByText('Every day at 04:00').first().waitFor();
  const { schedule } = await broker.call('GET', '/v1/schedules/nightly');
  assert.deepEqual([schedule.cron, schedule.pause_after_failures, schedule.job.tags, JSON.parse(schedule.job.payload)], ['0 4 * * *', 3, ['night'], { deep: [1] }]);

  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await page.getByText('Paused: no ticks').waitFor();
  await page.getByRole('button', { name: 'Remove…' }).click();
  await dialog(page).getByRole('button', { name: 'Remove' }).click();
  await page.getByText('No schedule yet').waitFor();
  await close(page);
});

test('a cron expression that is none is told while it is written', async () => {
  const page = await open(browser);
  page.mayFail = (text) => text.includes('/v1/schedules/next');
  await page.goto(`${broker.url}/schedules`);
  await page.getByRole('button', { name: 'New schedule…' }).click();
  await dialog(page).getByLabel('Cron expression').fill('every day');
  await dialog(page).locator('.next-runs.is-bad').waitFor();
  await close(page);
});

test('a job is enqueued by hand, edited, moved, and its queue is purged', async () => {
  await broker.enqueue([{ kind: 'first', queue: 'hand', payload: {} }]);
  const page = await open(browser);
  await page.goto(`${broker.url}/queues/hand`);
  await page.getByRole('button', { name: 'Enqueue here…' }).click();
  await dialog(page).getByLabel('Kind').fill('by_hand');
  await dialog(page).getByLabel('Payload').fill('{"n": 9007199254740993}');
  await dialog(page).getByLabel('Not before').fill('1h');
  await dialog(page).getByRole('button', { name: 'Enqueue here' }).click();
  await page.getByRole('heading', { name: 'by_hand', level: 1 }).waitFor();
  // A number that a double cannot hold is shown as it was sent.
  await page.getByText('9007199254740993').waitFor();
  await page.getByText('scheduled', { exact: true }).waitFor();

  await page.getByRole('button', { name: 'Edit…' }).click();
  await dialog(page).getByLabel('Priority').fill('9');
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await page.getByText('The job is changed.').waitFor();
  const { items } = await broker.call('GET', '/v1/jobs?q=kind:by_hand');
  assert.equal(items[0].priority, 9);

  await page.getByRole('button', { name: 'Move…' }).click();
  await dialog(page).getByLabel('To queue').fill('other');
  await dialog(page).getByRole('button', { name: 'Move' }).click();
  await page.getByRole('link', { name: 'other' }).first().waitFor();

  await page.goto(`${broker.url}/queues/hand`);
  await page.getByRole('button', { name: 'Purge…' }).click();
  await dialog(page).getByRole('button', { name: 'Delete 1', exact: true }).click();
  await page.getByText('1 job deleted.').waitFor();
  assert.equal((await broker.call('GET', '/v1/jobs?q=queue:hand')).items.length, 0);
  await close(page);
});

test('a policy is changed and what the form does not show stays', async () => {
  await broker.call('PUT', '/v1/queues/mail', { keep_bytes: 1_000_000, policy: { max_attempts: 5, backoff: { base_ms: 1000 } } });
  const page = await open(browser);
  await page.goto(`${broker.url}/queues/mail`);
  await page.getByRole('button', { name: 'Edit' }).click();
  assert.equal(await dialog(page).getByLabel('Attempts at most').inputValue(), '5');
  await dialog(page).getByLabel('Longest run').fill('1m30s');
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await page.getByText('1 m 30 s').waitFor();
  const { items } = await broker.call('GET', '/v1/config');
  const { queue } = items.find((row) => row.name === 'queue/mail');
  assert.deepEqual([queue.keep_bytes, queue.policy.timeout_ms, queue.policy.max_attempts, queue.policy.backoff.base_ms], [1_000_000, 90_000, 5, 1000]);
  await close(page);
});

test('a limit is set and removed', async () => {
  const page = await open(browser);
  await page.goto(`${broker.url}/settings/limits`);
  await page.getByRole('button', { name: 'New limit…' }).click();
  await dialog(page).getByLabel('Name').fill('stripe');
  await dialog(page).getByLabel('Starts per second').fill('100');
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await page.getByRole('cell', { name: '100 per 1 s' }).waitFor();
  await page.getByRole('button', { name: 'Remove stripe' }).click();
  await dialog(page).getByRole('button', { name: 'Remove' }).click();
  await eventually('it is gone', async () => (await broker.call('GET', '/v1/limits')).items.length === 0);
  await close(page);
});

test('the page of a queue tells what was changed about it, and why', async () => {
  await broker.call('PUT', '/v1/queues/mail?reason=ticket+12', { policy: { max_attempts: 7 } });
  await broker.call('PUT', '/v1/queues/other?reason=ticket+13', { policy: { max_attempts: 7 } });
  const page = await open(browser);
  await page.goto(`${broker.url}/queues/mail`);
  await page.getByRole('cell', { name: 'ticket 12' }).waitFor();
  assert.equal(await page.getByText('ticket 13').count(), 0);
  await close(page);
});
