import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { startChromium } from './chromium.ts'
import { openConsole } from './console-page.ts'

let server: Spillway
let browser: Browser

beforeAll(async () => {
  server = await startSpillway()
  browser = await startChromium()
}, 300_000)
afterAll(async () => {
  await browser?.close()
  await server?.[Symbol.asyncDispose]()
})

const eventsPerSecond = 500
const secondsMax = 10
const taskMsMax = 200

/** Sends this many events a second, ten requests a second. */
function startEvents(url: string): () => Promise<number> {
  let sent = 0
  let isStopping = false
  const running = (async () => {
    const startedMs = performance.now()
    for (let round = 0; !isStopping; round += 1) {
      const batch = Array.from({ length: eventsPerSecond / 10 }, (_, index) => ({
        event: index % 7 === 0 ? '' : `event-${index % 5}`,
        distinct_id: `user-${round % 100}`,
        properties: { round, index },
      }))
      const body = JSON.stringify({ api_key: 'phc_load', batch })
      await fetch(`${url}/batch/`, { method: 'POST', body })
      sent += batch.length
      await Bun.sleep(Math.max(0, startedMs + (round + 1) * 100 - performance.now()))
    }
  })()
  return async () => {
    isStopping = true
    await running
    return sent
  }
}

test.each(['live', 'overview'])(
  `${eventsPerSecond} events a second leave the page "%s" responsive`,
  async (name) => {
    await using view = await openConsole(browser, `${server.url}/console#/${name}`)
    const { page, problems } = view
    await page.getByRole('heading', { level: 1 }).waitFor()
    const stop = startEvents(server.url)
    const rows = page.locator('tbody tr')
    await until(async () => (await rows.count()) > 3, { timeoutMs: 20_000, what: 'the first rows' })
    await page.evaluate(watchTasks)
    const startedMs = performance.now()
    let slowestMs = 0
    let clicks = 0
    while (performance.now() - startedMs < secondsMax * 1000) {
      const clickedMs = performance.now()
      await page.evaluate('new Promise(requestAnimationFrame)')
      slowestMs = Math.max(slowestMs, performance.now() - clickedMs)
      clicks += 1
      await page.waitForTimeout(100)
    }
    const sent = await stop()
    const tasks = (await page.evaluate('window.longTasks')) as number[]
    console.log(
      `${name}: ${sent} events sent, ${tasks.length} long tasks, longest ${Math.max(0, ...tasks)} ms, ` +
        `slowest of ${clicks} frames ${Math.round(slowestMs)} ms`,
    )
    expect(tasks.filter((ms) => ms >= taskMsMax)).toEqual([])
    if (name === 'live') {
      // The list stays short, however many events pass.
      expect(await rows.count()).toBeLessThanOrEqual(80)
      await page.getByRole('button', { name: 'Pause' }).click()
      await page.locator('.status', { hasText: 'paused' }).waitFor()
    }
    expect(problems).toEqual([])
  },
  90_000,
)

/** Runs in the page. */
const watchTasks = `
  window.longTasks = []
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.longTasks.push(duration)
  }).observe({ type: 'longtask' })
`
