import { type Browser, chromium } from 'playwright-core'
import { requireCommand } from '../services/install.ts'

/** Starts the system's Chromium without a window. */
export async function startChromium(): Promise<Browser> {
  await requireCommand('chromium', 'chromium')
  return await chromium.launch({
    executablePath: Bun.which('chromium') ?? 'chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  })
}
