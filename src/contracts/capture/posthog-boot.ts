import type { Reply } from '../../core/protocol.ts'
import { tokenRule, toToken } from '../../core/token.ts'

/**
 * The replies to the requests of posthog-js before its first event: its remote configuration and
 * feature flags. They offer capture and session replay and nothing else. `surveys` is absent
 * because even `false` makes posthog-js fetch a script. See docs/contracts/capture.md.
 */
const config = {
  supportedCompression: ['gzip', 'gzip-js'],
  hasFeatureFlags: false,
  autocapture_opt_out: false,
  sessionRecording: { endpoint: '/s/' },
}

/** `GET /array/<token>/config` */
export function toConfig(written: string): Reply {
  const token = toToken(written)
  return token === undefined ? invalidToken : toJson({ token, ...config })
}

/** `GET /array/<token>/config.js` */
export function toConfigScript(written: string): Reply {
  const token = toToken(written)
  if (token === undefined) return invalidToken
  const document = toScriptText({ config: { token, ...config }, siteApps: [] })
  const body = `(function(){window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};window._POSTHOG_REMOTE_CONFIG[${toScriptText(token)}]=${document}})();`
  return { status: 200, body, headers: { 'content-type': 'application/javascript' } }
}

/** `POST /flags` and `/decide`: one reply for every version of posthog-js. */
export function toFlags(requestId: string): Reply {
  return toJson({
    flags: {},
    featureFlags: {},
    featureFlagPayloads: {},
    errorsWhileComputingFlags: false,
    requestId,
    supportedCompression: config.supportedCompression,
    config: {},
    sessionRecording: config.sessionRecording,
    toolbarParams: {},
    isAuthenticated: false,
    siteApps: [],
  })
}

const toJson = (document: object): Reply => ({ status: 200, body: JSON.stringify(document) })

/**
 * A JavaScript expression. The token comes from the URL: JSON keeps it inside a string, and without
 * `<` it cannot close a `<script>` element that the script is inlined in.
 */
const toScriptText = (value: unknown) => JSON.stringify(value).replaceAll('<', '\\u003c')

const invalidToken: Reply = {
  status: 401,
  body: JSON.stringify({
    code: 0,
    status: 'error',
    error: 'invalid_token',
    detail: `a token is ${tokenRule}`,
  }),
}
