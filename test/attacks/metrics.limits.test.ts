import { expect, test } from 'bun:test'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { startSpillway } from '../support/spillway.ts'

const attackMs = 4000

test.each(['/metrics', '/_readiness', '/api/health', '/nothing'])(
  'eight clients that poll %s without a pause delay no event',
  async (path) => {
    await using server = await startSpillway({ ACCESS_LOG: 'false' })
    const beside = await sendBeside(server)
    const endMs = performance.now() + attackMs
    const texts = new Set<string>()
    async function poll(): Promise<number> {
      let polls = 0
      for (; performance.now() < endMs; polls += 1)
        texts.add(await (await fetch(server.url + path)).text())
      return polls
    }
    const polls = await Promise.all(Array.from({ length: 8 }, poll))
    const { acknowledged } = await expectUndisturbed(beside)
    expect(Math.min(...polls)).toBeGreaterThan(3)
    expect(acknowledged).toBeGreaterThan(50)
    // One text a second, whoever asks.
    expect(texts.size).toBeLessThanOrEqual(attackMs / 1000 + 2)
  },
  30_000,
)
