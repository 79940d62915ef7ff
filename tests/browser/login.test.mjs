// Where the broker asks for a token: a browser shows it once, sees what it may, and logs out; a link logs in once.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { Broker, WINDLASS, eventually } from './broker.mjs';
import { breaches, close, launch, open } from './browser.mjs';

let broker, browser, file;
const token = (...words) => execFileSync(WINDLASS, ['token', ...words, '--file', file], { encoding: 'utf8' }).trim();
const texts = {};

before(async () => {
  browser = await launch();
  broker = await Broker.prepare();
  file = `${broker.data}-tokens.toml`;
  texts.viewer = token('new', 'viewer', '--role', 'viewer');
  texts.producer = token('new', 'producer', '--role', 'producer');
  await broker.run(['--tokens', file]);
});
after(async () => {
  await browser?.close();
  await broker?.stop();
  if (file) await rm(file, { force: true });
});

/** Chromium tells of every answer that is no success, and here they are meant. */
async function visitor() {
  const page = await open(browser);
  page.mayFail = (text) => /status of 40[13]/.test(text);
  return page;
}

test('a token is shown once, what jobs carry is hidden, and logging out ends it', async () => {
  const headers = { authorization: `Bearer ${texts.producer}` };
  const { id } = await broker.call('POST', '/v1/jobs', { kind: 'k', queue: 'mail', payload: 'nobody sees this' }, headers);
  const page = await visitor();
  await page.goto(`${broker.url}/queues`);
  await page.getByLabel('Token').waitFor();
  assert.deepEqual(await breaches(page), []);
  await page.getByLabel('Token').fill('wl_viewer_wrong');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').waitFor();
  await page.getByLabel('Token').fill(texts.viewer);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('link', { name: 'mail' }).first().waitFor();
  await page.goto(`${broker.url}/jobs/${id}`);
  await page.getByText('Your token may not see what jobs carry').waitFor();
  assert.ok(!(await page.content()).includes('nobody sees this'));
  const kept = await page.evaluate(() => [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)].join());
  assert.ok(!kept.includes('windlass_session') && !kept.includes('wl_'), kept);
  await page.goto(`${broker.url}/settings/tokens`);
  await page.getByRole('row', { name: /producer/ }).waitFor();
  assert.deepEqual(await breaches(page), []);
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('Token').waitFor();
  await close(page);
});

test('a link logs in once, and its code does not stay in the address', async () => {
  const { code } = await broker.call('POST', '/v1/session/links', undefined, { authorization: `Bearer ${texts.viewer}` });
  const page = await visitor();
  await page.goto(`${broker.url}/#login=${code}`);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  await eventually('the address is clean', async () => !page.url().includes('login'));
  await close(page);
  const other = await visitor();
  await other.goto(`${broker.url}/#login=${code}`);
  await other.getByRole('button', { name: 'Log in' }).click();
  await other.getByRole('alert').waitFor();
  await other.getByLabel('Token').waitFor();
  await close(other);
});
