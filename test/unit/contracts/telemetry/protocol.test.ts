import { describe, expect, test } from 'bun:test'
import { normaliseTelemetry } from '../../../../src/contracts/telemetry/normalise.ts'
import { createTelemetryProtocol } from '../../../../src/contracts/telemetry/protocol.ts'
import { type ErrorCode, IngestError, statusOf } from '../../../../src/core/errors.ts'
import type { Outcome } from '../../../../src/core/protocol.ts'
import { exchange, refusal, toRequest } from '../link-report-telemetry.ts'

const protocol = createTelemetryProtocol({ eventsMax: 4 })
const contract = { protocol, normalise: normaliseTelemetry }
const send = (body: unknown) => exchange(contract, toRequest(), body)

const event = {
  ...{ id: 'evt_abc123', type: 'page', name: '/dashboard', ts: 1703123456789 },
  ...{ app: 'my-app', release: '1.0.0', sessionId: 'sess_xyz789' },
}

describe('telemetry answers', () => {
  test('200 and the numbers of received and stored events', () => {
    const { status, reply } = send([event, { ...event, id: 'evt_def456' }])
    expect(status).toBe(200)
    expect(reply.body).toBe('{"success":true,"received":2,"processed":2}')
  })

  test('200 to one event without an array', () => {
    expect(send(event)).toMatchObject({ status: 200, body: { received: 1, processed: 1 } })
  })

  test('200 with a line for every event that is rejected', () => {
    const body = [event, 5, { ...event, name: '' }, { ...event, type: 'click' }]
    expect(send(body)).toMatchObject({
      status: 200,
      body: {
        success: true,
        received: 4,
        processed: 1,
        errors: [
          'events[1]: an event must be an object',
          'events[2]: name must be a string of 1 to 200 characters',
          'events[3]: type must be one of page, custom, error, api, perf',
        ],
      },
    })
  })

  test('400 with every line if no event is valid', () => {
    expect(send([{}, { ...event, ts: '1' }])).toMatchObject({
      status: 400,
      body: {
        success: false,
        error: 'no event of the batch is valid',
        details: [
          'events[0]: id must be a string of 1 to 200 characters',
          'events[1]: ts must be a finite number, ms since 1970',
        ],
      },
    })
  })

  test.each<[string, Partial<Outcome>, number]>([
    ['copies count as processed', { duplicates: 3 }, 3],
    ['what a quota drops does not', { duplicates: 1, quotaLimited: ['events'] }, 1],
  ])('%s', (_, outcome, processed) => {
    const body = { value: [event, event, event], decodedBytes: 2 }
    const submission = protocol.parse(toRequest(), body)
    const none = { events: [], rejections: [], duplicates: 0, quotaLimited: [], overQuota: [] }
    const reply = protocol.reply(toRequest(), submission, { ...none, ...outcome })
    expect(reply.status).toBe(200)
    expect(JSON.parse(reply.body!)).toEqual({ success: true, received: 3, processed })
  })

  test.each<[string, unknown, string]>([
    ['nothing', null, 'invalid_batch'],
    ['a number', 5, 'invalid_batch'],
    ['text', 'event', 'invalid_batch'],
    ['an empty array', [], 'empty_batch'],
    ['five events where four are allowed', Array(5).fill(event), 'too_many_events'],
  ])('400 to %s', (_, body, code) => {
    expect(send(body)).toMatchObject({
      status: 400,
      body: { success: false, error: expect.any(String), details: { code } },
    })
  })

  test('200 to the maximum of events', () => {
    expect(send(Array(4).fill(event)).status).toBe(200)
  })
})

describe('telemetry refuses in the format of its contract:', () => {
  test.each(Object.keys(statusOf) as ErrorCode[])('%s', (code) => {
    const { status, body } = refusal(protocol, new IngestError(code, 'why'))
    expect(status).toBe(statusOf[code])
    expect(body).toEqual({ success: false, error: 'why', details: { code } })
  })

  test('has Retry-After', () => {
    const error = new IngestError('rate_limited', 'why', { retryAfterSeconds: 42 })
    expect(refusal(protocol, error).headers).toEqual({ 'retry-after': '42' })
  })
})

test('telemetry accepts beacons and no base64 bodies', () => {
  expect(protocol.decode).toEqual({ bodyBytesMax: 20 * 2 ** 20, forms: true, base64: false })
})
