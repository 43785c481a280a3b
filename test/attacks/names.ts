import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../support/folder.ts'
import { startSpillway } from '../support/spillway.ts'

/** A stranger sends in the name of projects whose ids and apps everyone can read in their pages. */
const projects = `
[[projects]]
id = "phc_beside"
tokens = ["phc_beside"]

[[projects]]
id = "shop"
tokens = ["phc_shop"]
api_keys = ["sk_shop"]
apps = ["ios", "android"]
origins = ["https://shop.example", "capacitor://localhost"]

[[projects]]
id = "bank"
tokens = ["phc_bank"]
api_keys = ["sk_bank"]
apps = ["bank-app"]
require_key = true

[[projects]]
id = "small"
tokens = ["phc_small"]
apps = ["small-app"]
rate = { per_second = 0.001, burst = 3 }
quotas.events = { max = 5, period = "month" }
`

type Headers = Record<string, string>

/** A server with these projects, and what a stranger sends to it. */
export async function startNames() {
  const folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  writeFileSync(path, projects)
  const server = await startSpillway({ PROJECTS_FILE: path })

  async function send(path: string, body: unknown, headers: Headers = {}) {
    const sent = { method: 'POST', body: JSON.stringify(body), headers }
    const response = await fetch(server.url + path, sent)
    const text = await response.text()
    return { status: response.status, body: text === '' ? {} : JSON.parse(text) }
  }
  return {
    server,
    send,
    telemetry: (apps: string[], headers?: Headers) =>
      send(
        '/api/telemetry/events',
        apps.map((app) => telemetryOf(app)),
        headers,
      ),
    link: (project_id: string | undefined, headers?: Headers) =>
      send('/api/events/track', { event_type: 'click', project_id }, headers),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      folder[Symbol.dispose]()
    },
  }
}

const telemetryOf = (app: string) => ({
  ...{ id: crypto.randomUUID(), type: 'page', name: 'seen', ts: Date.now() },
  ...{ app, release: '1', sessionId: 's' },
})
