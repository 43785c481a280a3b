import { describe, expect, test } from 'bun:test'
import { normaliseReport } from '../../../../src/contracts/report/normalise.ts'
import { createReportProtocol } from '../../../../src/contracts/report/protocol.ts'
import { type ErrorCode, IngestError, statusOf } from '../../../../src/core/errors.ts'
import { exchange, refusal, toRequest } from '../link-report-telemetry.ts'

const protocol = createReportProtocol({ eventsMax: 3 })
const contract = { protocol, normalise: normaliseReport }
const v1 = '/users/report/events'
const v2 = '/v2/users/report/events'

const headers = {
  'X-API-KEY': 'YOUR_API_KEY',
  'X-USER-ID': 'user_123456',
  'User-Agent': 'YourApp/1.0',
  'X-APP-ID': 'com.example.app',
  'X-PLATFORM': 'iOS',
  'X-VERSION': '1.0.0',
  'Content-Type': 'application/json',
  Accept: 'application/json',
}
const event = { name: 'app_opened', user: 'user_123456', sessionId: 'session_abc123' }
const report = (path: string, events: unknown, sent: Record<string, string> = headers) =>
  exchange(contract, toRequest({ path, headers: sent }), { events })

function without(name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([header]) => header !== name))
}

describe('a report is answered', () => {
  test('in the format of version 1', () => {
    const { status, reply } = report(v1, [event, event])
    expect(status).toBe(200)
    expect(reply.body).toBe('{"status":"success","message":"Events reported successfully"}')
  })

  test('in the format of version 2, with the number of events', () => {
    expect(report(v2, [event, event])).toMatchObject({
      status: 200,
      body: { status: 'success', message: 'Events reported successfully', received: 2 },
    })
  })

  test('as success if every event is a duplicate', () => {
    const request = toRequest({ path: v2, headers })
    const submission = protocol.parse(request, { value: { events: [event] }, decodedBytes: 2 })
    const outcome = { events: [], rejections: [], duplicates: 1, quotaLimited: [], overQuota: [] }
    expect(protocol.reply(request, submission, outcome).body).toContain('"received":1')
  })

  test.each(['User-Agent', 'Content-Type', 'Accept'])('as success without %s', (name) => {
    expect(report(v1, [event], without(name)).status).toBe(200)
  })

  test.each([[undefined], [null], [{}], [{ price: 9.99 }]])('as success with extra %j', (extra) => {
    expect(report(v1, [{ ...event, extra }]).status).toBe(200)
  })
})

describe.each([
  ['version 1', v1],
  ['version 2', v2],
])('%s of a report refuses', (_, path) => {
  test.each(['X-API-KEY', 'X-USER-ID', 'X-APP-ID', 'X-PLATFORM', 'X-VERSION'])(
    'a request without %s',
    (name) => {
      for (const sent of [without(name), { ...headers, [name]: ' ' }]) {
        expect(report(path, [event], sent)).toMatchObject({
          status: 400,
          body: {
            status: 'error',
            code: 'MISSING_REQUIRED_HEADER',
            message: `Missing required header: ${name}`,
          },
        })
      }
    },
  )

  test.each([
    ['65 characters', 'k'.repeat(65)],
    ['a personal key', 'phx_1234'],
    ['not ASCII', 'clé'],
  ])('an API key of %s', (_, key) => {
    expect(report(path, [event], { ...headers, 'X-API-KEY': key })).toMatchObject({
      status: 401,
      body: { status: 'error', code: 'INVALID_API_KEY', message: expect.any(String) },
    })
  })

  test.each<[string, unknown]>([
    ['no events', undefined],
    ['events that are no array', { 0: event }],
    ['an empty array', []],
    ['more events than allowed', [event, event, event, event]],
    ['an event that is none', [event, 'app_opened']],
    ['an event that is an array', [[]]],
    ['a name that is a number', [{ ...event, name: 5 }]],
    ['a user that is a number', [{ ...event, user: 5 }]],
    ['a session that is an object', [{ ...event, sessionId: {} }]],
    ['extra that is text', [{ ...event, extra: 'a' }]],
    ['extra that is an array', [{ ...event, extra: [1] }]],
  ])('%s', (_, events) => {
    expect(report(path, events)).toMatchObject({
      status: 400,
      body: { status: 'error', code: 'INVALID_PARAMETER', message: expect.any(String) },
    })
  })

  test.each([
    ['name', 'EVENT_NAME_REQUIRED', 'Event name is required'],
    ['user', 'USER_REQUIRED', 'User is required'],
    ['sessionId', 'SESSION_ID_REQUIRED', 'Session ID is required'],
  ])('an event without %s', (field, code, message) => {
    for (const empty of [undefined, null, '']) {
      expect(report(path, [event, { ...event, [field]: empty }])).toMatchObject({
        status: 400,
        body: { status: 'error', code, message },
      })
    }
  })

  test.each([[null], [5], ['events'], [[]]])('the body %j', (body) => {
    expect(exchange(contract, toRequest({ path, headers }), body)).toMatchObject({
      status: 400,
      body: { code: 'INVALID_PARAMETER' },
    })
  })
})

test.each(['my key', 'my.key', '"my.key"', "'my key'"])('an API key may be %s', (key) => {
  expect(report(v2, [event], { ...headers, 'X-API-KEY': key }).status).toBe(200)
})

test('accepts the maximum of events and an API key of 64 characters', () => {
  const sent = { ...headers, 'X-API-KEY': 'k'.repeat(64) }
  expect(report(v1, [event, event, event], sent).status).toBe(200)
})

test('the credential is the API key', () => {
  const request = toRequest({ path: v1, headers })
  const body = { value: { events: [event] }, decodedBytes: 2 }
  expect(protocol.parse(request, body)).toMatchObject({ credential: 'YOUR_API_KEY', received: 1 })
})

describe('all faults', () => {
  const faulty = [{ user: '', sessionId: 's', extra: 5 }, event, { ...event, name: 1 }]

  test('are listed by version 2, and the first one gives the code', () => {
    expect(report(v2, faulty).body).toEqual({
      status: 'error',
      code: 'EVENT_NAME_REQUIRED',
      message: 'Event name is required',
      errors: [
        error(0, 'name', 'EVENT_NAME_REQUIRED', 'Event name is required'),
        error(0, 'user', 'USER_REQUIRED', 'User is required'),
        error(0, 'extra', 'INVALID_PARAMETER', 'Extra must be an object'),
        error(2, 'name', 'INVALID_PARAMETER', 'Event name must be a string'),
      ],
    })
  })

  test('are reduced to the first by version 1', () => {
    expect(report(v1, faulty).reply.body).toBe(
      '{"status":"error","code":"EVENT_NAME_REQUIRED","message":"Event name is required"}',
    )
  })

  test('of the headers are listed by version 2 without an index', () => {
    const missing = (field: string) =>
      error(null, field, 'MISSING_REQUIRED_HEADER', `Missing required header: ${field}`)
    expect(report(v2, [event], { 'X-API-KEY': 'k', 'X-VERSION': '1' }).body).toMatchObject({
      message: 'Missing required header: X-USER-ID',
      errors: ['X-USER-ID', 'X-APP-ID', 'X-PLATFORM'].map(missing),
    })
  })

  test('of the request are one fault without an index', () => {
    expect(report(v2, []).body).toMatchObject({
      errors: [error(null, 'events', 'INVALID_PARAMETER', 'events must not be empty')],
    })
  })

  function error(index: number | null, field: string, code: string, message: string) {
    return { index, field, code, message }
  }
})

describe('a report is refused in the format of its contract:', () => {
  const codes = Object.keys(statusOf) as ErrorCode[]

  test.each(codes)('%s', (code) => {
    const error = new IngestError(code, 'why')
    const named = toNamed(code)
    const expected = { status: 'error', code: named, message: 'why' }
    expect(refusal(protocol, error, v1)).toMatchObject({ status: statusOf[code], body: expected })
    const errors = [{ index: null, field: null, code: named, message: 'why' }]
    expect(refusal(protocol, error, v2).body).toEqual({ ...expected, errors })
  })

  function toNamed(code: ErrorCode): string {
    if (code === 'missing_header') return 'MISSING_REQUIRED_HEADER'
    if (statusOf[code] === 401) return 'INVALID_API_KEY'
    return statusOf[code] === 400 ? 'INVALID_PARAMETER' : code.toUpperCase()
  }

  test('has Retry-After', () => {
    for (const code of ['too_busy', 'journal_full', 'shutting_down', 'rate_limited'] as const) {
      const error = new IngestError(code, 'why', { retryAfterSeconds: 2 })
      expect(refusal(protocol, error).headers).toEqual({ 'retry-after': '2' })
    }
    expect(refusal(protocol, new IngestError('internal_error', 'why')).headers).toEqual({})
  })
})

test('a report is JSON, compressed or not, and never a form', () => {
  expect(protocol.decode).toEqual({ bodyBytesMax: 20 * 2 ** 20, forms: false, base64: false })
})
