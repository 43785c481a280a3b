import { expect, test } from 'bun:test'
import type { Row } from '../../bench/measure.ts'
import { toPicture } from '../../bench/picture.ts'
import { type Sample, toVerdict } from '../../bench/soak.ts'
import { toTable, toThreadTable } from '../../bench/table.ts'

const run = { requests: 1000, seconds: 2, errors: 0, p50_ms: 1, p95_ms: 2, p99_ms: 3, passed: true }
const use = { httpUs: 50_000, allUs: 120_000, threads: { http: 50_000, Worker: 70_000 } }
const measured = { ...run, ...use, rssBytes: 1024 ** 2 * 200 }
const row: Row = {
  name: 'a<b',
  eventsPerRequest: 10,
  baseline: { ...measured, requests: 2000 },
  spillway: { ...measured, lag: 7, acknowledged: 10_000, stored: 10_000 },
  passed: false,
}

test('prints rates, their ratio to the baseline, and CPU per event', () => {
  const [head, , line] = toTable([row])
    .split('\n')
    .map((text) => text.split(' | '))
  const cells = Object.fromEntries(
    head!.map((name, index) => [name.replace(/^\| /, ''), line![index]]),
  )
  expect(cells).toMatchObject({
    'baseline req/s': '1000',
    'req/s': '500',
    ratio: '0.50',
    'events/s': '5000',
    'HTTP thread, CPU µs/event': '5.0',
    'all threads, CPU µs/event': '12.0',
    'RSS MiB': '200',
  })
  expect(toThreadTable([row])).toContain('Worker 7.0 · http 5.0')
})

test('draws one bar per server to scale, and escapes text in SVG', () => {
  const svg = toPicture([row], 'x & y')
  const widths = [...svg.matchAll(/height="16" fill/g)]
  expect(widths).toHaveLength(2)
  expect(svg).toContain('a&lt;b')
  expect(svg).toContain('x &amp; y')
  expect(svg).toContain('FAIL')
  const [first, second] = [...svg.matchAll(/width="([\d.]+)" height="16"/g)].map(([, w]) =>
    Number(w),
  )
  expect(first! / second!).toBeCloseTo(2)
})

const mib = 1024 ** 2
const flat: Sample[] = Array.from({ length: 60 }, (_, index) => ({
  second: index * 10,
  rssBytes: 400 * mib,
  lag: 5000,
}))
test.each([
  ['flat memory and a steady lag', flat, true],
  ['one sample before a collection', [...flat, { second: 600, rssBytes: 480 * mib, lag: 0 }], true],
  [
    'memory that grew by a fifth',
    flat.map((one) => (one.second < 400 ? one : { ...one, rssBytes: 480 * mib })),
    false,
  ],
  ['a lag that keeps growing', [...flat, { second: 600, rssBytes: 400 * mib, lag: 60_000 }], false],
  ['nothing at all', [], false],
])('a soak with %s', (_, samples, passed) => {
  expect(toVerdict(samples, 600).passed).toBe(passed)
})
