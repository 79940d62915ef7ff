// A real Chromium, and pages that fail the test when they write to the console or ask anybody but the broker.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export function launch() {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGS });
}

/** A page in a fresh profile; `page.faults` collects what it must not do. */
export async function open(browser, { width = 1280, height = 800, scheme = 'light', ...more } = {}) {
  // Without transitions, so that what is looked at has the colours that it comes to.
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce', ...more });
  const page = await context.newPage();
  page.faults = [];
  page.mayFail = () => false;
  page.on('console', (message) => {
    const isNoise = message.type() !== 'error' && message.type() !== 'warning';
    const text = `${message.text()} ${message.location().url}`;
    if (!isNoise && !page.mayFail(text)) page.faults.push(`console: ${text} (${page.url()})`);
  });
  page.on('pageerror', (error) => page.faults.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    page.faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (hostname !== '127.0.0.1' && protocol !== 'data:') page.faults.push(`request: ${request.url()}`);
  });
  page.setDefaultTimeout(20_000);
  return page;
}

/** Ends the page, and says what it should not have done. */
export async function close(page) {
  await page.context().close();
  assert.deepEqual(page.faults, []);
}

/** Every breach of the rules for accessible pages, as text. */
export async function breaches(page) {
  await page.evaluate(AXE);
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const { violations } = await page.evaluate((runOnly) => globalThis.axe.run(document, { runOnly }), tags);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 120)} (${node.any[0]?.message ?? ''})`).join('; ')}`);
}
