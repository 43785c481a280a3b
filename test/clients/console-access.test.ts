import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { generateKeySet } from '../../src/platform/auth/keys.ts'
import { post } from '../services/console/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { startChromium } from './chromium.ts'
import { findAccessFaults, openConsole } from './console-page.ts'

const adminToken = 'a-token-of-the-operators'
const secretName = 'a-name-that-strangers-must-not-see'
const folder = temporaryFolder()
let server: Spillway
let browser: Browser

beforeAll(async () => {
  const keysFile = join(folder.path, 'keys.json')
  writeFileSync(keysFile, await generateKeySet(), { mode: 0o600 })
  server = await startSpillway({
    NODE_ENV: 'production',
    AUTH_KEYS_FILE: keysFile,
    ADMIN_TOKEN: adminToken,
    CLICKHOUSE_URL: 'http://127.0.0.1:1',
  })
  browser = await startChromium()
  const event = { event: secretName, distinct_id: secretName }
  expect((await post(`${server.url}/e/`, { api_key: 'phc_a', ...event })).status).toBe(200)
}, 300_000)
afterAll(async () => {
  await browser?.close()
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

test('in production a stranger gets the page, which holds no data', async () => {
  for (const path of ['/console', '/console/', '/console/page.js', '/console/page.css']) {
    const reply = await fetch(`${server.url}${path}`)
    expect(reply.status).toBe(200)
    expect(reply.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
    expect(reply.headers.get('x-request-id')).not.toBeNull()
    const text = await reply.text()
    for (const secret of [secretName, adminToken, server.dataDir])
      expect(text.includes(secret)).toBe(false)
  }
})

test('the page has one form for the token, and shows nothing else', async () => {
  for (const hash of ['overview', 'live', `find?id=${secretName}`, 'queries', 'projects']) {
    await using view = await openConsole(browser, `${server.url}/console#/${hash}`)
    const { page } = view
    await page.getByRole('heading', { name: 'Spillway console' }).waitFor()
    expect(await page.getByRole('navigation').count()).toBe(0)
    expect(await page.locator('body').textContent()).not.toContain(secretName)
    expect(await findAccessFaults(page)).toEqual([])
  }
}, 60_000)

test('the right token opens the console, and stays out of addresses and of other tabs', async () => {
  await using view = await openConsole(browser, `${server.url}/console`)
  const { page } = view
  const addresses: string[] = []
  page.on('request', (request) => void addresses.push(request.url()))
  await page.getByLabel('Token').fill('a-wrong-token-of-nobody')
  await page.getByRole('button', { name: 'Open the console' }).click()
  await page.getByText('does not accept this token').waitFor()
  await page.getByLabel('Token').fill(adminToken)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await page.getByRole('row', { name: /^capture / }).waitFor()
  await page.reload()
  await page.getByRole('row', { name: /^capture / }).waitFor()
  await page.getByRole('link', { name: 'Live events' }).click()
  await page.locator('.status', { hasText: 'live' }).waitFor()
  expect(addresses.filter((url) => url.includes(adminToken))).toEqual([])
  expect(page.url()).not.toContain(adminToken)
  expect(await page.evaluate('JSON.stringify(localStorage) + document.cookie')).toBe('{}')
  const other = await page.context().newPage()
  await other.goto(`${server.url}/console`)
  await other.getByLabel('Token').waitFor()
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByLabel('Token').waitFor()
  expect(await page.evaluate('sessionStorage.length')).toBe(0)
}, 60_000)

test('a late refusal of an earlier token does not lock the console', async () => {
  await using view = await openConsole(browser, `${server.url}/console`)
  const { page } = view
  const wrongToken = 'a-wrong-token-of-nobody'
  const released = Promise.withResolvers<void>()
  let heldCount = 0
  let answeredCount = 0
  await page.getByLabel('Token').waitFor()
  await page.route('**/console/api/*', async (route) => {
    const isLate =
      route.request().headers().authorization === `Bearer ${wrongToken}` &&
      !route.request().url().endsWith('/overview')
    if (isLate) {
      heldCount += 1
      await released.promise
    }
    // A request that the page has given up fails here.
    await route.continue().catch(() => {})
    if (isLate) answeredCount += 1
  })
  await page.getByLabel('Token').fill(wrongToken)
  await page.keyboard.press('Enter')
  await page.getByText('does not accept this token').waitFor()
  await page.getByLabel('Token').fill(adminToken)
  await page.keyboard.press('Enter')
  const row = page.getByRole('row', { name: /^capture / })
  await row.waitFor()
  expect(heldCount).toBeGreaterThan(0)
  const refused = page.waitForResponse((response) => response.status() === 401)
  released.resolve()
  await (await refused).finished()
  await until(() => answeredCount === heldCount, { what: 'the late replies' })
  // A later reply comes after the effects of the late one.
  await page.waitForResponse((response) => response.url().endsWith('/overview') && response.ok())
  expect(await row.count()).toBe(1)
  await page.getByRole('button', { name: 'Log out' }).waitFor()
}, 60_000)

test('says what is wrong where ClickHouse cannot be asked', async () => {
  await using view = await openConsole(browser, `${server.url}/console#/find?id=${secretName}`)
  const { page } = view
  await page.getByLabel('Token').fill(adminToken)
  await page.keyboard.press('Enter')
  await page.getByRole('region', { name: secretName }).first().waitFor()
  await page.getByText('Where the server looked').click()
  await page
    .getByText(/ClickHouse cannot be reached/)
    .first()
    .waitFor()
  await page.getByRole('link', { name: 'Queries' }).click()
  await page.getByText('Queries run on your own ClickHouse.').waitFor()
}, 60_000)
