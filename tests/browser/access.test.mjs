// Every page in both themes keeps the rules for accessible pages, fits a narrow screen, and can be worked by keyboard alone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker } from './broker.mjs';
import { breaches, close, launch, open } from './browser.mjs';
import { populate } from './populate.mjs';

let broker, browser, paths;
before(async () => {
  [broker, browser] = await Promise.all([Broker.start(), launch()]);
  paths = await populate(broker);
});
after(async () => {
  await browser?.close();
  await broker?.stop();
});

for (const scheme of ['light', 'dark']) {
  test(`no page breaks a rule, ${scheme}`, async () => {
    const page = await open(browser, { scheme });
    const found = [];
    for (const path of paths) {
      await page.goto(broker.url + path);
      await page.locator('main h1').waitFor();
      await page.waitForTimeout(300);
      for (const breach of await breaches(page)) found.push(`${path} ${breach}`);
    }
    await page.goto(`${broker.url}/jobs?state=dead`);
    await page.getByRole('button', { name: /^Retry/ }).first().click();
    await page.getByRole('dialog').getByRole('button', { name: /^Retry \d/ }).waitFor();
    for (const breach of await breaches(page)) found.push(`dialog ${breach}`);
    assert.deepEqual(found, []);
    await close(page);
  });
}

test('nothing is wider than a screen of 320 pixels', async () => {
  const page = await open(browser, { width: 320, height: 640 });
  const found = [];
  for (const path of paths) {
    await page.goto(broker.url + path);
    await page.locator('main h1').waitFor();
    await page.waitForTimeout(200);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (over > 0) found.push(`${path}: ${over} px`);
  }
  assert.deepEqual(found, []);
  await close(page);
});

test('a dead job is found and retried without a mouse', async () => {
  const page = await open(browser);
  await page.goto(broker.url);
  await page.locator('main h1').waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await page.keyboard.press('g');
  await page.keyboard.press('j');
  // A page that was gone to takes the focus a frame after it is there.
  await page.locator('main h1:focus', { hasText: 'Jobs' }).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('state:de');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Enter');
  await page.waitForURL(/q=state%3Adead/);
  await page.getByText(/^4 jobs that match/).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  await page.getByText('1 job chosen').first().waitFor();
  await page.keyboard.press('Shift+R');
  const retry = page.getByRole('dialog').getByRole('button', { name: 'Retry 1', exact: true });
  await retry.waitFor();
  await retry.focus();
  await page.keyboard.press('Enter');
  await page.getByText('1 job retried.').waitFor();
  await close(page);
});

test('the shortcuts can be switched off, and are off in fields', async () => {
  const page = await open(browser);
  await page.goto(`${broker.url}/settings`);
  await page.getByRole('group', { name: 'Keyboard shortcuts' }).getByRole('button', { name: 'Off' }).click();
  await page.keyboard.press('?');
  await page.waitForTimeout(100);
  assert.equal(await page.getByRole('dialog').count(), 0);
  await page.getByRole('group', { name: 'Keyboard shortcuts' }).getByRole('button', { name: 'On' }).click();
  await page.getByLabel('Namespace').focus();
  await page.keyboard.press('?');
  await page.waitForTimeout(100);
  assert.equal(await page.getByRole('dialog').count(), 0);
  await close(page);
});
