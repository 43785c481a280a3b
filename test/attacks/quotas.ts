import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../support/folder.ts'
import { startSpillway } from '../support/spillway.ts'

const quota = (max: number) => `{ max = ${max}, period = "month" }`
const projects = `
[[projects]]
id = "phc_beside"
tokens = ["phc_beside"]

[[projects]]
id = "parallel"
tokens = ["phc_parallel"]
quotas.events = ${quota(50)}

[[projects]]
id = "bad"
tokens = ["phc_bad"]

[[projects]]
id = "bad_limited"
tokens = ["phc_bad_limited"]
quotas.events = ${quota(30)}
`

/** A server with these projects, and a sender of batches. */
export async function startQuotas() {
  const folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  writeFileSync(path, projects)
  const server = await startSpillway({ PROJECTS_FILE: path })
  return {
    server,
    async sendBatch(api_key: string, batch: object[]) {
      const body = JSON.stringify({ api_key, batch })
      const response = await fetch(`${server.url}/batch`, { method: 'POST', body })
      return { status: response.status, body: (await response.json()) as Record<string, unknown> }
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      folder[Symbol.dispose]()
    },
  }
}

export const eventsOf = (count: number, changes: object = {}) =>
  Array.from({ length: count }, () => {
    return { event: 'e', uuid: crypto.randomUUID(), distinct_id: 'u', ...changes }
  })

/** A request of bad events, and a good one. */
export const badBatch = (count: number) => [
  ...Array.from({ length: count }, (_, index) => ({ distinct_id: `${index}` })),
  ...eventsOf(1),
]
