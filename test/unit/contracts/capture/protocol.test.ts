import { describe, expect, test } from 'bun:test'
import { captureProtocol, recordingProtocol } from '../../../../src/contracts/capture/protocol.ts'
import { type ErrorCode, IngestError } from '../../../../src/core/errors.ts'
import type { Rejection } from '../../../../src/core/event.ts'
import type { Outcome } from '../../../../src/core/protocol.ts'
import { toBody, toRequest } from './capture-request.ts'

type Request = Parameters<typeof toRequest>[0]
const parse = (value: unknown, request: Request = {}) =>
  captureProtocol.parse(toRequest(request), toBody(value))

function refusal(call: () => unknown): IngestError {
  try {
    call()
  } catch (error) {
    if (error instanceof IngestError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

const plain = (token?: unknown) => ({ event: 'a', distinct_id: 'u', token })
const inProperties = (token?: unknown) => ({ event: 'a', properties: { distinct_id: 'u', token } })
const header = { headers: { Token: 'phc_h' } }

describe('the token', () => {
  test.each<[string, unknown, Request, string]>([
    ['of the batch root', { token: 'phc_a', batch: [plain()] }, {}, 'phc_a'],
    ['of the batch root as api_key', { api_key: 'phc_a', batch: [plain()] }, {}, 'phc_a'],
    ['of an event', plain('phc_a'), {}, 'phc_a'],
    ['of an event as $token', { ...plain(), $token: 'phc_a' }, {}, 'phc_a'],
    ['of an event as api_key', [{ ...plain(), api_key: 'phc_a' }], {}, 'phc_a'],
    ['of the properties', inProperties('phc_a'), {}, 'phc_a'],
    ['of an event in a batch without one', { batch: [plain('phc_a')] }, {}, 'phc_a'],
    ['of the header', plain(), header, 'phc_h'],
    ['of the body before the header', plain('phc_a'), header, 'phc_a'],
    ['of the root with a dot and a space', { token: 'my. a', batch: [plain()] }, {}, 'my. a'],
    ['of the root in quotes', { token: ' "phc_a" ', batch: [plain('phc_a')] }, {}, 'phc_a'],
    ['of an event in quotes', [plain("'phc_a'"), plain('phc_a ')], {}, 'phc_a'],
    ['of a property in white space', inProperties('\tphc_a\n'), {}, 'phc_a'],
    ['of the header in quotes', plain(), { headers: { Token: '"phc_h"' } }, 'phc_h'],
    ['of the root before the header', { token: 'phc_a', batch: [plain()] }, header, 'phc_a'],
    ['of the root beside equal ones', { token: 'phc_a', batch: [plain('phc_a')] }, {}, 'phc_a'],
    ['of the one event that has any', [plain('phc_a'), plain()], {}, 'phc_a'],
    [
      'of the event root before its properties',
      { ...inProperties('mine'), token: 'phc_a' },
      {},
      'phc_a',
    ],
    [
      'of the root before a property of that name',
      { api_key: 'phc_a', batch: [inProperties('push')] },
      {},
      'phc_a',
    ],
    ['of the header where the event has an empty one', plain(''), header, 'phc_h'],
    ['of the header where a property is no token', inProperties({ a: 1 }), header, 'phc_h'],
    ['of the header beside what is no event', [1, null, 'x'], header, 'phc_h'],
    ['of 64 bytes', plain('x'.repeat(64)), {}, 'x'.repeat(64)],
  ])('is taken %s', (_, value, request, expected) => {
    expect(parse(value, request).credential).toBe(expected)
  })

  test.each<[string, ErrorCode, unknown, Request]>([
    ['is nowhere', 'missing_token', plain(), {}],
    ['is empty', 'missing_token', plain(''), {}],
    ['is null', 'missing_token', plain(null), {}],
    ['is over 64 bytes', 'invalid_token', plain('x'.repeat(65)), {}],
    ['is not ASCII', 'invalid_token', plain('项目令牌'), {}],
    ['holds control characters', 'invalid_token', plain('phc_\u0000'), {}],
    ['is a personal key', 'invalid_token', plain('phx_secret'), {}],
    ['is a personal key in quotes', 'invalid_token', plain('"phx_secret"'), {}],
    ['is white space only', 'invalid_token', plain('  '), {}],
    ['is a number', 'invalid_token', plain(5), {}],
    ['is an object', 'invalid_token', { token: {}, batch: [plain()] }, {}],
    ['is a bad header', 'invalid_token', plain(), { headers: { Token: 'x'.repeat(65) } }],
    ['differs between events', 'mixed_tokens', [plain('phc_a'), plain('phc_b')], {}],
    [
      'differs between properties',
      'mixed_tokens',
      [inProperties('phc_a'), inProperties('phc_b')],
      {},
    ],
    [
      'differs from that of the batch',
      'mixed_tokens',
      { token: 'phc_a', batch: [plain('phc_b')] },
      {},
    ],
    ['differs from the default of the rest', 'mixed_tokens', [plain('phc_a'), plain()], header],
  ])('refuses with 401 when it %s', (_, code, value, request) => {
    const error = refusal(() => parse(value, request))
    expect([error.code, error.status]).toEqual([code, 401])
  })
})

describe('the shape of a body', () => {
  test.each<[string, unknown, number]>([
    ['one event', plain('t'), 1],
    ['an array', [plain('t'), plain('t')], 2],
    ['a batch', { token: 't', batch: [plain(), plain(), plain()] }, 3],
    ['an engage event without a name', { $token: 't', $distinct_id: 'u', $set: {} }, 1],
    ['an event with a batch of its own', { ...plain('t'), batch: 'of eggs' }, 1],
    ['events that are none', { token: 't', batch: [null, 1, 'x', []] }, 4],
  ])('accepts %s', (_, value, received) => {
    const submission = parse(value)
    expect([submission.received, submission.events.length]).toEqual([received, received])
  })

  test.each<[string, ErrorCode, unknown]>([
    ['an empty array', 'empty_batch', []],
    ['an empty batch', 'empty_batch', { token: 't', batch: [] }],
    ['a batch that is no array', 'invalid_batch', { token: 't', batch: {} }],
    ['a string', 'invalid_batch', 'event'],
    ['a number', 'invalid_batch', 5],
    ['null', 'invalid_batch', null],
    [
      'more events than rows fit in memory',
      'too_many_events',
      Array.from({ length: 100_001 }, () => 0),
    ],
  ])('refuses %s with 400', (_, code, value) => {
    const error = refusal(() => parse(value))
    expect([error.code, error.status]).toEqual([code, 400])
  })

  test.each<[string, unknown, string, unknown]>([
    ['the body', { ...plain('t'), sent_at: 'then' }, 'sent_at=1&_=2', 'then'],
    ['the batch', { token: 't', batch: [plain()], sent_at: 5 }, '', 5],
    ['?sent_at', plain('t'), 'sent_at=1&_=2', '1'],
    ['?_', [plain('t')], '_=2', '2'],
    ['nowhere', plain('t'), '', null],
  ])('takes sent_at from %s', (_, value, query, expected) => {
    expect(parse(value, { query }).sentAt).toBe(expected)
  })

  test.each<[unknown, boolean]>([
    [true, true],
    [false, false],
    [undefined, false],
    ['true', false],
  ])('reads historical_migration %p as %p', (historical_migration, expected) => {
    const value = { token: 't', batch: [plain()], historical_migration }
    expect(parse(value).isHistorical).toBe(expected)
  })
})

test('recordings may be larger than events and have the same encodings', () => {
  expect(captureProtocol.decode).toEqual({
    bodyBytesMax: 20 * 1024 * 1024,
    forms: true,
    base64: true,
  })
  expect(recordingProtocol.decode).toEqual({
    ...captureProtocol.decode,
    bodyBytesMax: 25 * 1024 * 1024,
  })
})

describe('the reply', () => {
  const bad = (index: number, code: ErrorCode = 'event_name_too_long'): Rejection => ({
    index,
    code,
    message: `what is wrong with ${index}`,
    raw: {},
  })
  const reply = (outcome: Partial<Outcome> = {}, query = '') => {
    const submission = parse([plain('t'), plain('t')])
    const none = { events: [], rejections: [], duplicates: 0, quotaLimited: [], overQuota: [] }
    const whole = { ...none, ...outcome }
    return captureProtocol.reply(toRequest({ query }), submission, whole)
  }

  test('to success is 200 and exactly the body of the contract', () => {
    expect(reply()).toEqual({ status: 200, body: '{"code":1,"status":"ok"}' })
    expect(reply({ duplicates: 2 })).toEqual({ status: 200, body: '{"code":1,"status":"ok"}' })
  })

  test('to a beacon is an empty 204', () => {
    expect(reply({}, 'beacon=1')).toEqual({ status: 204, body: null })
    expect(reply({ quotaLimited: ['events'] }, 'beacon=1')).toEqual({ status: 204, body: null })
    expect(reply({}, 'beacon=0').status).toBe(200)
  })

  test('names the categories that a quota dropped', () => {
    expect(reply({ quotaLimited: ['events', 'exceptions'] })).toEqual({
      status: 200,
      body: '{"code":1,"status":"ok","quota_limited":["events","exceptions"]}',
    })
  })

  test('names the rejected events of a partly valid batch', () => {
    expect(reply({ rejections: [bad(1)] })).toEqual({
      status: 200,
      body: '{"code":1,"status":"ok","rejected":[{"index":1,"error":"event_name_too_long"}]}',
    })
  })

  test.each<[ErrorCode, number]>([
    ['missing_distinct_id', 400],
    ['event_too_large', 413],
  ])('is the error of the first event, %s, when all are rejected', (code, status) => {
    const { status: actual, body } = reply({ rejections: [bad(0, code), bad(1)] }, 'beacon=1')
    expect(actual).toBe(status)
    expect(body).toBe(
      `{"code":0,"status":"error","error":"${code}","detail":"what is wrong with 0"}`,
    )
  })
})

describe('the reply to a refused request', () => {
  test.each<[ErrorCode, number, string | undefined]>([
    ['invalid_json', 400, undefined],
    ['missing_token', 401, undefined],
    ['body_too_large', 413, undefined],
    ['internal_error', 500, undefined],
    ['rate_limited', 429, '7'],
    ['journal_full', 503, '7'],
  ])('%s is JSON with status %i', (code, status, retryAfter) => {
    const error = new IngestError(code, 'one sentence', { retryAfterSeconds: 6.2 })
    const reply = captureProtocol.refuse(error, toRequest())
    expect(reply.status).toBe(status)
    expect(reply.body).toBe(`{"code":0,"status":"error","error":"${code}","detail":"one sentence"}`)
    expect(reply.headers?.['retry-after']).toBe(retryAfter as string)
  })

  test('has Retry-After also without a given time', () => {
    const reply = captureProtocol.refuse(new IngestError('too_busy', ''), toRequest())
    expect(Number(reply.headers?.['retry-after'])).toBeGreaterThan(0)
  })
})
