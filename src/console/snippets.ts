import type { ProtocolName } from '../core/protocol.ts'

export type Snippet = { contract: ProtocolName; name: string; language: string; code: string }

type SnippetOptions = {
  /** The address under which clients reach the server, without a slash at its end. */
  url: string
  /** Of capture; a name of the reader's own if there is no projects file. */
  token: string
}

/** Of a reader's own who has no projects file. */
const exampleToken = 'phc_my_project'

/** A token of capture that the server accepts: the first of the projects file. */
export const toExampleToken = ({
  entries,
}: {
  entries: readonly { tokens: readonly string[] }[]
}): string => entries.flatMap(({ tokens }) => tokens)[0] ?? exampleToken

/** Code that sends a first event of each contract to this server. */
export function toSnippets({ url, token }: SnippetOptions): Snippet[] {
  return [
    { contract: 'capture', name: 'curl', language: 'sh', code: toCapture(url, token) },
    { contract: 'capture', name: 'posthog-js', language: 'ts', code: toBrowser(url, token) },
    { contract: 'capture', name: 'posthog-node', language: 'ts', code: toNode(url, token) },
    { contract: 'capture', name: 'Python', language: 'python', code: toPython(url, token) },
    { contract: 'link', name: 'Link tracking', language: 'sh', code: toLink(url) },
    { contract: 'report', name: 'Event report', language: 'sh', code: toReport(url) },
    { contract: 'telemetry', name: 'Telemetry', language: 'sh', code: toTelemetry(url) },
  ]
}

const json = "-H 'Content-Type: application/json'"

const toCapture = (url: string, token: string) => `curl -s ${url}/e/ ${json} -d '{
  "event": "signed_up",
  "distinct_id": "user-1",
  "properties": { "token": "${token}", "plan": "scale" }
}'`

const toBrowser = (url: string, token: string) => `import posthog from 'posthog-js'
posthog.init('${token}', { api_host: '${url}' })
posthog.capture('signed_up', { plan: 'scale' })`

const toNode = (url: string, token: string) => `import { PostHog } from 'posthog-node'
const posthog = new PostHog('${token}', { host: '${url}' })
posthog.capture({ distinctId: 'user-1', event: 'signed_up', properties: { plan: 'scale' } })
await posthog.shutdown() // sends what is queued; without it a script ends too early`

const toPython = (url: string, token: string) => `from posthog import Posthog
posthog = Posthog('${token}', host='${url}')
posthog.capture('signed_up', distinct_id='user-1', properties={'plan': 'scale'})
posthog.shutdown()  # sends what is queued`

const toLink = (url: string) => `curl -s ${url}/api/events/track ${json} -d '{
  "event_type": "click", "event_id": "evt-1", "link_id": "abc123", "project_id": "shop", "utm_source": "email"
}'`

const toReport = (
  url: string,
) => `curl -s ${url}/v2/users/report/events -H 'X-API-KEY: my-key' -H 'X-USER-ID: u1' \\
  -H 'X-APP-ID: com.example.app' -H 'X-PLATFORM: iOS' -H 'X-VERSION: 1.0.0' -H 'Idempotency-Key: 7f1c' -d '{
  "events": [{ "name": "app_opened", "user": "u1", "sessionId": "s1", "extra": { "source": "push" } }]
}'`

const toTelemetry = (url: string) => `curl -s ${url}/api/telemetry/events ${json} -d '[{
  "id": "evt-1", "type": "page", "name": "/dashboard", "app": "my-app", "release": "1.0.0",
  "sessionId": "s1", "ts": '"$(date +%s)000"', "user": { "id": "u1" }
}]'`
