// Who this browser is to the broker: a token that was shown once, for which a cookie stands that no script reads.
import { signal } from '@preact/signals';
import { call, shut } from './api';

export interface Session {
  /** The broker asks for tokens. */
  tokens: boolean;
  token: string | null;
  roles: string[];
}

export const session = signal<Session | null>(null);

/** The code of a link, which stands where no server sees it; it leaves the address at once. */
export const code = location.hash.startsWith('#login=') ? location.hash.slice(7) : '';
if (code) history.replaceState(null, '', location.pathname + location.search);

/** Asks who it is. A broker that does not answer is told of elsewhere. */
export async function whoIsIt(): Promise<void> {
  try {
    session.value = await call<Session>({ method: 'GET', path: '/v1/session' });
    shut.value = session.value.tokens && session.value.token === null;
  } catch {
    session.value = null;
  }
}

export async function logIn(proof: { token: string } | { code: string }): Promise<void> {
  await call<Session>({ method: 'POST', path: '/v1/session', body: proof });
  location.reload();
}

export async function logOut(): Promise<void> {
  await call<null>({ method: 'DELETE', path: '/v1/session' });
  location.reload();
}
