import { describe, expect, test } from 'bun:test'
import { normaliseLink } from '../../../../src/contracts/link/normalise.ts'
import { linkProtocol } from '../../../../src/contracts/link/protocol.ts'
import { type ErrorCode, IngestError, statusOf } from '../../../../src/core/errors.ts'
import { exchange, refusal, toRequest } from '../link-report-telemetry.ts'

const contract = { protocol: linkProtocol, normalise: normaliseLink }
const track = (event: unknown) => exchange(contract, toRequest(), event)
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('link tracking answers', () => {
  test('201 and the id that the client sent', () => {
    expect(track({ event_type: 'click', event_id: 'evt 1' })).toMatchObject({
      status: 201,
      body: { success: true, message: 'Event tracked successfully', event_id: 'evt 1' },
    })
  })

  test.each([[{}], [{ event_id: null }], [{ event_id: '' }]])(
    '201 and an id of its own for %j',
    (without) => {
      const { status, body } = track({ event_type: 'click', ...without })
      expect(status).toBe(201)
      expect(body).toEqual({
        success: true,
        message: 'Event tracked successfully',
        event_id: expect.stringMatching(uuid),
      })
    },
  )

  test('the same for a duplicate and for an event that a quota drops', () => {
    const submission = linkProtocol.parse(toRequest(), {
      value: { event_type: 'click', event_id: 'evt 1' },
      decodedBytes: 2,
    })
    for (const duplicates of [0, 1]) {
      const limited = { quotaLimited: ['events'] as const, overQuota: [] }
      const outcome = { events: [], rejections: [], duplicates, ...limited }
      const reply = linkProtocol.reply(toRequest(), submission, outcome)
      expect(reply.status).toBe(201)
      expect(JSON.parse(reply.body!).event_id).toBe('evt 1')
    }
  })

  test.each([
    ['nothing in it', {}],
    ['null', { event_type: null }],
    ['an empty type', { event_type: '' }],
  ])('400 to an event with %s', (_, event) => {
    expect(track(event)).toMatchObject({
      status: 400,
      body: { error: 'Missing required field: event_type' },
    })
  })

  test.each([[[]], [null], ['click'], [[{ event_type: 'click' }]]])('400 to %j', (body) => {
    expect(track(body)).toMatchObject({
      status: 400,
      body: { error: 'Invalid field: body', details: expect.any(String) },
    })
  })

  test('400 and the name of an invalid field', () => {
    const { status, reply } = track({ event_type: 'click', is_bounce: 'no' })
    expect(status).toBe(400)
    expect(reply.body).toBe('{"error":"Invalid field: is_bounce"}')
  })
})

describe('link tracking refuses in the format of its contract:', () => {
  const codes = Object.keys(statusOf) as ErrorCode[]

  test.each(codes)('%s', (code) => {
    const error = new IngestError(code, 'why', { field: 'country' })
    const { status, body } = refusal(linkProtocol, error)
    expect(status).toBe(statusOf[code])
    expect(body).toEqual(expected(code, status))
  })

  function expected(code: ErrorCode, status: number) {
    if (code === 'missing_field') return { error: 'Missing required field: country' }
    if (code === 'invalid_field') return { error: 'Invalid field: country' }
    if (status >= 500) return { error: 'Failed to track event', details: 'why' }
    return status === 400 ? { error: 'Invalid field: body', details: 'why' } : { error: 'why' }
  }

  test.each<[ErrorCode, number | undefined, string | undefined]>([
    ['too_busy', undefined, '5'],
    ['journal_full', 30, '30'],
    ['rate_limited', 0.2, '1'],
    ['rate_limited', 12.5, '13'],
    ['internal_error', 30, undefined],
    ['body_too_large', 30, undefined],
  ])('%s with %p s has Retry-After %p', (code, retryAfterSeconds, header) => {
    const details = retryAfterSeconds === undefined ? {} : { retryAfterSeconds }
    const { headers } = refusal(linkProtocol, new IngestError(code, 'why', details))
    expect(headers['retry-after']).toBe(header!)
  })
})

test('link tracking accepts beacons and no base64 bodies', () => {
  expect(linkProtocol.decode).toEqual({ bodyBytesMax: 20 * 2 ** 20, forms: true, base64: false })
})
