// What was changed, by whom and why: entries of the audit log as a table.
import type { AuditEntry } from '../core/answers';
import { count } from '../core/format';
import { t } from '../en';
import { Table } from '../parts/Head';
import { Time } from '../parts/Time';

export function AuditTable({ entries }: { entries: AuditEntry[] }) {
  return (
    <Table label={t.settings.tabs.audit}>
      <thead>
        <tr>
          <th scope="col">{t.settings.auditColumns.when}</th>
          <th scope="col">{t.settings.auditColumns.what}</th>
          <th scope="col">{t.settings.auditColumns.to}</th>
          <th scope="col" class="num">
            {t.settings.auditColumns.changed}
          </th>
          <th scope="col">{t.settings.auditColumns.who}</th>
          <th scope="col">{t.reason}</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((one) => (
          <tr key={one.seq}>
            <th scope="row">
              <Time at={one.at} />
            </th>
            <td>{one.verb}</td>
            <td>
              <code>{one.target}</code>
            </td>
            <td class="num">{count(one.changed)}</td>
            <td>{one.by || one.client || t.settings.theBroker}</td>
            <td class="muted">{one.reason}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
