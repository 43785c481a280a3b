import { readFileSync } from 'node:fs'
import type { Browser, Locator, Page } from 'playwright-core'

export type ConsolePage = {
  page: Page
  /** Errors and warnings of the page, and requests to any other server. */
  problems: string[]
  [Symbol.asyncDispose](): Promise<void>
}

type Look = { width?: number; height?: number; colorScheme?: 'light' | 'dark' }

/** Opens a page of the console in a browser of its own, without a shared session. */
export async function openConsole(
  browser: Browser,
  url: string,
  { width = 1280, height = 860, colorScheme = 'light' }: Look = {},
): Promise<ConsolePage> {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme,
    reducedMotion: 'reduce',
    acceptDownloads: true,
  })
  // Below the time limit of the tests, so that a failure names what was missing.
  context.setDefaultTimeout(25_000)
  const page = await context.newPage()
  const problems: string[] = []
  page.on('console', (line) => {
    if (['error', 'warning'].includes(line.type())) problems.push(line.text())
  })
  page.on('pageerror', (error) => void problems.push(String(error)))
  page.on('dialog', (dialog) => {
    problems.push(`a dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('request', (request) => {
    const target = request.url()
    const isOwn = target.startsWith(new URL(url).origin) || /^(?:data|blob):/.test(target)
    if (!isOwn) problems.push(`a request to ${target}`)
  })
  await page.goto(url)
  return { page, problems, [Symbol.asyncDispose]: () => context.close() }
}

const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

/** Findings of axe-core that are serious or critical, each with its element. */
export async function findAccessFaults(page: Page): Promise<string[]> {
  // Not as a script tag: the page's policy refuses it.
  await page.evaluate(axeSource)
  const { violations } = (await page.evaluate('axe.run()')) as AxeReport
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`))
}

type AxeReport = { violations: { id: string; impact: string; nodes: { html: string }[] }[] }

/** A state of the page, by its words; a sign stands before them. */
export const statusOf = (where: Page | Locator, words: string) =>
  where.locator('.status', { hasText: new RegExp(`^\\S ${words}$`) }).first()
