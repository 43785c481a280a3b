import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeySet } from '../../../src/platform/auth/keys.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { startSpillway } from '../../support/spillway.ts'

const origin = 'https://app.example.com'
const guarded = [
  ['GET', '/api/sdk/config'],
  ['POST', '/api/auth/token'],
  ['GET', '/api/auth/verify'],
  ['GET', '/socket.io/?EIO=4&transport=polling'],
] as const
const open = [
  ['POST', '/e/'],
  ['POST', '/api/telemetry/events'],
  ['POST', '/api/events/track'],
  ['POST', '/v2/users/report/events'],
] as const

async function allowedOrigin(
  url: string,
  [method, path]: readonly [string, string],
  from = origin,
) {
  const body = method === 'POST' ? { body: '{}' } : {}
  const response = await fetch(`${url}${path}`, { method, ...body, headers: { origin: from } })
  await response.text()
  return response.headers.get('access-control-allow-origin')
}

async function preflight(url: string, path: string, method: string) {
  const headers = { origin, 'access-control-request-method': method }
  const response = await fetch(`${url}${path}`, { method: 'OPTIONS', headers })
  return response.headers.get('access-control-allow-origin')
}

test('outside production every route allows any origin', async () => {
  await using server = await startSpillway()
  for (const route of [...guarded, ...open]) {
    expect(await allowedOrigin(server.url, route)).toBe(origin)
    expect(await preflight(server.url, route[1], route[0])).toBe(origin)
  }
}, 60_000)

test('in production tokens, configuration and sockets need CORS_ORIGINS, events do not', async () => {
  using folder = temporaryFolder()
  const keysFile = join(folder.path, 'keys.json')
  writeFileSync(keysFile, await generateKeySet())
  const production = { NODE_ENV: 'production', AUTH_KEYS_FILE: keysFile }
  await using unlisted = await startSpillway(production)
  for (const route of guarded) {
    expect(await allowedOrigin(unlisted.url, route)).not.toBe(origin)
    expect(await preflight(unlisted.url, route[1], route[0])).not.toBe(origin)
  }
  for (const route of open) expect(await allowedOrigin(unlisted.url, route)).toBe(origin)

  await using listed = await startSpillway({
    ...production,
    CORS_ORIGINS: `https://b.example,${origin}`,
  })
  for (const route of [...guarded, ...open]) {
    expect(await allowedOrigin(listed.url, route)).toBe(origin)
    expect(await preflight(listed.url, route[1], route[0])).toBe(origin)
    expect(await allowedOrigin(listed.url, route, 'https://evil.example')).not.toBe(
      'https://evil.example',
    )
  }
}, 60_000)
