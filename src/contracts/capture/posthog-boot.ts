import { tokenBytesMax } from '../../core/limits.ts'
import type { Reply } from '../../core/protocol.ts'

/**
 * What posthog-js asks for before it sends: its remote configuration and its feature flags. We offer capture and
 * replay and nothing else, and say so. `surveys` is left out: even `false` makes it fetch a script.
 * Source: facts of real clients, "To boot without console errors".
 */
const config = {
  supportedCompression: ['gzip', 'gzip-js'],
  hasFeatureFlags: false,
  autocapture_opt_out: false,
  sessionRecording: { endpoint: '/s/' },
}

/** `GET /array/<token>/config` */
export function toConfig(token: string): Reply {
  return isToken(token) ? toJson({ token, ...config }) : unknownToken
}

/** `GET /array/<token>/config.js`. The token is reflected into script: what may stand in one is a list. */
export function toConfigScript(token: string): Reply {
  if (!isToken(token)) return unknownToken
  const document = JSON.stringify({ config: { token, ...config }, siteApps: [] })
  const body = `(function(){window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};window._POSTHOG_REMOTE_CONFIG['${token}']=${document}})();`
  return { status: 200, body, headers: { 'content-type': 'application/javascript' } }
}

/** `POST /flags` and `/decide`: one answer that every version understands. */
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

const isToken = (token: string) => /^[A-Za-z0-9_-]+$/.test(token) && token.length <= tokenBytesMax

const toJson = (document: object): Reply => ({ status: 200, body: JSON.stringify(document) })

const unknownToken: Reply = {
  status: 401,
  body: JSON.stringify({
    code: 0,
    status: 'error',
    error: 'invalid_token',
    detail: 'a token is up to 64 letters, digits, - and _',
  }),
}
