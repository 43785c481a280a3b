import { expect, test } from 'bun:test'
import { createHealth, type HealthOptions } from '../../../src/observability/health.ts'

type State = {
  phase?: ReturnType<HealthOptions['phase']>
  isFull?: boolean
  isFailing?: boolean
  faultCode?: string
  durability?: HealthOptions['durability']
  stuckMs?: number
  isDeliveryWithoutDisk?: boolean
  sink?: 'healthy' | 'unhealthy'
  redis?: ReturnType<HealthOptions['redis']>
}

function healthOf(state: State) {
  const { phase = 'ready', durability = 'disk', sink = 'healthy', redis = 'off' } = state
  const { isFull = false, isFailing = false, faultCode, stuckMs = 0 } = state
  return createHealth({
    phase: () => phase,
    durability,
    journal: () => ({ isFull, isFailing, faultCode, stuckMs, bytes: 1, bytesMax: 2 }),
    isDeliveryWithoutDisk: () => state.isDeliveryWithoutDisk === true,
    sinks: () => ({ clickhouse: { state: sink, lagEvents: 0 } }),
    redis: () => redis,
  })
}

test.each<[string, State, number, string]>([
  ['starting', { phase: 'starting' }, 503, 'unavailable'],
  ['ready', {}, 200, 'ok'],
  ['draining', { phase: 'draining' }, 503, 'unavailable'],
  ['full', { isFull: true }, 503, 'unavailable'],
  ['no disk for the delivery', { isDeliveryWithoutDisk: true }, 503, 'unavailable'],
  ['the disk fails', { isFailing: true }, 503, 'unavailable'],
  ['the disk fails under DURABILITY=memory', { isFailing: true, durability: 'memory' }, 200, 'ok'],
  ['the sink is down', { sink: 'unhealthy' }, 200, 'degraded'],
  ['Redis is down', { redis: 'unhealthy' }, 200, 'degraded'],
  ['starting and the sink is down', { phase: 'starting', sink: 'unhealthy' }, 503, 'unavailable'],
])('readiness: %s', (_, state, expected, word) => {
  const { status, body, headers } = healthOf(state).readiness(true)
  expect({ status, word: JSON.parse(body ?? '').status }).toEqual({ status: expected, word })
  expect(headers?.['retry-after']).toBe(expected === 503 ? '1' : undefined)
})

test.each<[State, string | undefined]>([
  [{}, undefined],
  [{ phase: 'draining', isFull: true }, 'draining'],
  [{ isFull: true }, 'journal_full'],
  [{ isFull: true, faultCode: 'ENOSPC' }, 'disk_full'],
  [{ isFull: true, faultCode: 'EDQUOT' }, 'disk_full'],
  [{ isFailing: true, faultCode: 'ENOSPC' }, 'disk_full'],
  [{ isFailing: true, faultCode: 'EMFILE' }, 'out_of_descriptors'],
  [{ isFailing: true, faultCode: 'EIO' }, 'disk_failing'],
])('readiness with %j has the reason %p', (state, reason) => {
  const reply = healthOf(state).readiness(true)
  expect([reply.reason, JSON.parse(reply.body ?? '').reason]).toEqual([reason, reason])
})

test('readiness tells others than operators nothing but the status', () => {
  const bodies = [{}, { sink: 'unhealthy' }, { isFull: true }] as const
  expect(bodies.map((state) => healthOf(state).readiness(false).body)).toEqual([
    '{"status":"ok"}',
    '{"status":"ok"}',
    '{"status":"unavailable"}',
  ])
})

test.each<[string, State, number]>([
  ['starting', { phase: 'starting' }, 200],
  ['draining', { phase: 'draining' }, 200],
  ['full', { isFull: true }, 200],
  ['the disk fails', { isFailing: true }, 200],
  ['a commit takes just below 30 s', { stuckMs: 29_999 }, 200],
  ['a commit takes 30 s', { stuckMs: 30_000 }, 503],
])('liveness: %s', (_, state, expected) => {
  expect(healthOf(state).liveness().status).toBe(expected)
})
