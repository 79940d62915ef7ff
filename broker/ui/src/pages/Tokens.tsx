// Who may do what: the broker's tokens, and which of them this browser has shown.
import { Problem } from '../core/api';
import { useResource } from '../core/resource';
import { logOut, session } from '../core/session';
import { items, type Row } from '../core/shape';
import { t } from '../en';
import { Panel, Table } from '../parts/Head';
import { Empty, Loading, Trouble } from '../parts/Notice';
import { Time } from '../parts/Time';

interface Token {
  name: string;
  roles: string[];
  queues: string[];
  namespaces: string[];
  expires_at: string | null;
  last_used_at: string | null;
  payloads: boolean;
}

export function Tokens() {
  const told = useResource('/v1/tokens', (answer) => items(answer, (row: Row) => row as unknown as Token), 10000);
  const columns = t.settings.tokenColumns;
  const asksNobody = told.error instanceof Problem && told.error.code === 'UNSUPPORTED';
  return (
    <Panel
      title={t.settings.tabs.tokens}
      scope={session.value?.token ? t.settings.loggedIn(session.value.token) : ''}
      actions={
        session.value?.token && (
          <button type="button" class="link-button" onClick={() => void logOut()}>
            {t.login.out}
          </button>
        )
      }
    >
      {asksNobody ? (
        <Empty title={t.settings.noTokens}>{t.settings.noTokensText}</Empty>
      ) : told.error !== null ? (
        <Trouble error={told.error} retry={told.reload} />
      ) : !told.value ? (
        <Loading />
      ) : (
        <Table label={t.settings.tabs.tokens}>
          <thead>
            <tr>
              {Object.values(columns).map((column) => (
                <th key={column} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {told.value.map((one) => (
              <tr key={one.name}>
                <th scope="row">{one.name}</th>
                <td>
                  {one.roles.join(', ')}
                  {one.payloads && <span class="muted"> {t.settings.withPayloads}</span>}
                </td>
                <td>
                  <code>{one.queues.join(' ')}</code>
                </td>
                <td>
                  <code>{one.namespaces.join(' ')}</code>
                </td>
                <td>{one.expires_at ? <Time at={one.expires_at} /> : t.settings.noEnd}</td>
                <td>{one.last_used_at ? <Time at={one.last_used_at} /> : '–'}</td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
    </Panel>
  );
}
