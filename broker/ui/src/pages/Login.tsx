// Where a browser shows its token: typed in, or by the code of a link.
import { useRef, useState } from 'preact/hooks';
import { code, logIn } from '../core/session';
import { t } from '../en';
import { Trouble } from '../parts/Notice';

export function Login() {
  const [error, setError] = useState<unknown>(null);
  const [byCode, setByCode] = useState(code);
  const token = useRef<HTMLInputElement>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    setError(null);
    logIn(byCode ? { code: byCode } : { token: token.current!.value.trim() }).catch((error: unknown) => {
      setByCode('');
      setError(error);
    });
  };
  return (
    <main class="login" id="main">
      <form class="panel" onSubmit={submit}>
        <h1>{t.login.title}</h1>
        {byCode ? (
          <p>{t.login.byCode}</p>
        ) : (
          <div class="field">
            <label for="token">{t.login.token}</label>
            <input id="token" ref={token} type="password" required autocomplete="off" spellcheck={false} autofocus aria-describedby="token-hint" />
            <small id="token-hint">{t.login.hint}</small>
          </div>
        )}
        <Trouble error={error} />
        <button type="submit" class="button is-primary">
          {t.login.go}
        </button>
      </form>
    </main>
  );
}
