import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Histogram, Registry } from 'prom-client'
import { Timings } from '../../../src/observability/timings.ts'

const upperBounds = [0.001, 0.01, 0.1, 1]
const naming = { name: 'spillway_request_seconds', help: 'Time' }

const observation = fc.record({
  seconds: fc.oneof(fc.constantFrom(0, ...upperBounds), fc.double({ min: 0, max: 2, noNaN: true })),
  contract: fc.constantFrom('capture', 'link'),
  status: fc.constantFrom(200, 503),
})

/** The order of series has no meaning. */
const toLines = (text: string) => text.split('\n').sort()

test('writes the same text as prom-client’s own histogram', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(observation), async (observations) => {
      const [ours, theirs] = [new Registry(), new Registry()]
      const labelNames = ['contract', 'status']
      const timings = new Timings({ ...naming, labelNames, upperBounds, registry: ours })
      const options = { ...naming, labelNames, buckets: upperBounds, registers: [theirs] }
      const histogram = new Histogram(options)
      for (const { seconds, contract, status } of observations) {
        timings.observe(seconds, contract, status)
        histogram.observe({ contract, status }, seconds)
      }
      expect(toLines(await ours.metrics())).toEqual(toLines(await theirs.metrics()))
    }),
  )
})

test('writes all buckets before the first observation if it has no labels', async () => {
  const [ours, theirs] = [new Registry(), new Registry()]
  new Timings({ ...naming, labelNames: [], upperBounds, registry: ours })
  new Histogram({ ...naming, buckets: upperBounds, registers: [theirs] })
  expect(await ours.metrics()).toBe(await theirs.metrics())
})
