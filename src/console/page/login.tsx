import { setToken, token } from './api.ts'
import { Field } from './parts.tsx'

/** Asks for a token where the server wants one. */
export function Login() {
  const wasRefused = token.value !== ''
  return (
    <main class="login">
      <form
        class="panel"
        onSubmit={(event) => {
          event.preventDefault()
          const text = String(new FormData(event.currentTarget as HTMLFormElement).get('token'))
          setToken(text.trim())
        }}
      >
        <h1>Spillway console</h1>
        <p>
          This server shows its console to operators. Enter <code>ADMIN_TOKEN</code>, or an access
          token with the permission <code>console</code>.
        </p>
        {wasRefused && (
          <p class="note bad" role="alert">
            The server does not accept this token. Compare it with the server’s setting ADMIN_TOKEN.
          </p>
        )}
        <Field label="Token">
          <input name="token" type="password" required autocomplete="off" spellcheck={false} />
        </Field>
        <button type="submit" class="primary">
          Open the console
        </button>
        <p class="muted">The token stays in this tab and is forgotten when you close it.</p>
      </form>
    </main>
  )
}
