import { expect, test } from 'bun:test'
import { toLiveResponse } from '../../../src/console/live.ts'

test('a reader that went away before its stream began leaves its place', () => {
  let ended = 0
  toLiveResponse({
    take: async () => ({ events: [], skipped: 0 }),
    signal: AbortSignal.abort(),
    now: Date.now,
    onEnd: () => {
      ended += 1
    },
  })
  expect(ended).toBe(1)
})
