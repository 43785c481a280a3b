import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { contracts, type Document, post, read, send, senders, tag } from './support.ts'

setDefaultTimeout(60_000)

let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
}, 60_000)
afterAll(async () => await server?.[Symbol.asyncDispose]())

const trace = (id: string) => read(server, `trace?id=${encodeURIComponent(id)}`)

/** Follows until no stage of the first event waits. */
const follow = (id: string): Promise<Document> =>
  until(async () => {
    const document = await trace(id)
    const [first] = document.events
    const isWaiting = first?.stages.some(({ state }: { state: string }) => state !== 'done')
    return first && !isWaiting && document
  })

describe.each(contracts)('an event of %s', (contract) => {
  test('is found by the id of its request and by the client’s own id', async () => {
    const clientId = `mine-${contract}`
    const sent = await senders[contract](server.url, { 'x-request-id': clientId })
    const document = await follow(sent.requestId)
    expect(document.found).toBe(true)
    expect(document.events).toHaveLength(1)
    const [event] = document.events
    expect(event).toMatchObject({
      contract,
      outcome: 'stored',
      kind: contract === 'link' ? 'link' : 'event',
    })
    expect(event.request).toMatchObject({
      id: sent.requestId,
      client_id: clientId,
      client_ip: '127.0.0.1',
      method: 'POST',
    })
    expect(event.stages.map(({ name }: { name: string }) => name)).toEqual([
      ...['received', 'journal', 'clickhouse'],
    ])
    expect(event.row.table).toBe(contract === 'link' ? 'link_events' : 'events')
    expect(JSON.stringify(event.row.columns)).toContain(JSON.stringify(tag).slice(1, 20))
    const byClient = await trace(clientId)
    expect(byClient.events[0].uuid).toBe(event.uuid)
    const byUuid = await trace(event.uuid)
    expect(byUuid.events[0]).toMatchObject({ uuid: event.uuid, request: { id: sent.requestId } })
  })
})

test('an event is found by its distinct_id, whatever characters it has', async () => {
  const distinctId = `ada'\\ \t${tag}`
  await post(`${server.url}/e`, { api_key: 'phc_console', event: 'e', distinct_id: distinctId })
  const { events } = await follow(distinctId)
  expect(events[0].row.columns.distinct_id).toBe(distinctId)
})

test('a large body is found by its request, too', async () => {
  const batch = Array.from({ length: 300 }, (_, at) => ({
    ...{ event: `large-${at}`, distinct_id: 'large', properties: { pad: 'x'.repeat(1000) } },
  }))
  const sent = await post(`${server.url}/batch`, { api_key: 'phc_console', batch })
  expect(sent.status).toBe(200)
  const document = await follow(sent.requestId)
  expect(document.events.length).toBeGreaterThan(10)
  expect(document.notes).toEqual(['the request stored 300 events; the first 25 are searched'])
  // Beyond the uuids that are remembered, the time of receipt leads to the request.
  const row = await until(async () => {
    const sql = "SELECT uuid FROM events WHERE event = 'large-299'"
    return (await server.query<{ uuid: string }>(sql))[0]
  })
  const last = await trace(row.uuid)
  expect(last.events[0].request).toMatchObject({ id: sent.requestId })
})

test('a duplicate names the event that was stored', async () => {
  const uuid = crypto.randomUUID()
  const event = { api_key: 'phc_console', event: 'twice', distinct_id: 'ada', uuid }
  const first = await post(`${server.url}/e`, event)
  await follow(first.requestId)
  const second = await post(`${server.url}/e`, event)
  const { events } = await trace(second.requestId)
  const duplicate = events.find(({ outcome }: Document) => outcome === 'duplicate')
  expect(duplicate).toMatchObject({
    uuid,
    reason: 'duplicate',
    request: { id: second.requestId },
    duplicate_of: { uuid, request_id: first.requestId },
  })
  // The search for the uuid does not find the second request, which stored nothing.
  const byUuid = (await trace(uuid)).events
  expect(byUuid.map(({ outcome }: Document) => outcome).sort()).toEqual(['duplicate', 'stored'])
  for (const { request } of byUuid) expect(request).toMatchObject({ method: 'POST', path: '/e' })
})

test('a rejected event leads to its dead letter', async () => {
  const batch = [
    { event: 'good', distinct_id: 'ada' },
    { event: '', distinct_id: tag },
  ]
  const sent = await post(`${server.url}/batch`, { api_key: 'phc_console', batch })
  const events = await until(async () => {
    const document = await trace(sent.requestId)
    return document.events.length === 2 && document.events.every(isSettled) && document.events
  })
  const rejected = events.find(({ outcome }: Document) => outcome === 'rejected')
  expect(rejected).toMatchObject({
    project: 'phc_console',
    reason: 'missing_event_name',
    request: { id: sent.requestId },
  })
  expect(rejected.dead_letter_uuid).toMatch(/^[0-9a-f-]{36}$/)
  expect(rejected.hint).toContain('name')
  const byLetter = await trace(rejected.dead_letter_uuid)
  expect(byLetter.events[0]).toMatchObject({ kind: 'dead_letter', outcome: 'rejected' })
})

test('an id does not lead to the other rejected events of the same moment', async () => {
  const [distinctId, other] = [crypto.randomUUID(), crypto.randomUUID()]
  const batch = [
    { event: '', distinct_id: distinctId },
    { event: '', distinct_id: other },
    'no event',
  ]
  const sent = await post(`${server.url}/batch`, { api_key: 'phc_console', batch })
  const settled = (id: string, count: number) =>
    until(async () => {
      const { events } = await trace(id)
      return events.length === count && events.every(isSettled) && events
    })
  await settled(sent.requestId, 3)
  const [event] = await settled(distinctId, 1)
  expect(event.distinct_id).toBe(distinctId)
})

const isSettled = ({ stages }: Document) =>
  stages.every(({ state }: { state: string }) => state === 'done')

test('a refused request is found by its id, with the beginning of its body', async () => {
  const sent = await post(`${server.url}/api/events/track`, `{"event_type": ${tag}`)
  const document = await trace(sent.requestId)
  expect(document).toMatchObject({ found: true, events: [] })
  expect(document.refusals[0]).toMatchObject({ contract: 'link', reason: 'invalid_json' })
  expect(document.refusals[0].body.text).toContain(tag)
})

test.each(contracts)('a test event of %s can be followed to the end', async (contract) => {
  const { status, document } = await send(server, 'test-event', { contract })
  expect(status).toBe(200)
  const { uuid, request_id, verdict, project } = document()
  expect(verdict).toBe('stored')
  const { events } = await follow(uuid)
  expect(events[0]).toMatchObject({ uuid, contract, project, request: { id: request_id } })
  for (const bad of [{ contract: 'nix' }, { contract, project: 5 }])
    expect((await send(server, 'test-event', bad)).status).toBe(400)
})

test('what is nowhere is said to be nowhere, and where was searched', async () => {
  const document = await trace(crypto.randomUUID())
  expect(document).toMatchObject({ found: false, events: [], refusals: [] })
  const places = document.searched.map(({ place }: { place: string }) => place)
  expect(places).toEqual(['memory', 'journal', 'clickhouse', 'dead_letters'])
})

test('a missing or long id gets a sentence', async () => {
  for (const query of ['', 'id=', `id=${'x'.repeat(500)}`]) {
    const response = await fetch(`${server.url}/console/api/trace?${query}`)
    expect(response.status).toBe(400)
  }
})
