import { describe, expect, test } from 'bun:test'
import { captureV1 } from '../../../../src/contracts/capture/v1.ts'
import { type ErrorCode, IngestError, toRequestError } from '../../../../src/core/errors.ts'
import type { Outcome } from '../../../../src/core/protocol.ts'
import { capture, project, receivedMs, toBody, toRequest } from './capture-request.ts'

const uuidOf = (index: number) => `019a0000-0000-7000-8000-${String(index).padStart(12, '0')}`
const createdAt = '2026-01-01T11:59:59.000Z'
const head = { authorization: 'Bearer phc_a', 'content-type': 'application/json' }

const toEvent = (changes: object = {}, index = 0) => ({
  event: 'ordered',
  uuid: uuidOf(index),
  distinct_id: 'u1',
  timestamp: '2026-01-01T11:59:58.000Z',
  options: {},
  properties: { total: 5 },
  ...changes,
})
const toBatch = (...events: unknown[]) => ({ created_at: createdAt, batch: events })

function refusal(call: () => unknown): ErrorCode | undefined {
  try {
    call()
  } catch (error) {
    if (error instanceof IngestError) return error.code
    throw error
  }
  return undefined
}

const context = {
  project,
  dedupIdentity: 'uuid',
  lineBytesMax: 4_000_000,
  skewMsMin: 5000,
} as const

function run(value: unknown, headers: Record<string, string> = {}, outcome: Partial<Outcome> = {}) {
  const request = toRequest({ headers: { ...head, ...headers } })
  const submission = captureV1.parse(request, toBody(value))
  const normalised = captureV1.normalise(request, submission, context)
  const { events, rejections, dropped } = normalised
  if (normalised.refusal) throw toRequestError(normalised.refusal)
  const limits = { duplicates: 0, quotaLimited: [], overQuota: [] }
  const reply = captureV1.reply(request, submission, { ...limits, events, rejections, ...outcome })
  const rows = events.flatMap((event) => (event.kind === 'event' ? [event.row] : []))
  const { results } = JSON.parse(reply.body!) as {
    results: Record<string, { result: string; details: unknown }>
  }
  return { events, rows, rejections, dropped, reply, results, submission }
}

describe('the head of a request', () => {
  const check = (headers: Record<string, string>) =>
    refusal(() => captureV1.assertHead!(toRequest({ headers })))

  test.each<[string, Record<string, string>]>([
    ['as SDKs send it', head],
    ['with a scheme in lower case', { ...head, authorization: 'bearer  phc_a ' }],
    ['with a charset', { ...head, 'content-type': 'Application/JSON; charset=utf-8' }],
    ...['gzip', 'deflate', 'br', 'zstd', 'GZIP'].map((encoding): [string, typeof head] => [
      `with encoding ${encoding}`,
      { ...head, ...{ 'content-encoding': encoding } },
    ]),
  ])('is accepted %s', (_, headers) => {
    expect(check(headers)).toBeUndefined()
  })

  test.each<[string, ErrorCode, Record<string, string>]>([
    ['no token', 'missing_token', { 'content-type': 'application/json' }],
    ['another scheme', 'missing_token', { ...head, authorization: 'Basic cGhjX2E6' }],
    ['an empty token', 'missing_token', { ...head, authorization: 'Bearer ' }],
    ['a personal key', 'invalid_token', { ...head, authorization: 'Bearer phx_secret' }],
    ['a long token', 'invalid_token', { ...head, authorization: `Bearer ${'x'.repeat(65)}` }],
    ['no content type', 'unsupported_content_type', { authorization: 'Bearer phc_a' }],
    ['text', 'unsupported_content_type', { ...head, 'content-type': 'text/plain' }],
    ['lz4', 'unsupported_encoding', { ...head, 'content-encoding': 'lz4' }],
    ['two encodings', 'unsupported_encoding', { ...head, 'content-encoding': 'gzip, br' }],
  ])('is refused with %s', (_, code, headers) => {
    expect(check(headers)).toBe(code)
  })
})

describe('a request is refused as a whole for', () => {
  test.each<[string, ErrorCode, unknown]>([
    ['an empty batch', 'empty_batch', toBatch()],
    ['no batch', 'invalid_batch', { created_at: createdAt }],
    ['an array', 'invalid_batch', [toEvent()]],
    ['an event that is no object', 'invalid_batch', toBatch(toEvent(), 'x')],
    ['no created_at', 'invalid_batch', { batch: [toEvent()] }],
    ['a bad created_at', 'invalid_batch', { created_at: 'now', batch: [toEvent()] }],
    ['an event without uuid', 'missing_event_uuid', toBatch(toEvent({ uuid: undefined }))],
    ['a bad uuid', 'missing_event_uuid', toBatch(toEvent({ uuid: 'x1' }))],
    ['a uuid twice', 'duplicate_event_uuid', toBatch(toEvent(), toEvent({ event: 'b' }))],
    [
      'a uuid twice in another case',
      'duplicate_event_uuid',
      toBatch(
        toEvent({ uuid: `a${uuidOf(0).slice(1)}` }),
        toEvent({ uuid: `A${uuidOf(0).slice(1)}` }),
      ),
    ],
  ])('%s', (_, code, value) => {
    expect(refusal(() => run(value))).toBe(code)
  })
})

describe('an event', () => {
  test.each<[string, string, object]>([
    ['no name', 'missing_event_name', { event: undefined }],
    ['an empty name', 'missing_event_name', { event: '' }],
    ['a long name', 'event_name_too_long', { event: 'x'.repeat(201) }],
    ['no distinct_id', 'missing_distinct_id', { distinct_id: undefined }],
    ['a blank distinct_id', 'missing_distinct_id', { distinct_id: '  ' }],
    ['a long distinct_id', 'distinct_id_too_large', { distinct_id: 'x'.repeat(201) }],
    ['no timestamp', 'invalid_event_timestamp', { timestamp: undefined }],
    ['a bad timestamp', 'invalid_event_timestamp', { timestamp: 'soon' }],
    ['properties in an array', 'malformed_event_properties', { properties: [1] }],
    ['properties in a text', 'malformed_event_properties', { properties: '{}' }],
    ['options in an array', 'invalid_options', { options: [] }],
    ['a bad option', 'invalid_options', { options: { cookieless_mode: 'perhaps' } }],
    [
      'an option named by Object',
      'invalid_options',
      { options: { cookieless_mode: 'constructor' } },
    ],
    ['a bad tour', 'invalid_options', { options: { product_tour_id: true } }],
  ])('with %s is dropped, and its neighbours are stored', (_, details, changes) => {
    const bad = toEvent(changes, 1)
    const { rows, rejections, results } = run(toBatch(toEvent(), bad, toEvent({}, 2)))
    expect(rows.map((row) => row.uuid)).toEqual([uuidOf(0), uuidOf(2)])
    expect(rejections).toMatchObject([{ index: 1, raw: JSON.parse(JSON.stringify(bad)) }])
    expect(results).toEqual({
      [uuidOf(0)]: { result: 'ok', details: null },
      [uuidOf(1)]: { result: 'drop', details },
      [uuidOf(2)]: { result: 'ok', details: null },
    })
  })

  test('has the row and the identity that the other routes give it', () => {
    const event = toEvent({ options: undefined })
    const [one] = run(toBatch(event)).events
    const [other] = capture({ api_key: 'phc_a', batch: [event] }).events
    expect(one).toEqual({ ...other!, index: 0 })
  })

  test('gets its fields, options and the SDK as properties', () => {
    const fields = { session_id: 's1', window_id: 'w1' }
    const options = {
      cookieless_mode: 'true',
      disable_skew_correction: 1,
      product_tour_id: 7,
      process_person_profile: false,
      unknown: {},
    }
    const sdk = { 'posthog-sdk-info': 'posthog/sub-sdk/5.70.0' }
    const [row] = run(toBatch(toEvent({ ...fields, options })), sdk).rows
    expect(row).toMatchObject({ session_id: 's1', library: 'posthog/sub-sdk' })
    expect(JSON.parse(row!.properties)).toEqual({
      total: 5,
      $session_id: 's1',
      $window_id: 'w1',
      $cookieless_mode: true,
      $ignore_sent_at: true,
      $product_tour_id: '7',
      $process_person_profile: false,
      $lib: 'posthog/sub-sdk',
      $lib_version: '5.70.0',
    })
  })

  test.each(['', 'posthog-node', '/1', 'posthog-node/', `a/${'1'.repeat(300)}`])(
    'keeps its own $lib where PostHog-Sdk-Info is %j',
    (info) => {
      const event = toEvent({ properties: { $lib: 'own' } })
      const [row] = run(toBatch(event), { 'posthog-sdk-info': info }).rows
      expect(JSON.parse(row!.properties)).toEqual({ $lib: 'own' })
    },
  )

  test('of a client whose clock is ahead gets the server’s time', () => {
    const timestamp = new Date(receivedMs + 3_600_000 - 2000).toISOString()
    const sentAt = new Date(receivedMs + 3_600_000).toISOString()
    const headers = { 'posthog-request-timestamp': sentAt }
    const [row] = run(toBatch(toEvent({ timestamp })), headers).rows
    expect(row!.timestamp).toBe(receivedMs - 2000)
    const uncorrected = toEvent({ timestamp, options: { disable_skew_correction: true } })
    const [other] = run(toBatch(uncorrected), headers).rows
    expect(other!.timestamp).toBe(receivedMs + 3_600_000 - 2000)
  })

  test('of a historical migration goes to the historical route', () => {
    const { events } = run({ ...toBatch(toEvent()), historical_migration: true })
    expect(events).toMatchObject([{ route: 'historical', row: { historical: true } }])
  })
})

test('a duplicate is ok, and an event above the quota is dropped for billing', () => {
  const batch = toBatch(toEvent(), toEvent({}, 1), toEvent({}, 2))
  const { events } = run(batch)
  const { results } = run(batch, {}, { events: [], duplicates: 1, overQuota: events.slice(1) })
  expect(Object.values(results)).toEqual([
    { result: 'ok', details: null },
    { result: 'drop', details: 'billing_limit_exceeded' },
    { result: 'drop', details: 'billing_limit_exceeded' },
  ])
})

test('results carry each uuid as sent', () => {
  const sent = uuidOf(0).replace('019a', '019A')
  expect(Object.keys(run(toBatch(toEvent({ uuid: sent }))).results)).toEqual([sent])
})

describe('the request id', () => {
  const id = '6f1c1a36-9e0e-4c0e-8a4c-0a8f3d1f9b11'
  test('is echoed by a reply and by an error', () => {
    const headers = { 'posthog-request-id': id }
    expect(run(toBatch(toEvent()), headers).reply.headers).toEqual(headers)
    const error = new IngestError('rate_limited', 'too many requests', { retryAfterSeconds: 3 })
    expect(captureV1.refuse(error, toRequest({ headers }))).toEqual({
      status: 429,
      headers: { 'retry-after': '3', ...headers },
      body: JSON.stringify({
        error: 'rate_limited',
        error_description: 'too many requests',
        error_uri: 'https://posthog.com/docs/api/capture',
      }),
    })
  })

  test('is not echoed if it is no uuid', () => {
    const headers = { 'posthog-request-id': '<script>' }
    expect(run(toBatch(toEvent()), headers).reply.headers).toEqual({})
  })
})

test('an event above the quota is named also if its uuid is not the stored one', () => {
  const [kept, above] = [toEvent(), toEvent({ uuid: '019a0000-0000-8000-8000-000000000001' }, 1)]
  const { events } = run(toBatch(kept, above))
  expect(events[1]!.row.uuid).not.toBe(above.uuid)
  const outcome = { events: events.slice(0, 1), overQuota: events.slice(1) }
  expect(run(toBatch(kept, above), {}, outcome).results).toEqual({
    [kept.uuid]: { result: 'ok', details: null },
    [above.uuid]: { result: 'drop', details: 'billing_limit_exceeded' },
  })
})

test('a refused batch whose events can be read lists all of them as rejected', () => {
  const request = toRequest({ headers: head })
  const batch = toBatch(toEvent(), toEvent({ uuid: 'x' }, 1))
  const submission = captureV1.parse(request, toBody(batch))
  expect(captureV1.normalise(request, submission, context)).toMatchObject({
    events: [],
    rejections: [
      { index: 0, code: 'missing_event_uuid', raw: batch.batch[0] },
      { index: 1, code: 'missing_event_uuid', raw: batch.batch[1] },
    ],
    refusal: { code: 'missing_event_uuid', message: 'batch[1].uuid is not a uuid' },
  })
})

test('every rejected event has its result, also beyond a hundred', () => {
  const events = Array.from({ length: 150 }, (_, index) => toEvent({ event: '' }, index))
  const { results, rejections } = run(toBatch(...events, toEvent({}, 150)))
  expect(rejections).toHaveLength(150)
  expect(Object.values(results).filter(({ result }) => result === 'drop')).toHaveLength(150)
  expect(results[uuidOf(150)]).toEqual({ result: 'ok', details: null })
})
