import { randomBytes } from 'node:crypto'
import type { ClientEntry } from '../../core/project-entries.ts'
import { loadOrMake } from './private-file.ts'

/** A client to try the flow with. `secret` is there to be printed at start, once, to whoever runs the server. */
export type FirstClient = ClientEntry & { secret: string }

/** The client of a server that has none configured: made on the first start, kept in the data folder. */
export async function loadFirstClient(dataDir: string): Promise<FirstClient> {
  const kept = await loadOrMake(dataDir, 'first-client.json', makeFirstClient)
  return JSON.parse(kept) as FirstClient
}

async function makeFirstClient(): Promise<string> {
  const secret = randomBytes(24).toString('base64url')
  const client: FirstClient = {
    id: 'first-client',
    secret,
    secretHash: await Bun.password.hash(secret),
    permissions: ['public:*', 'private:*', 'system:notify'],
  }
  return JSON.stringify(client, null, 2)
}
