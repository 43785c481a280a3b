import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { contracts, post, senders, tag } from '../services/console/support.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { startChromium } from './chromium.ts'
import { findAccessFaults, openConsole, statusOf } from './console-page.ts'

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

describe('overview', () => {
  test('shows the events of all contracts, and sums that agree', async () => {
    for (const contract of contracts) await senders[contract](server.url)
    await using view = await openConsole(browser, pageOf('overview'))
    const { page, problems } = view
    for (const contract of contracts) {
      const row = page.getByRole('row', { name: new RegExp(`^${contract} `) })
      await row.getByRole('cell', { name: '1', exact: true }).first().waitFor()
    }
    await page.getByText('agrees').first().waitFor()
    await page.getByRole('img', { name: /^Flow of events: received 4/ }).waitFor()
    await page.getByRole('img', { name: /^Events a second/ }).waitFor()
    await page.getByRole('row', { name: /^clickhouse/ }).waitFor()
    expect(problems).toEqual([])
  }, 60_000)
})

describe('live events', () => {
  test('shows events of all contracts as they pass, and opens one with its stages', async () => {
    await using view = await openConsole(browser, pageOf('live'))
    const { page, problems } = view
    await statusOf(page, 'live').waitFor()
    for (const contract of contracts) await senders[contract](server.url)
    await capture({ event: 'opened', distinct_id: 'eve', properties: { plan: 'scale' } })
    const table = page.getByRole('region', { name: 'Live events' })
    for (const contract of contracts)
      await table.getByRole('cell', { name: contract, exact: true }).first().waitFor()
    await table.getByRole('button', { name: 'opened' }).click()
    const dialog = page.getByRole('dialog', { name: 'opened' })
    await dialog.getByText('As stored in events').waitFor()
    await dialog.getByText('"plan": "scale"').waitFor()
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    expect(problems).toEqual([])
  }, 60_000)

  test('marks what was not stored, says why and what to do', async () => {
    await using view = await openConsole(browser, pageOf('live'))
    const { page } = view
    await statusOf(page, 'live').waitFor()
    await capture({ event: 'nobody' })
    const row = page.getByRole('row').filter({ hasText: 'missing_distinct_id' }).first()
    await statusOf(row, 'rejected').waitFor()
    await row.getByText('Give the event a distinct_id').waitFor()
  }, 60_000)

  test('filters by the start of a name, and keeps the filter in the address', async () => {
    await using view = await openConsole(browser, pageOf('live'))
    const { page } = view
    await page.getByLabel('event', { exact: true }).fill('wanted*')
    await page.waitForURL(/event=wanted/)
    await statusOf(page, 'live').waitFor()
    for (const event of ['other', 'wanted-1', 'other-2', 'wanted-2'])
      await capture({ event, distinct_id: 'eve' })
    await page.getByRole('button', { name: 'wanted-2' }).waitFor()
    await page.getByRole('button', { name: 'wanted-1' }).waitFor()
    expect(await page.getByRole('button', { name: /^other/ }).count()).toBe(0)
  }, 60_000)
})

describe('find an event', () => {
  test('a refused request is found by its id, with the beginning of its body', async () => {
    const { requestId, status } = await post(`${server.url}/e/`, '{"event": "half')
    expect(status).toBe(400)
    await using view = await openConsole(browser, pageOf('find'))
    const { page, problems } = view
    await page.getByRole('searchbox', { name: /^uuid, distinct_id/ }).fill(requestId)
    await page.getByRole('button', { name: 'Find' }).click()
    await statusOf(page, 'refused with 400').waitFor()
    await page.getByText('{"event": "half').waitFor()
    await page.getByText('invalid_json').first().waitFor()
    expect(problems).toEqual([])
  }, 60_000)

  test('a stored event is found by the client’s own request id', async () => {
    await capture({ event: 'by client id', distinct_id: 'eve' }, { 'x-request-id': 'client-77' })
    await using view = await openConsole(browser, pageOf('find?id=client-77'))
    const { page } = view
    await page.getByText('As stored in events').waitFor()
    await page.getByText('As stored in events').waitFor()
  }, 60_000)

  test('says so if nothing is known', async () => {
    await using view = await openConsole(browser, pageOf('find?id=no-such-id'))
    await view.page.getByText('Nothing is known about this id.').waitFor()
  }, 60_000)
})

describe('queries', () => {
  test('runs a ready query, shows a table and a plot, and downloads the result', async () => {
    await capture({ event: 'counted', distinct_id: 'eve' })
    await using view = await openConsole(browser, pageOf('queries'))
    const { page, problems } = view
    const query = page.getByLabel('Query', { exact: true })
    await page.getByLabel('Ready queries').selectOption({ label: 'The newest events' })
    expect(await query.inputValue()).toStartWith('SELECT')
    await page.getByRole('button', { name: 'Run' }).click()
    await page.getByRole('region', { name: /^\d+ rows?$/ }).waitFor()
    await query.fill('SELECT source, count() AS events FROM events GROUP BY source ORDER BY source')
    await query.press('Control+Enter')
    await page.getByRole('columnheader', { name: 'source' }).waitFor()
    await page.getByRole('button', { name: 'Plot' }).click()
    await page.getByText('events by source').waitFor()
    const save = async (name: string) => {
      const downloading = page.waitForEvent('download')
      await page.getByRole('button', { name }).click()
      return readFileSync(await (await downloading).path())
    }
    expect((await save('Download CSV')).toString()).toStartWith('"source","events"\n')
    expect((await save('Download Parquet')).subarray(0, 4).toString()).toBe('PAR1')
    await query.fill('SELECT nothing FROM nowhere')
    expect(problems).toEqual([])
    await page.getByRole('button', { name: 'Run' }).click()
    await page
      .getByRole('alert')
      .getByText(/nowhere/)
      .waitFor()
  }, 60_000)
})

describe('projects and settings', () => {
  test('shows settings in force and code with the address of this server', async () => {
    await using view = await openConsole(browser, pageOf('projects'))
    const { page, problems } = view
    await page.getByLabel('Only what differs from the default').check()
    await page.getByRole('row', { name: /^DATA_DIR/ }).waitFor()
    await page.getByRole('tab', { name: 'posthog-node' }).click()
    const code = page.getByRole('tabpanel')
    await code.getByText(`host: '${server.url}'`).waitFor()
    expect(problems).toEqual([])
  }, 60_000)
})

describe('strangers’ values', () => {
  test('HTML and control characters of events are shown as text, and run nowhere', async () => {
    await using view = await openConsole(browser, pageOf('live'))
    const { page, problems } = view
    await statusOf(page, 'live').waitFor()
    for (const contract of contracts) await senders[contract](server.url)
    await capture({ event: tag, [tag]: tag })
    const { requestId } = await post(`${server.url}/e/`, `{"event": "${tag}`, {
      'x-request-id': '<script>alert(2)</script>',
    })
    await page
      .getByRole('button', { name: /^boot <img src=x/ })
      .first()
      .click()
    await page.getByRole('dialog').getByText('<img src=x onerror').first().waitFor()
    for (const hash of [`find?id=${requestId}`, 'find', 'overview', 'projects']) {
      await page.goto(pageOf(hash))
      await page.getByRole('heading', { level: 1 }).waitFor()
      await page.waitForLoadState('networkidle').catch(() => {})
      expect(await page.locator('main img').count()).toBe(0)
    }
    expect(problems).toEqual([])
  }, 60_000)
})

describe('keyboard', () => {
  test('/ goes to the search, and a change of the page moves the focus to its content', async () => {
    await using view = await openConsole(browser, pageOf('overview'))
    const { page } = view
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('some-id')
    await page.keyboard.press('Enter')
    await page.getByText('Nothing is known about this id.').waitFor()
    await page.keyboard.press('Tab')
    const searchbox = page.getByRole('searchbox', { name: /^uuid, distinct_id/ })
    expect(await searchbox.evaluate((element) => element.matches(':focus'))).toBe(true)
  }, 60_000)
})

const hashes = ['overview', 'live', 'find', 'find?id=ada', 'dead-letters', 'queries', 'projects']
const looks = [
  { width: 1280, colorScheme: 'light' },
  { width: 1280, colorScheme: 'dark' },
  { width: 390, colorScheme: 'light' },
  { width: 390, colorScheme: 'dark' },
] as const

const longNames =
  "SELECT repeat('v', 200) AS name, 1234567 AS value UNION ALL SELECT '$autocapture', 3"

/** Of the bars, in pixels. */
const widthBeyondPanel = `{
  const bars = document.querySelector('.bars')
  bars.getBoundingClientRect().right - bars.closest('.panel').getBoundingClientRect().right
}`

test.each([1280, 390])(
  'bars of any name stay in their panel, at a width of %i',
  async (width) => {
    await using view = await openConsole(browser, pageOf('queries'), { width })
    const { page } = view
    await page.getByLabel('Query', { exact: true }).fill(longNames)
    await page.getByRole('button', { name: 'Run' }).click()
    await page.getByRole('button', { name: 'Plot' }).click()
    await page.getByRole('rowheader', { name: /^v{200}$/ }).waitFor()
    expect(await page.evaluate(widthBeyondPanel)).toBeLessThanOrEqual(0)
  },
  60_000,
)

describe('accessibility', () => {
  test.each(looks)(
    'no page has a serious finding of axe-core, %o',
    async (look) => {
      for (const contract of contracts) await senders[contract](server.url)
      await capture({ event: 'nobody' })
      await using view = await openConsole(browser, pageOf('overview'), look)
      const { page } = view
      for (const hash of hashes) {
        await page.goto(pageOf(hash))
        await page.getByRole('heading', { level: 1 }).waitFor()
        await page.locator('main .panel, main .table-box, main .empty').first().waitFor()
        expect([hash, await findAccessFaults(page)]).toEqual([hash, []])
        const isTooWide = await page.evaluate('document.documentElement.scrollWidth > innerWidth')
        expect([hash, isTooWide]).toEqual([hash, false])
      }
      await page.goto(pageOf('live'))
      await statusOf(page, 'live').waitFor()
      await capture({ event: 'to open', distinct_id: 'eve' })
      await page.getByRole('button', { name: 'to open' }).first().click()
      await page.getByRole('dialog').getByText('As stored in events').waitFor()
      expect(await findAccessFaults(page)).toEqual([])
      await page.goto(pageOf('queries'))
      for (const name of ['Run', 'Plot']) {
        await page.getByRole('button', { name }).click()
        await page.getByRole('region', { name: /^\d+ rows?$/ }).waitFor()
        expect(await findAccessFaults(page)).toEqual([])
      }
    },
    120_000,
  )
})
