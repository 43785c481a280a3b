import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { post } from '../services/console/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { startChromium } from './chromium.ts'
import { openConsole } from './console-page.ts'
import { type Shop, startShop } from './console-shop.ts'

/**
 * Pictures of all pages. `UPDATE_IMAGES=1 bun test test/clients/console-images.test.ts` writes those of the documents;
 * else they go to a temporary folder, so that a run of the tests changes no file.
 */
const isUpdate = process.env.UPDATE_IMAGES === '1'
const seconds = isUpdate ? 110 : 3
const temporary = temporaryFolder()
const folder = isUpdate ? join(import.meta.dir, '../../docs/images') : temporary.path

let server: Spillway
let browser: Browser
let shop: Shop

beforeAll(async () => {
  server = await startSpillway({ RATE_LINK_PER_MINUTE: '0', RATE_TELEMETRY_PER_MINUTE: '0' })
  browser = await startChromium()
  mkdirSync(folder, { recursive: true })
  shop = startShop(server.url)
  await Bun.sleep(seconds * 1000)
}, 300_000)
afterAll(async () => {
  await shop?.stop()
  await browser?.close()
  await server?.[Symbol.asyncDispose]()
  temporary[Symbol.dispose]()
})

type Scene = { name: string; hash(): string | Promise<string>; prepare(page: Page): Promise<void> }

const scenes: Scene[] = [
  {
    name: 'overview',
    hash: () => 'overview',
    prepare: async (page) => {
      await page.getByRole('img', { name: /^Events a second/ }).waitFor()
      // The start of a browser slows the server on a small machine. The figures are those of the last seconds.
      if (isUpdate) await page.waitForTimeout(12_000)
    },
  },
  {
    name: 'live',
    hash: () => 'live',
    prepare: async (page) => {
      await page.getByRole('row').nth(14).waitFor()
      await sendFaults()
      await page.getByRole('row').filter({ hasText: 'rejected' }).first().waitFor()
      await page.getByRole('row').filter({ hasText: 'refused' }).first().waitFor()
      await page.getByRole('button', { name: 'Pause' }).click()
    },
  },
  {
    name: 'find',
    hash: async () => {
      const event = { event: 'checkout_completed', distinct_id: 'user-4711' }
      const properties = { plan: 'scale', amount: 129.5, $current_url: 'https://shop.example.com/' }
      const headers = { 'x-request-id': 'web-7f1c' }
      const batch = [{ ...event, uuid: crypto.randomUUID(), properties }]
      const body = { api_key: 'phc_shop', batch }
      const { requestId } = await post(`${server.url}/batch/`, body, headers)
      return `find?id=${requestId}`
    },
    prepare: async (page) => {
      await page.getByText('As stored in events').first().waitFor()
    },
  },
  {
    name: 'dead-letters',
    hash: () => 'dead-letters?project=phc_shop&reason=missing_distinct_id',
    prepare: async (page) => {
      await page.getByRole('region', { name: 'Dead letters' }).getByRole('link').first().click()
      await page.getByLabel('The event, as JSON').waitFor()
      await page.getByRole('button', { name: 'Dry run' }).last().click()
      await page.getByText('would be rejected').waitFor()
    },
  },
  {
    name: 'queries',
    hash: () => 'queries',
    prepare: async (page) => {
      await page.getByLabel('Query', { exact: true }).fill(eventsByName)
      await page.getByRole('button', { name: 'Run' }).click()
      await page.getByRole('button', { name: 'Plot' }).click()
      await page.getByText('events by event').waitFor()
    },
  },
  {
    name: 'projects',
    hash: () => 'projects',
    prepare: async (page) => {
      await page.getByRole('button', { name: 'Send a test event' }).click()
      await page
        .getByText(/^As stored in/)
        .first()
        .waitFor()
    },
  },
]

const eventsByName = `SELECT event, count() AS events, uniq(distinct_id) AS people
FROM events
GROUP BY event
ORDER BY events DESC`

/** One of each kind that the list of live events marks. */
async function sendFaults(): Promise<void> {
  const batch = [{ event: 'signed_up', properties: { plan: 'team' } }]
  await post(`${server.url}/batch/`, { api_key: 'phc_shop', batch })
  await post(`${server.url}/e/`, '{"api_key": "phc_shop", "event": "half')
}

const looks = [
  { width: 1280, height: 860, colorScheme: 'light' },
  { width: 1280, height: 860, colorScheme: 'dark' },
  { width: 390, height: 844, colorScheme: 'light' },
  { width: 390, height: 844, colorScheme: 'dark' },
] as const

test.each(scenes)(
  'a picture of $name in each look',
  async ({ name, hash, prepare }) => {
    for (const look of looks) {
      await using view = await openConsole(browser, `${server.url}/console#/${await hash()}`, look)
      const { page } = view
      await prepare(page)
      const path = join(folder, `console-${name}-${look.width}-${look.colorScheme}.png`)
      await until(async () => (await page.evaluate('document.fonts.status')) === 'loaded')
      await page.screenshot({ path, animations: 'disabled' })
      expect(statSync(path).size).toBeGreaterThan(5_000)
    }
  },
  120_000,
)
