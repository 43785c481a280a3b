import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { contracts, post } from '../services/console/support.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { startChromium } from './chromium.ts'
import { openConsole, statusOf } from './console-page.ts'

let server: Spillway
let browser: Browser

beforeAll(async () => {
  server = await startSpillway({ RATE_TELEMETRY_PER_MINUTE: '0', RATE_LINK_PER_MINUTE: '0' })
  browser = await startChromium()
}, 300_000)
afterAll(async () => {
  await browser?.close()
  await server?.[Symbol.asyncDispose]()
})

const pageOf = (hash: string) => `${server.url}/console#/${hash}`
const capture = (event: object, headers: Record<string, string> = {}) =>
  post(`${server.url}/batch/`, { api_key: 'phc_console', batch: [event] }, headers)

describe('dead letters', () => {
  test('a rejected event is found by its request id, repaired, and stored once', async () => {
    const { requestId } = await capture({ event: 'repair me', properties: { n: 1 } })
    await using view = await openConsole(browser, pageOf(`find?id=${requestId}`))
    const { page, problems } = view
    await page.getByText('missing_distinct_id').first().waitFor()
    const link = page.getByRole('link', { name: 'Open the dead letter to repair it' })
    await reloadUntil(page, () => link.isVisible())
    await link.click()
    const dialog = page.getByRole('dialog', { name: 'Dead letter' })
    const editor = dialog.getByLabel('The event, as JSON')
    await editor.waitFor()
    await dialog.getByRole('button', { name: 'Dry run' }).click()
    await statusOf(dialog, 'would be rejected').waitFor()
    const event = JSON.parse(await editor.inputValue())
    await editor.fill('{')
    await dialog.getByText(/not valid JSON/).waitFor()
    await editor.fill(JSON.stringify({ ...event, distinct_id: 'repaired' }))
    await dialog.getByRole('button', { name: 'Dry run' }).click()
    await statusOf(dialog, 'would be stored').waitFor()
    const rows = () => server.query(`SELECT event FROM events WHERE distinct_id = 'repaired'`)
    expect(await rows()).toEqual([])
    await dialog.getByRole('button', { name: 'Send again' }).click()
    await statusOf(dialog, 'stored').waitFor()
    await dialog.getByRole('button', { name: 'Send again' }).click()
    await statusOf(dialog, 'duplicate').waitFor()
    await until(async () => (await rows()).length > 0)
    expect(await rows()).toEqual([{ event: 'repair me' }])
    await dialog.getByRole('link', { name: 'Follow the event' }).click()
    await page.getByText('As stored in events').first().waitFor()
    expect(problems).toEqual([])
  }, 60_000)

  test('all letters of a reason are tried, with progress and a summary', async () => {
    for (let index = 0; index < 3; index += 1)
      await capture({ event: '', distinct_id: 'eve', properties: { index } })
    await using view = await openConsole(browser, pageOf('dead-letters'))
    const { page, problems } = view
    const link = page.getByRole('link', { name: 'missing_event_name' })
    await reloadUntil(page, () => link.isVisible())
    await link.click()
    await page.getByRole('region', { name: 'Dead letters' }).getByRole('link').first().waitFor()
    await page.getByRole('button', { name: 'Dry run' }).click()
    await page.getByText(/Dry run, nothing was stored: \d+ letters/).waitFor()
    await page.getByText(/\d+ would be rejected/).waitFor()
    expect(problems).toEqual([])
  }, 60_000)
})

describe('test events', () => {
  test.each(contracts)(
    'sends a test event of %s, and follows it to the end',
    async (contract) => {
      await using view = await openConsole(browser, pageOf('projects'))
      const { page, problems } = view
      const panel = page.getByRole('region', { name: 'Send a test event' })
      await panel.getByLabel('Contract').selectOption(contract)
      await panel.getByRole('button', { name: 'Send a test event' }).click()
      await panel
        .getByText(/^As stored in/)
        .first()
        .waitFor()
      const stage = panel.getByRole('listitem').filter({ hasText: 'clickhouse' }).first()
      await statusOf(stage, 'done').waitFor()
      expect(problems).toEqual([])
    },
    60_000,
  )
})

/** Dead letters come to ClickHouse with the next insert. */
async function reloadUntil(page: Page, isThere: () => Promise<boolean>): Promise<void> {
  await until(
    async () => {
      if (await isThere()) return true
      await page.reload()
      await page.waitForLoadState('networkidle')
      return await isThere()
    },
    { timeoutMs: 20_000, pauseMs: 200, what: 'the dead letter' },
  )
}
