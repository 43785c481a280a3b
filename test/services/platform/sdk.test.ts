import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'

type Document = Record<'telemetry' | 'performance' | 'realtime' | 'features', object>

async function configOf(url: string, query = '', headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/api/sdk/config${query}`, { headers })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: (text ? JSON.parse(text) : undefined) as Document,
  }
}

const projects = (sampleRate: number) => `
[[projects]]
id = "shop"
tokens = ["phc_shop"]
sdk.telemetry = { sampleRate = ${sampleRate}, batchSize = 20 }
sdk.features = { checkout = false }
apps.ios.telemetry = { sampleRate = 1.0 }
apps.ios.features = { checkout = true }
`

test('the SDK configuration has defaults, overrides by project and app, and follows a reload', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  writeFileSync(path, projects(0.5))
  await using server = await startSpillway({ PROJECTS_FILE: path })

  const { status, body, headers } = await configOf(server.url)
  expect(status).toBe(200)
  expect(headers.get('cache-control')).toBe('private, max-age=60')
  expect(body).toEqual({
    telemetry: {
      enabled: true,
      endpoint: `${server.url}/api/telemetry/events`,
      sampleRate: 1,
      batchSize: 50,
      flushInterval: 5000,
    },
    performance: { enabled: true, sampleRate: 1, webVitals: true },
    realtime: { enabled: true, url: server.url, heartbeatInterval: 30_000 },
    features: {},
  })
  const shop = await configOf(server.url, '?project=shop')
  expect(shop.body).toMatchObject({
    telemetry: { sampleRate: 0.5, batchSize: 20, flushInterval: 5000 },
    features: { checkout: false },
  })
  const ios = await configOf(server.url, '?project=shop&app=ios')
  expect(ios.body).toMatchObject({
    telemetry: { sampleRate: 1, batchSize: 20 },
    features: { checkout: true },
  })

  const etag = shop.headers.get('etag') ?? ''
  expect(etag).toMatch(/^"[\w-]+"$/)
  const known = { 'if-none-match': etag }
  const unchanged = await configOf(server.url, '?project=shop', known)
  expect([unchanged.status, unchanged.body, unchanged.headers.get('etag')]).toEqual([
    304,
    undefined as never,
    etag,
  ])
  // A page of another origin may read it, also a 304.
  const fromPage = await configOf(server.url, '?project=shop', {
    ...known,
    origin: 'https://shop.example',
  })
  expect(fromPage.status).toBe(304)
  expect(fromPage.headers.get('access-control-allow-origin')).toBe('https://shop.example')

  writeFileSync(path, projects(0.25))
  const isReloaded = async () => (await configOf(server.url, '?project=shop', known)).status === 200
  await until(isReloaded, { timeoutMs: 20_000, what: 'the reload' })
  expect((await configOf(server.url, '?project=shop')).body).toMatchObject({
    telemetry: { sampleRate: 0.25 },
  })
  writeFileSync(path, 'nonsense [')
  await until(() => server.log().includes('the projects file is faulty'), { timeoutMs: 20_000 })
  expect((await configOf(server.url, '?project=shop')).body).toMatchObject({
    telemetry: { sampleRate: 0.25 },
  })
}, 60_000)

test('PUBLIC_URL is the base of all URLs', async () => {
  await using server = await startSpillway({ PUBLIC_URL: 'https://events.example.com' })
  expect((await configOf(server.url)).body).toMatchObject({
    telemetry: { endpoint: 'https://events.example.com/api/telemetry/events' },
    realtime: { url: 'https://events.example.com' },
  })
}, 60_000)

test.each([
  ['used from a trusted proxy', { TRUSTED_PROXIES: '127.0.0.1' }, 'https'],
  ['ignored from other addresses', { TRUSTED_PROXIES: '10.0.0.0/8' }, 'http'],
])(
  'X-Forwarded-Proto is %s',
  async (_, environment, protocol) => {
    await using server = await startSpillway(environment)
    const { body } = await configOf(server.url, '', { 'x-forwarded-proto': 'https' })
    const root = server.url.replace('http:', `${protocol}:`)
    expect(body).toMatchObject({
      telemetry: { endpoint: `${root}/api/telemetry/events` },
      realtime: { url: root },
    })
  },
  30_000,
)
