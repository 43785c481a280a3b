import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { version } from '../../../node_modules/posthog-js/package.json'
import { temporaryFolder } from '../../support/folder.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { run } from '../platform/support.ts'

/** The routes that PostHog's SDKs use before their first event. */

const dist = join(import.meta.dir, '../../../node_modules/posthog-js/dist')

let server: Spillway
beforeAll(async () => {
  server = await startSpillway({ POSTHOG_JS_DIR: dist })
}, 60_000)
afterAll(() => server?.[Symbol.asyncDispose]())

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(server.url + path, { headers })

describe('scripts of posthog-js', () => {
  test.each([
    ['/static/array.js', 'public, max-age=3600'],
    ['/static/array.js?v=1.2.3', 'public, max-age=3600'],
    [`/static/${version}/lazy-recorder.js`, 'public, max-age=31536000, immutable'],
  ])('are served to pages of other origins: %s', async (path, cached) => {
    const response = await get(path, { origin: 'https://shop.example' })
    expect(response.status).toBe(200)
    const name = path.replace(/.*\/|\?.*/g, '')
    expect(await response.text()).toBe(await Bun.file(join(dist, name)).text())
    expect(response.headers.get('content-type')).toStartWith('text/javascript')
    expect(response.headers.get('cache-control')).toBe(cached)
    expect(response.headers.get('access-control-allow-origin')).toBe('https://shop.example')
  })

  test('are not sent again to a client that has them', async () => {
    const etag = (await get('/static/array.js')).headers.get('etag') ?? ''
    expect((await get('/static/array.js', { 'if-none-match': etag })).status).toBe(304)
  })

  test.each([
    '/static/',
    '/static/none.js',
    '/static/..%2fpackage.json',
    '/static/%2e%2e/package.json',
    '/static/..%5cpackage.json',
    `/static/${version}/..%2fpackage.json`,
    '/static/array.js%00',
    '/static/%2fetc%2fpasswd',
  ])('do not include %s', async (path) => {
    const response = await get(path)
    expect([400, 404]).toContain(response.status)
    expect(await response.text()).not.toContain('posthog-js"')
  })

  test('a folder without them is refused at the start', async () => {
    using folder = temporaryFolder()
    const environment = {
      ...{ DATA_DIR: join(folder.path, 'data'), PORT: '0', EMBEDDED_CLICKHOUSE_PORT: '0' },
      POSTHOG_JS_DIR: folder.path,
    }
    const { exitCode, errors } = await run(['src/main.ts'], { environment })
    expect(exitCode).toBe(78)
    expect(errors).toContain(`POSTHOG_JS_DIR "${folder.path}" is not the dist folder of posthog-js`)
  }, 60_000)
})

test('the configuration offers recording, and flags start autocapture', async () => {
  const config = await (await get('/array/phc_a/config')).json()
  expect(config).toMatchObject({ token: 'phc_a', sessionRecording: { endpoint: '/s/' } })
  const response = await fetch(`${server.url}/decide/?v=3`, { method: 'POST', body: '{}' })
  const { config: decided } = (await response.json()) as { config: object }
  expect(decided).toEqual({ enable_collect_everything: true })
})

test.each([
  '/flags/definitions?token=phc_a&send_cohorts',
  '/api/feature_flag/local_evaluation/?token=phc_a&send_cohorts',
])('%s answers that there are no flags', async (path) => {
  const response = await get(path, { authorization: 'Bearer phx_own' })
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual({ flags: [], group_type_mapping: {}, cohorts: {} })
})
