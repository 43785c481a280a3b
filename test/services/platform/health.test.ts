import { describe, expect, test } from 'bun:test'
import { freePort } from '../../support/port.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { post } from '../contracts/support.ts'

type Health = { status: string; services: Record<string, string>; timestamp: number }

async function healthOf(server: Spillway): Promise<{ status: number; body: Health }> {
  const response = await fetch(`${server.url}/api/health`)
  expect(response.headers.get('cache-control')).toBe('no-store')
  return { status: response.status, body: (await response.json()) as Health }
}

const untilHealth = (server: Spillway, status: string) =>
  until(async () => (await healthOf(server)).body.status === status, {
    timeoutMs: 30_000,
    pauseMs: 100,
    what: `"${status}"`,
  })

test('a running server is healthy, with the fields of the contract', async () => {
  await using server = await startSpillway()
  await untilHealth(server, 'healthy')
  const { status, body } = await healthOf(server)
  expect(status).toBe(200)
  const { timestamp, ...rest } = body
  expect(rest).toEqual({
    status: 'healthy',
    services: { telemetry: 'healthy', auth: 'healthy', websocket: 'healthy', database: 'healthy' },
  })
  expect(Math.abs(Date.now() - timestamp)).toBeLessThan(60_000)
}, 60_000)

const reportHeaders = {
  'x-api-key': 'key',
  'x-user-id': 'u1',
  'x-app-id': 'app',
  'x-platform': 'iOS',
  'x-version': '1',
}
const long = 'x'.repeat(1_000_000)
const telemetry = (length: number) => ({
  ...{ id: crypto.randomUUID(), type: 'custom', name: 'n', ts: Date.now(), app: 'a' },
  ...{ release: '1', sessionId: 's', props: { long: long.slice(0, length) } },
})

describe('without ClickHouse', () => {
  const bounds = { JOURNAL_MAX_BYTES: '16MiB', JOURNAL_SEGMENT_BYTES: '1MiB' }

  test('the server is degraded and accepts events until the journal is full', async () => {
    await using server = await startSpillway({
      ...bounds,
      CLICKHOUSE_URL: `http://127.0.0.1:${freePort()}`,
    })
    const send = (length: number) => post(`${server.url}/api/telemetry/events`, telemetry(length))
    expect((await send(10)).status).toBe(200)
    await untilHealth(server, 'degraded')
    const { status, body } = await healthOf(server)
    expect(status).toBe(200)
    expect(body.services).toEqual({
      telemetry: 'healthy',
      auth: 'healthy',
      websocket: 'healthy',
      database: 'unhealthy',
    })

    // Large events first, then small ones that still fit.
    for (const length of [1_000_000, 30_000, 1_000]) {
      const isRefused = async () => (await send(length)).status === 503
      await until(isRefused, { timeoutMs: 30_000, pauseMs: 0, what: 'a full journal' })
    }
    const refusals: [string, unknown, object][] = [
      [
        '/api/telemetry/events',
        telemetry(1_000_000),
        { success: false, error: expect.any(String) },
      ],
      [
        '/api/events/track',
        { event_type: 'x', event_attributes: { short: 'x'.repeat(6_000) } },
        { error: 'Failed to track event', details: expect.any(String) },
      ],
      ...['/users/report/events', '/v2/users/report/events'].map(
        (path): [string, unknown, object] => [
          path,
          { events: [{ name: 'n', user: 'u', sessionId: 's', extra: { long } }] },
          { status: 'error', code: expect.any(String), message: expect.any(String) },
        ],
      ),
    ]
    for (const [path, event, words] of refusals) {
      const answer = await post(`${server.url}${path}`, event, reportHeaders)
      expect(answer.status).toBe(503)
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
      expect(answer.body).toMatchObject(words)
    }
    await untilHealth(server, 'unhealthy')
    const full = await healthOf(server)
    expect(full.status).toBe(503)
    expect(full.body.services).toMatchObject({ telemetry: 'unhealthy', auth: 'healthy' })
    expect((await fetch(`${server.url}/_liveness`)).status).toBe(200)
  }, 90_000)
})
