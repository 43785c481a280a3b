import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { requireCommand } from '../services/install.ts'
import { firstClientOf } from '../services/platform/support.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { requireNpmClients, requirePythonClients } from './sdks/install.ts'
import { runClient } from './sdks/run.ts'

/** OAuth 2 clients get tokens by both ways to authenticate. */

const installMsMax = 300_000
const sdks = join(import.meta.dir, 'sdks')

let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
}, 60_000)
afterAll(() => server?.[Symbol.asyncDispose]())

const scope = 'public:* private:* system:notify'

describe.each(['basic', 'post'])('client_secret_%s', (way) => {
  test(
    'openid-client 6.9.0, by discovery',
    async () => {
      await requireCommand('node', 'nodejs')
      const folder = await requireNpmClients({ 'openid-client': ['6.9.0'] })
      const { id, secret } = firstClientOf(server)
      const script = join(sdks, 'openid-client.mjs')
      const command = ['node', script, folder, 'openid-client-6.9.0', server.url, id, secret, way]
      const printed = await runClient({ command })
      expect(printed).toMatchObject({ token_type: 'bearer', scope })
    },
    installMsMax,
  )

  test(
    'Authlib 1.9.10',
    async () => {
      const folder = await requirePythonClients(['Authlib==1.9.10', 'requests==2.32.5'])
      const { id, secret } = firstClientOf(server)
      const command = ['python3', join(sdks, 'authlib_client.py'), server.url, id, secret, way]
      const printed = await runClient({ command, environment: { PYTHONPATH: folder } })
      expect(printed).toEqual({ token_type: 'Bearer', scope, verified: 200 })
    },
    installMsMax,
  )
})
