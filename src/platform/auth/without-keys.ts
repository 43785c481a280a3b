import type { Auth } from './auth.ts'
import type { RefreshStore } from './refresh.ts'
import { OAuthError, toErrorReply } from './token-request.ts'

/** For the log, and for `--check-config`. */
export const withoutKeys =
  'AUTH_KEYS_FILE is not set: tokens and realtime answer 503; make keys with `bun run make-key --out keys.json` and name the file there'

/**
 * Auth of a server that issues no tokens: in production, without signing keys and without clients.
 * Events need no token, so such a server takes them. Everything else answers 503.
 */
export function createAuthWithoutKeys({ store }: { store: RefreshStore }): Auth {
  const refuse = () =>
    toErrorReply(
      new OAuthError(
        'temporarily_unavailable',
        'this server issues no tokens: its AUTH_KEYS_FILE is not set',
      ),
    )
  const reply = async () => refuse()
  return {
    ...{ token: reply, refresh: reply, revoke: reply, verify: reply },
    jwks: refuse,
    metadata: refuse,
    authenticate: async () => ({ fault: 'token_invalid' }),
    isCurrent: () => false,
    isOff: true,
    firstClient: undefined,
    onRevoked() {},
    isHealthy: async () => false,
    close: () => store.close(),
  }
}
