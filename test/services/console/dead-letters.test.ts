import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type Contract, type Document, post, read, send, tag, telemetryEvent } from './support.ts'

let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
}, 60_000)
afterAll(async () => await server?.[Symbol.asyncDispose]())

const reportHeaders = {
  ...{ 'x-api-key': 'sk_console', 'x-user-id': 'u1', 'x-app-id': 'app', 'x-platform': 'ios' },
  'x-version': '1',
}

/** A bad event of each contract, and what an operator makes of it. */
const bad: Record<
  Contract | 'v1' | 'recording',
  { path: string; body: object; headers?: object; event: object }
> = {
  capture: {
    path: '/e',
    body: { api_key: 'phc_bad', event: '', distinct_id: `ada ${tag}` },
    event: { event: 'repaired', distinct_id: `ada ${tag}` },
  },
  v1: {
    path: '/i/v1/analytics/events',
    headers: { authorization: 'Bearer phc_bad' },
    body: {
      created_at: new Date().toISOString(),
      batch: [{ event: 'v1', uuid: 'nix', distinct_id: 'ada', timestamp: 'soon', options: {} }],
    },
    event: {
      event: 'repaired',
      distinct_id: 'ada',
      timestamp: '2026-01-01T00:00:00Z',
      options: {},
    },
  },
  recording: {
    path: '/s',
    body: {
      ...{ api_key: 'phc_bad', event: '$snapshot', distinct_id: 'ada' },
      properties: { $snapshot_data: [{ type: 1 }] },
    },
    event: {
      ...{ event: '$snapshot', distinct_id: 'ada' },
      properties: { $session_id: 's1', $snapshot_data: [{ type: 1 }] },
    },
  },
  link: {
    path: '/api/events/track',
    body: { project_id: 'phc_bad', link_title: tag },
    event: { project_id: 'phc_bad', event_type: 'repaired', link_title: tag },
  },
  report: {
    path: '/v2/users/report/events',
    headers: reportHeaders,
    body: { events: [{ user: 'ada', sessionId: 's1' }] },
    event: { name: 'repaired', user: 'ada', sessionId: 's1' },
  },
  telemetry: {
    path: '/api/telemetry/events',
    body: [{ ...telemetryEvent, app: 'phc_bad', name: '' }],
    event: { ...telemetryEvent, app: 'phc_bad', name: 'repaired' },
  },
}

const tables = { link: 'link_events', recording: 'recordings' } as Record<string, string>

async function findLetter(receivedAfterMs: number): Promise<Document> {
  return await until(async () => {
    const { letters } = await read(server, 'dead-letters?limit=1')
    return letters[0]?.received_ms >= receivedAfterMs && letters[0]
  })
}

describe.each(Object.keys(bad) as (keyof typeof bad)[])('a rejected event of %s', (name) => {
  const { path, body, headers = {}, event } = bad[name]

  test('is repaired, and stored once however often it is sent', async () => {
    const sentMs = Date.now()
    await post(server.url + path, body, headers as Record<string, string>)
    const letter = await findLetter(sentMs)
    expect(letter).toMatchObject({ whole: true, resendable: true, stage: 'normalise' })
    const { uuid } = letter
    const shown = await read(server, `dead-letters/show?uuid=${uuid}`)
    expect(shown.letter).toEqual(letter)

    const resend = async (more: object) =>
      (await send(server, 'dead-letters/resend', { uuid, ...more })).document().result
    expect(await resend({ dry_run: true })).toMatchObject({ verdict: 'would_be_rejected' })
    expect(await resend({ event, dry_run: true })).toMatchObject({ verdict: 'would_be_stored' })
    const stored = await resend({ event })
    expect(stored).toMatchObject({ uuid, verdict: 'stored', reason: null })
    expect(await resend({ event })).toMatchObject({ verdict: 'duplicate' })
    expect(await resend({ event, dry_run: true })).toMatchObject({ verdict: 'would_be_duplicate' })

    const table = tables[name] ?? 'events'
    const sql = `SELECT toUnixTimestamp64Milli(received_at) AS ms FROM ${table} WHERE uuid = '${stored.event_uuid}'`
    await until(async () => (await server.query(sql)).length > 0)
    const rows = await server.query<{ ms: number }>(sql)
    // It counts as received when it was received first.
    expect(rows.map(({ ms }) => Number(ms))).toEqual([letter.received_ms])
    const traced = await read(server, `trace?id=${stored.request_id}`)
    expect(traced.events[0]).toMatchObject({ uuid: stored.event_uuid, outcome: 'stored' })
  })
})

test('an event that is rejected again leaves no second letter', async () => {
  const sentMs = Date.now()
  await post(`${server.url}/e`, { api_key: 'phc_again', event: '', distinct_id: 'ada' })
  const { uuid } = await findLetter(sentMs)
  const { document } = await send(server, 'dead-letters/resend', { uuid })
  expect(document().result).toMatchObject({ verdict: 'rejected', reason: 'missing_event_name' })
  await post(`${server.url}/e`, { api_key: 'phc_again', event: 'good', distinct_id: 'ada' })
  await until(
    async () => (await server.query("SELECT 1 FROM events WHERE event = 'good'")).length > 0,
  )
  const { letters } = await read(server, 'dead-letters?project=phc_again')
  expect(letters).toHaveLength(1)
})

const resendAll = async (filter: object): Promise<Document[]> => {
  const { status, text } = await send(server, 'dead-letters/resend-all', filter)
  expect(status).toBe(200)
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

test('all letters that match are sent: what can be stored is, exactly as it was', async () => {
  // One bad event refuses a report; the others become letters, too.
  const good = Array.from(
    { length: 120 },
    (_, at) => `{"name":"all-${at}","user":"ada","sessionId":"s","extra":{"n":9007199254740993}}`,
  )
  const body = `{"events":[${good.join(',')},{"user":"ada"}]}`
  const key = { ...reportHeaders, 'x-api-key': 'sk_all' }
  await post(`${server.url}/v2/users/report/events`, body, key)
  const groups = await until(async () => {
    const { groups } = await read(server, 'dead-letters/groups')
    const own = groups.filter((group: Document) => group.sample.raw.includes('all-'))
    return own.length > 0 && own
  })
  expect(groups[0]).toMatchObject({ contract: 'report', resendable: true })
  const { project } = groups[0]
  const dry = await resendAll({ project, dry_run: true })
  expect(dry.at(-1)).toMatchObject({ type: 'end', stored: 100, skipped: 1, dry_run: true })
  expect(dry.find(({ type }) => type === 'progress')).toMatchObject({ done: 0, total: 101 })
  expect((await resendAll({ project })).at(-1)).toMatchObject({ stored: 100, skipped: 1 })
  expect((await resendAll({ project })).at(-1)).toMatchObject({ stored: 0, duplicate: 100 })
  const count = `SELECT count() AS n, any(properties) AS p FROM events WHERE project = '${project}'`
  const readCount = async () => (await server.query<{ n: number; p: string }>(count))[0]!
  await until(async () => Number((await readCount()).n) === 100)
  expect((await readCount()).p).toContain('9007199254740993')
  const [more] = await resendAll({ project, reason: 'more_rejected' }).then((lines) =>
    lines.filter(({ type }) => type === 'result'),
  )
  expect(more).toMatchObject({ verdict: 'skipped', reason: 'not_resendable' })
})

test('an event that was too large to be kept whole says so, and can be written anew', async () => {
  const sentMs = Date.now()
  const properties = { pad: 'ä'.repeat(20_000) }
  await post(`${server.url}/e`, { api_key: 'phc_large', event: 'large', properties })
  const letter = await findLetter(sentMs)
  expect(letter).toMatchObject({ whole: false, resendable: false, event: null })
  expect(letter.why_not).toContain('larger than')
  const { uuid } = letter
  const skipped = await send(server, 'dead-letters/resend', { uuid })
  expect(skipped.document().result).toMatchObject({ verdict: 'skipped' })
  const event = { event: 'large', distinct_id: 'ada' }
  const { document } = await send(server, 'dead-letters/resend', { uuid, event })
  expect(document().result).toMatchObject({ verdict: 'stored' })
})

test('pages lead to every letter once', async () => {
  const seen: string[] = []
  let beforeMs = ''
  for (;;) {
    const { letters, next_before_ms } = await read(server, `dead-letters?limit=3${beforeMs}`)
    seen.push(...letters.map(({ uuid }: Document) => uuid))
    if (next_before_ms === null) break
    beforeMs = `&before_ms=${next_before_ms}`
  }
  const [count] = await server.query<{ n: number }>('SELECT count() AS n FROM dead_letters')
  expect(seen.length).toBe(Number(count!.n))
  expect(new Set(seen).size).toBe(seen.length)
})

test('requests that cannot be answered get a sentence', async () => {
  const uuid = crypto.randomUUID()
  for (const [path, body, status] of [
    ['dead-letters/resend', { uuid }, 404],
    ['dead-letters/resend', { uuid: "x' OR 1" }, 400],
    ['dead-letters/resend', {}, 400],
    ['dead-letters/resend-all', { projekt: 'x' }, 400],
    ['dead-letters/resend-all', { project: 5 }, 400],
    ['dead-letters/resend-all', { to_ms: -1 }, 400],
  ] as const) {
    const reply = await send(server, path, body)
    expect([path, body, reply.status]).toEqual([path, body, status])
    expect(reply.document().detail.length).toBeGreaterThan(10)
  }
  const hostile = await read(
    server,
    `dead-letters?project=${encodeURIComponent("' OR 1 = 1 --\\")}`,
  )
  expect(hostile.letters).toEqual([])
})

test('one resend of all runs at a time, and one that was left ends', async () => {
  const control = new AbortController()
  const open = () =>
    fetch(`${server.url}/console/api/dead-letters/resend-all`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"dry_run":true}',
      signal: control.signal,
    })
  const [first, second] = await Promise.all([open(), open()])
  expect([first.status, second.status].sort()).toEqual([200, 409])
  control.abort()
  await until(async () => {
    const { status } = await send(server, 'dead-letters/resend-all', { dry_run: true })
    return status === 200
  })
})
