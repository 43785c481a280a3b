import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { contracts, post, read, senders, tag, watch } from './support.ts'

let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
}, 60_000)
afterAll(async () => await server?.[Symbol.asyncDispose]())

describe('overview', () => {
  test('counts the events of each contract, and its sums agree', async () => {
    for (const contract of contracts)
      expect((await senders[contract](server.url)).status).toBeLessThan(300)
    await post(`${server.url}/e`, { api_key: 'phc_console', event: '', distinct_id: 'ada' })
    const overview = await until(async () => {
      const document = await read(server, 'overview')
      const isShipped = document.sinks[0].waiting_events === 0
      return document.totals.telemetry.accepted === 1 && isShipped && document
    })
    for (const contract of contracts)
      expect(overview.totals[contract]).toMatchObject({ accepted: 1, duplicate: 0 })
    expect(overview.rejected).toMatchObject([
      { contract: 'capture', reason: 'missing_event_name', events: 1 },
    ])
    expect(overview.altered).toEqual([])
    expect(overview.flow.sums.map((sum: { agrees: boolean }) => sum.agrees)).toEqual([true, true])
    expect(overview.sinks).toMatchObject([
      { name: 'clickhouse', state: 'healthy', shipped_events: 4, last_error: null },
    ])
    expect(overview.notes).toEqual([])
  })

  test('lists altered events by project and kind, and what to do', async () => {
    const body = { api_key: 'phc_console', event: 'e', distinct_id: 'ada', timestamp: 'soon' }
    expect((await post(`${server.url}/e`, body)).status).toBe(200)
    const altered = await until(async () => {
      const overview = await read(server, 'overview')
      return overview.altered.length > 0 && overview.altered
    })
    expect(altered).toEqual([
      {
        project: 'other',
        kind: 'time_unreadable',
        events: 1,
        hint: expect.stringContaining('ISO'),
      },
    ])
  })

  test('keeps points with rates and latencies', async () => {
    const ids = { api_key: 'phc_console', event: 'e', distinct_id: 'ada' }
    const points = await until(
      async () => {
        await post(`${server.url}/e`, ids)
        const { points } = await read(server, 'history?minutes=1')
        const isBusy = (point: { rates: { all: { events: number } } }) => point.rates.all.events > 0
        return points.filter(isBusy).length > 0 && points
      },
      { timeoutMs: 20_000, pauseMs: 100 },
    )
    const busy = points.findLast((point: { latency: { capture: object } }) => point.latency.capture)
    expect(busy.latency.capture.p50_ms).toBeGreaterThan(0)
    expect(busy.latency.capture.p99_ms).toBeGreaterThanOrEqual(busy.latency.capture.p50_ms)
    expect(busy.rates.capture.accepted).toBeGreaterThan(0)
  }, 60_000)

  test('a parameter that is wrong or unknown gets a sentence', async () => {
    for (const [path, detail] of [
      ['history?minutes=0', 'minutes "0" is not an integer in 1..60'],
      ['history?minute=5', 'there is no parameter "minute"'],
      ['live?contract=nix', 'contract "nix" is not one of capture, link, report, telemetry'],
    ]) {
      const response = await fetch(`${server.url}/console/api/${path}`)
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({ error: 'invalid_query', detail })
    }
    const unknown = await fetch(`${server.url}/console/api/nix`)
    expect(unknown.status).toBe(404)
    const method = await fetch(`${server.url}/console/api/overview`, { method: 'POST' })
    expect(method.status).toBe(405)
  })
})

describe('refusals', () => {
  test('keep the beginning of the body, the request id, and what to do', async () => {
    const refused = await post(`${server.url}/e`, `{"event": ${tag}`, { 'x-request-id': 'mine-1' })
    expect(refused.status).toBe(400)
    const { refusals, by_reason } = await read(server, 'refusals?reason=invalid_json')
    expect(refusals[0]).toMatchObject({
      request_id: refused.requestId,
      client_id: 'mine-1',
      client_ip: '127.0.0.1',
      contract: 'capture',
      status: 400,
      reason: 'invalid_json',
      body: { text: `{"event": ${tag}`, cut: false },
    })
    expect(refusals[0].hint).toContain('JSON')
    expect(by_reason[0].requests).toBeGreaterThan(0)
  })

  test('show the text of a compressed body', async () => {
    const body = gzipSync(`{"api_key":"phc_console","batch":"nix","pad":"${'x'.repeat(5000)}"}`)
    const headers = { 'content-encoding': 'gzip' }
    await fetch(`${server.url}/batch`, { method: 'POST', body, headers })
    const { refusals } = await read(server, 'refusals?contract=capture&reason=invalid_batch')
    expect(refusals[0].body).toMatchObject({ encoding: 'gzip', cut: true })
    expect(refusals[0].body.text).toStartWith('{"api_key":"phc_console","batch":"nix"')
  })

  test('a flood of one reason leaves the others', async () => {
    for (let at = 0; at < 60; at += 1) await post(`${server.url}/e`, '{"event":')
    const { refusals, by_reason } = await read(server, 'refusals?limit=1000')
    const reasons = new Set(refusals.map(({ reason }: { reason: string }) => reason))
    expect(reasons).toContain('invalid_batch')
    expect(refusals.length).toBeLessThan(60)
    const [first] = by_reason
    expect(first).toMatchObject({ reason: 'invalid_json' })
    expect(first.requests).toBeGreaterThan(60)
  })
})

describe('live', () => {
  test.each(contracts)('shows events of %s, and only those of the filter', async (contract) => {
    const stream = await watch(server, `contract=${contract}`)
    const all = await watch(server, '')
    await until(async () => {
      for (const one of contracts) await senders[one](server.url)
      return stream.seen.length > 0 && all.seen.length >= 4
    })
    expect(stream.seen[0]).toMatchObject({
      contract,
      outcome: 'stored',
      project: expect.any(String),
    })
    expect(stream.seen[0].uuid).toMatch(/^[0-9a-f-]{36}$/)
    expect(stream.seen.every((event) => event.contract === contract)).toBe(true)
    await Promise.all([stream.end(), all.end()])
  })

  test('shows rejected, duplicate and refused ones with their reason', async () => {
    const stream = await watch(server, '')
    const uuid = crypto.randomUUID()
    const event = { api_key: 'phc_console', event: tag, distinct_id: 'ada', uuid }
    await until(async () => {
      await post(`${server.url}/e`, event)
      await post(`${server.url}/e`, { ...event, event: '' })
      await post(`${server.url}/e`, '{')
      const outcomes = new Set(stream.seen.map(({ outcome }) => outcome))
      return ['duplicate', 'rejected', 'refused'].every((outcome) => outcomes.has(outcome))
    })
    const find = (outcome: string) => stream.seen.find((one) => one.outcome === outcome)
    expect(find('duplicate')).toMatchObject({ uuid, event: tag, reason: 'duplicate' })
    expect(find('rejected')).toMatchObject({ reason: 'missing_event_name', project: 'phc_console' })
    expect(find('refused')).toMatchObject({ reason: 'invalid_json', uuid: null })
    for (const outcome of ['duplicate', 'rejected', 'refused'])
      expect(find(outcome).hint.length).toBeGreaterThan(10)
    await stream.end()
  })

  test('samples a batch, and says how many it left out', async () => {
    const stream = await watch(server, 'event=many*')
    const batch = Array.from({ length: 500 }, (_, at) => ({
      event: `many-${at}`,
      distinct_id: 'a',
    }))
    await until(async () => {
      await post(`${server.url}/batch`, { api_key: 'phc_console', batch })
      return stream.skipped() >= 400
    })
    expect(stream.seen.length).toBeGreaterThanOrEqual(100)
    await stream.end()
  })

  test('takes 16 watchers; the next one is told', async () => {
    const streams = await Promise.all(Array.from({ length: 16 }, () => watch(server, '')))
    const refused = await fetch(`${server.url}/console/api/live`)
    expect([refused.status, ((await refused.json()) as { error: string }).error]).toEqual([
      409,
      'console_busy',
    ])
    await Promise.all(streams.map((stream) => stream.end()))
    await until(async () => {
      const stream = await watch(server, '')
      await stream.end()
      return stream.status === 200
    })
  })
})

test('an open stream does not hold up the stop of the server', async () => {
  const stream = await watch(server, '')
  const startedMs = performance.now()
  expect(await server.stop()).toBe(0)
  // SHUTDOWN_MS_MAX is 10 s.
  expect(performance.now() - startedMs).toBeLessThan(8000)
  await stream.end()
})
