import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { requireCommand } from '../services/install.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { requireNpmClients } from './sdks/install.ts'

/**
 * posthog-js from 2022 to now in a browser, loaded from the server by the vendor's HTML snippet:
 * page views, autocapture, session recording, and the queue at unload, without an error or a
 * warning in the console.
 */

const versions = ['1.20.4', '1.57.4', '1.116.6', '1.200.2', '1.449.2']
/** Their packages come without the script that records. */
const withoutRecorder = ['1.20.4']

let browser: Browser
let folder: string
beforeAll(async () => {
  await requireCommand('chromium', 'chromium')
  folder = await requireNpmClients({ 'posthog-js': versions })
  browser = await chromium.launch({
    executablePath: Bun.which('chromium') ?? 'chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  })
}, 300_000)
afterAll(() => browser?.close())

const distOf = (version: string) => join(folder, 'node_modules', `posthog-js-${version}`, 'dist')

type Site = { server: Spillway; token: string; array: string }

/**
 * A page on another port than the server, so that all requests are cross-origin. It loads posthog-js
 * from the URL `array`, and serves the bundle of `bundle` as `/array.js` itself.
 */
function startSite({ server, token, array }: Site, bundle?: string) {
  const options = { api_host: server.url, opt_out_useragent_filter: true }
  const html = `<!doctype html>
<html><head><title>Shop</title><link rel="icon" href="data:,">
<script>${snippet}
posthog.array = ${JSON.stringify(array)}
posthog.init(${JSON.stringify(token)}, ${JSON.stringify(options)})</script>
</head><body><h1>Shop</h1><button id="buy">Buy</button><input id="name"></body></html>`
  const site = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: ({ url }) =>
      bundle && new URL(url).pathname === '/array.js'
        ? new Response(Bun.file(bundle))
        : new Response(html, { headers: { 'content-type': 'text/html' } }),
  })
  return {
    url: `http://127.0.0.1:${site.port}`,
    [Symbol.asyncDispose]: () => site.stop(true),
  }
}

/** As the vendor's snippet: it queues calls until `array.js` is loaded. */
const snippet = `!function(t,e){var o,n,p,r;e.__SV||(window.posthog=e,e._i=[],e.init=function(i,s,a){
function g(t,e){t[e]=function(){t.push([e].concat(Array.prototype.slice.call(arguments,0)))}}
p=t.createElement("script");p.type="text/javascript";p.crossOrigin="anonymous";p.async=!0;
p.src=e.array;r=t.getElementsByTagName("script")[0];r.parentNode.insertBefore(p,r);
var u=e;u.people=u.people||[];o="capture identify register onFeatureFlags".split(" ");
for(n=0;n<o.length;n++)g(u,o[n]);e._i.push([i,s,a||"posthog"])},e.__SV=1)}(document,window.posthog||[]);`

async function openPage(url: string) {
  const page = await (await browser.newContext()).newPage()
  const faults: string[] = []
  page.on('console', (line) => {
    if (['error', 'warning'].includes(line.type())) faults.push(line.text())
  })
  page.on('pageerror', (error) => void faults.push(String(error)))
  page.on('response', (response) => {
    if (response.status() >= 400) faults.push(`${response.status()} ${response.url()}`)
  })
  await page.goto(url)
  return { page, faults }
}

/** The snippet has no such method. */
const whenLoaded = (page: Page) =>
  page.waitForFunction(() => typeof window.posthog.get_distinct_id === 'function')

async function expectRows(server: Spillway, sql: string): Promise<void> {
  const isThere = async () => (await server.query(sql)).length > 0
  await until(isThere, { timeoutMs: 20_000, pauseMs: 100, what: sql })
}

/** Events and recordings that are not stored as they were sent. */
const alteredRows = `SELECT properties FROM events WHERE JSONHas(properties, '$ingest_warnings')
UNION ALL SELECT ingest_warnings FROM recordings WHERE ingest_warnings != '[]'`

/** Clicks until autocapture has started: that is when the first reply of the server has come. */
async function clickUntilCaptured(page: Page, server: Spillway, sql: string): Promise<void> {
  const isCaptured = async () => {
    await page.click('#buy')
    return (await server.query(sql)).length > 0
  }
  await until(isCaptured, { timeoutMs: 20_000, pauseMs: 500, what: sql })
}

describe.each(versions)('posthog-js %s', (version) => {
  const token = `phc_js_${version.replaceAll('.', '_')}`
  const event = (name: string) =>
    `SELECT 1 FROM events WHERE project = '${token}' AND event = '${name}'`

  test('loaded from the server: captures, records, and sends its queue at unload', async () => {
    await using server = await startSpillway({ POSTHOG_JS_DIR: distOf(version) })
    const array = `${server.url}/static/array.js`
    await using site = startSite({ server, token, array })
    const { page, faults } = await openPage(site.url)
    await whenLoaded(page)
    await expectRows(server, event('$pageview'))
    await clickUntilCaptured(page, server, event('$autocapture'))
    await page.fill('#name', 'Ada')
    if (!withoutRecorder.includes(version))
      await expectRows(server, `SELECT 1 FROM recordings WHERE project = '${token}'`)
    await page.evaluate(() => window.posthog.capture('leaving', { last: true }))
    await page.goto('about:blank')
    await expectRows(server, event('leaving'))
    await expectRows(server, event('$pageleave'))
    await page.context().close()
    const [sums] = await server.query<{ rows: string; uuids: string }>(
      `SELECT count() AS rows, uniqExact(uuid) AS uuids FROM events WHERE project = '${token}'`,
    )
    expect(sums?.uuids).toBe(sums?.rows ?? '')
    expect(await server.query(alteredRows)).toEqual([])
    expect(faults).toEqual([])
  }, 90_000)

  test('bundled: captures, and fetches no script from a server that has none', async () => {
    await using server = await startSpillway()
    await using site = startSite(
      { server, token, array: '/array.js' },
      join(distOf(version), 'array.js'),
    )
    const { page, faults } = await openPage(site.url)
    await whenLoaded(page)
    await expectRows(server, event('$pageview'))
    await clickUntilCaptured(page, server, event('$autocapture'))
    await page.context().close()
    expect(faults).toEqual([])
  }, 60_000)
})

declare const window: {
  posthog: { get_distinct_id?: unknown; capture(event: string, properties: object): void }
}
