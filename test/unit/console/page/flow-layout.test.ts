import { describe, expect, test } from 'bun:test'
import { layOutFlow } from '../../../../src/console/page/flow-layout.ts'

const toFlow = (counts: Record<string, number>, edges: [string, string, number][]) => ({
  nodes: Object.entries(counts).map(([id, events]) => ({ id, label: id, events })),
  edges: edges.map(([from, to, events]) => ({ from, to, events })),
  sums: [],
})

const flow = toFlow(
  {
    ...{ received: 1_000_000, accepted: 999_990, duplicate: 0, rejected: 10, committed: 999_990 },
    ...{ clickhouse_recovered: 0, clickhouse_shipped: 999_000, clickhouse_waiting: 990 },
  },
  [
    ['received', 'accepted', 999_990],
    ['received', 'rejected', 10],
    ['accepted', 'committed', 999_990],
    ['committed', 'clickhouse_shipped', 999_000],
    ['committed', 'clickhouse_waiting', 990],
  ],
)

describe('layout of the flow', () => {
  test('leaves out empty stops, and keeps small ones visible', () => {
    const { stops } = layOutFlow(flow, 1000)
    expect(stops.map(({ id }) => id).sort()).toEqual([
      ...['accepted', 'clickhouse_shipped', 'clickhouse_waiting', 'committed', 'received'],
      'rejected',
    ])
    for (const { size } of stops) expect(size).toBeGreaterThanOrEqual(6)
  })

  test('stops of one column do not overlap, and bands stay within their bars', () => {
    const { stops, ribbons, height } = layOutFlow(flow, 1000)
    for (const one of stops)
      for (const other of stops)
        if (one.id !== other.id && one.x === other.x)
          expect(one.y + one.size <= other.y || other.y + other.size <= one.y).toBe(true)
    for (const { from, y1, size } of ribbons) {
      const { y, size: bar } = stops.find(({ id }) => id === from)!
      expect(y1).toBeGreaterThanOrEqual(y)
      // Bands have at least two pixels, so several tiny ones may go beyond their bar by that much.
      expect(y1 + size).toBeLessThanOrEqual(y + bar + 4)
    }
    for (const { y, size } of stops) expect(y + size).toBeLessThanOrEqual(height)
  })

  test('on a phone what is accepted leads straight to the sinks', () => {
    const { stops, ribbons } = layOutFlow(flow, 340)
    expect(stops.map(({ id }) => id)).not.toContain('committed')
    expect(ribbons.map(({ from, to }) => `${from} ${to}`)).toContain('accepted clickhouse_shipped')
    for (const { x } of stops) expect(x).toBeLessThan(340)
  })

  test('an unused server has a received stop and no bands', () => {
    const { stops, ribbons } = layOutFlow(toFlow({ received: 0, accepted: 0 }, []), 800)
    expect(stops.map(({ id }) => id)).toEqual(['received', 'accepted'])
    expect(ribbons).toEqual([])
  })
})
