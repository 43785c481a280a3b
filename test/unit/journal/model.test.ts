import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { DiskCall } from './fake-disk.ts'
import { createModel, type Step } from './model.ts'

const share = fc.double({ min: 0, max: 1, noNaN: true })
const request = fc.record({
  count: fc.integer({ min: 1, max: 5 }),
  // A segment has 4 KiB: most requests share one, some fill it, some are larger.
  lineBytes: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 300 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 9000 }) },
  ),
})
const requests = (minLength: number) => fc.array(request, { minLength, maxLength: 5 })
const disaster = { requests: requests(0), calls: fc.integer({ min: 0, max: 10 }) }
const call = fc.constantFrom<DiskCall>(
  'list',
  'open',
  'read',
  'write',
  'sync',
  'dataSync',
  'truncate',
  'unlink',
  'syncFolder',
)

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('append'), requests: requests(1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release'), share }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('fault'),
      call,
      code: fc.constantFrom('EIO', 'ENOSPC'),
      after: fc.integer({ min: 0, max: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('read'),
      share,
      bytesMax: fc.integer({ min: 1, max: 20_000 }),
      recordsMax: fc.integer({ min: 1, max: 20 }),
    }),
  },
  fc.record({ kind: fc.constant('restart') }),
  fc.record({ kind: fc.constant('kill'), ...disaster }),
  fc.record({ kind: fc.constant('crash'), ...disaster, seed: fc.integer() }),
)

test('keeps acknowledged records, once and in order, and never a refused one', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 30 }), async (steps) => {
      const model = await createModel()
      for (const next of steps) await model.take(next)
      await model.take({ kind: 'restart' })
      expect(model.isSound).toBe(true)
    }),
    { numRuns: Number(process.env.MODEL_RUNS ?? 300) },
  )
}, 60_000)
