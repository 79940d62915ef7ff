// Fills a broker with something of everything, so that no page is empty.

/** The paths of all pages, with those of one queue, job, error, worker and schedule. */
export async function populate(broker) {
  const jobs = [];
  for (let n = 0; n < 12; n += 1) jobs.push({ kind: 'send_email', queue: 'mail', payload: { to: `user${n}@example.com`, api_key: 'k' }, tags: ['onboarding'], max_attempts: 1 });
  for (let n = 0; n < 4; n += 1) jobs.push({ kind: 'sync_user', queue: 'default', key: `user-${n}`, payload: { n }, delay_ms: 3_600_000 });
  await broker.enqueue(jobs);
  let taken = 0;
  await broker.work('mail', 12, () => {
    taken += 1;
    return taken % 3 ? null : { kind: 'Timeout', message: `connect to smtp-${taken} timed out`, trace: 'at connect (smtp.ts:12)' };
  });
  const { results } = await broker.enqueue([{ kind: 'charge_card', queue: 'billing', payload: { amount: 1999 } }]);
  await broker.call('POST', '/v1/queues/billing/pause', { why: 'audit' });
  await broker.call('PUT', '/v1/schedules/nightly-report', { cron: '30 2 * * *', tz: 'Europe/Berlin', job: { kind: 'report', queue: 'default', payload: {} } });
  await broker.call('PUT', '/v1/limits/stripe', { concurrency: 4, why: 'their limit is 5' });
  const errors = await broker.call('GET', '/v1/errors?window=1h');
  const dead = await broker.call('GET', `/v1/jobs?q=${encodeURIComponent('state:dead')}&limit=1`);
  return [
    '/', '/queues', '/queues/mail', '/queues/billing', '/jobs', '/jobs?state=dead', `/jobs/${dead.items[0].id}`, `/jobs/${results[0].id}`, '/errors',
    `/errors/${errors.items[0].fingerprint}`, '/workers', '/schedules', '/schedules/nightly-report', '/settings', '/settings/limits',
    '/settings/operations', '/settings/webhooks', '/settings/audit', '/settings/metrics',
  ];
}
