import type { Reply } from '../../core/protocol.ts'
import { tokenRule, toToken } from '../../core/token.ts'

/**
 * The replies to the requests of PostHog's SDKs before their first event: remote configuration and
 * feature flags. They offer capture and no more, and session replay if the server has the script
 * that records (`canRecord`): an SDK fetches the script of each feature that is offered. `surveys`
 * is absent because even `false` makes posthog-js fetch a script. See docs/contracts/capture.md.
 */
export function createPosthogBoot({ canRecord }: { canRecord: boolean }): PosthogBoot {
  const supportedCompression = ['gzip', 'gzip-js']
  const sessionRecording = canRecord ? { endpoint: '/s/' } : false
  const shared = {
    supportedCompression,
    autocapture_opt_out: false,
    autocaptureExceptions: false,
    capturePerformance: false,
    sessionRecording,
  }
  const config = { ...shared, hasFeatureFlags: false }
  return {
    toConfig(written) {
      const token = toToken(written)
      return token === undefined ? invalidToken : toJson({ token, ...config })
    },
    toConfigScript(written) {
      const token = toToken(written)
      return token === undefined ? invalidToken : toScript(token, config)
    },
    toFlags: (requestId) =>
      toJson({
        ...shared,
        flags: {},
        featureFlags: {},
        featureFlagPayloads: {},
        errorsWhileComputingFlags: false,
        requestId,
        // posthog-js before 1.117 starts autocapture by this key only.
        config: { enable_collect_everything: true },
        toolbarParams: {},
        isAuthenticated: false,
        siteApps: [],
      }),
    flagDefinitions: toJson({ flags: [], group_type_mapping: {}, cohorts: {} }),
  }
}

export type PosthogBoot = {
  /** `GET /array/<token>/config` */
  toConfig(token: string): Reply
  /** `GET /array/<token>/config.js` */
  toConfigScript(token: string): Reply
  /** `POST /flags` and `/decide`: one reply for every version of posthog-js. */
  toFlags(requestId: string): Reply
  /** `GET /flags/definitions` and `/api/feature_flag/local_evaluation`: there are no flags. */
  flagDefinitions: Reply
}

function toScript(token: string, config: object): Reply {
  const document = toScriptText({ config: { token, ...config }, siteApps: [] })
  const body = `(function(){window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};window._POSTHOG_REMOTE_CONFIG[${toScriptText(token)}]=${document}})();`
  return { status: 200, body, headers: { 'content-type': 'application/javascript' } }
}

const toJson = (document: object): Reply => ({ status: 200, body: JSON.stringify(document) })

/**
 * A JavaScript expression. The token comes from the URL: JSON keeps it inside a string, and without
 * `<` it cannot close a `<script>` element that the script is inlined in.
 */
const toScriptText = (value: unknown) => JSON.stringify(value).replaceAll('<', '\\u003c')

const invalidToken: Reply = {
  status: 401,
  reason: 'invalid_token',
  body: JSON.stringify({
    code: 0,
    status: 'error',
    error: 'invalid_token',
    detail: `a token is ${tokenRule}`,
  }),
}
