import { describe, expect, test } from 'bun:test'
import type { ErrorCode } from '../../../src/core/errors.ts'
import { createTestPipeline, type Fault, refusal } from './test-pipeline.ts'

const nothing = { requests: 0, bytes: 0, reservations: 0, quotas: 0, claims: 0 }
const zero = { received: 0, committed: 0, accepted: 0, duplicate: 0, dropped: 0 }
const noCounts = { ...zero, quotaDropped: 0, overflowed: 0, rejected: {} }

describe('an accepted request', () => {
  test('is charged, counted and marked as seen only once it is durable', async () => {
    const { send, steps, stored, counters, held } = createTestPipeline()
    expect(await send(['a', 'b'])).toEqual({
      status: 200,
      accepted: ['a', 'b'],
      rejected: [],
      duplicates: 0,
      quotaLimited: [],
    })
    const order = ['append', 'durable', 'charge 2', 'mark seen', 'release reservation']
    expect(steps).toEqual(order)
    expect(stored.map(({ event }) => event)).toEqual(['a', 'b'])
    expect(counters).toEqual({ ...noCounts, received: 2, committed: 2, accepted: 2 })
    expect(held()).toEqual(nothing)
  })

  test('stores an event once, within a request and over several', async () => {
    const { send, stored, counters, held } = createTestPipeline()
    expect(await send(['a', 'b', 'a'])).toMatchObject({ accepted: ['a', 'b'], duplicates: 1 })
    expect(await send(['b', 'c'])).toMatchObject({ accepted: ['c'], duplicates: 1 })
    expect(stored.map(({ event }) => event)).toEqual(['a', 'b', 'c'])
    expect(counters).toMatchObject({ received: 5, committed: 3, accepted: 3, duplicate: 2 })
    expect(held()).toEqual(nothing)
  })

  test('with duplicates only appends nothing and charges nothing', async () => {
    const { send, steps } = createTestPipeline()
    await send(['a'])
    steps.length = 0
    expect(await send(['a'])).toMatchObject({ status: 200, accepted: [], duplicates: 1 })
    expect(steps).toEqual(['charge 0', 'mark seen', 'release reservation'])
  })

  test('stores rejected events as dead letters and counts dropped ones', async () => {
    const { send, stored, counters, held } = createTestPipeline()
    expect(await send(['a', 'bad b', 'drop c'])).toMatchObject({
      status: 200,
      accepted: ['a'],
      rejected: ['bad b'],
    })
    expect(stored.map(({ kind }) => kind)).toEqual(['event', 'dead_letter'])
    expect(JSON.parse(String(stored[1]!.line))).toMatchObject({
      project: 'shop',
      stage: 'normalise',
      reason: 'invalid_event',
      raw: '"bad b"',
    })
    expect(counters).toEqual({
      ...noCounts,
      received: 3,
      committed: 1,
      accepted: 1,
      dropped: 1,
      rejected: { invalid_event: 1 },
    })
    expect(held()).toEqual(nothing)
  })

  test('stores 100 dead letters, and one that counts the other rejected events', async () => {
    const { send, stored, counters, held } = createTestPipeline()
    const bad = Array.from({ length: 250 }, (_, index) => `bad ${index}`)
    expect(await send([...bad, 'a'])).toMatchObject({ status: 200, accepted: ['a'] })
    expect(stored).toHaveLength(1 + 100 + 1)
    expect(JSON.parse(String(stored.at(-1)!.line))).toMatchObject({
      reason: 'more_rejected',
      detail: '150 more events of this request were rejected; raw counts them by code',
      raw: '{"invalid_event":150}',
    })
    expect(counters).toMatchObject({ received: 251, accepted: 1, rejected: { invalid_event: 250 } })
    expect(held()).toEqual(nothing)
  })

  test('counts each altered event that is stored, and each duplicate, by project', async () => {
    const { send, altered } = createTestPipeline()
    await send(['a', 'altered b', 'altered b', 'bad c'])
    await send(['a', 'altered d'])
    expect(altered()).toEqual({ duplicate: 2, text_cut: 2 })
  })

  test('stores and claims only the events within the quota', async () => {
    const { send, limitQuota, stored, counters, held } = createTestPipeline()
    limitQuota(1)
    expect(await send(['a', 'b', 'c'])).toMatchObject({
      accepted: ['a'],
      duplicates: 0,
      quotaLimited: ['events'],
    })
    expect(stored).toHaveLength(1)
    expect(counters).toMatchObject({ received: 3, accepted: 1, quotaDropped: 2 })
    limitQuota(3)
    expect(await send(['b', 'c'])).toMatchObject({ accepted: ['b', 'c'], duplicates: 0 })
    expect(held()).toEqual(nothing)
  })
})

/** `isParsed`: the events of the request are known, and count as received and rejected. */
type FailureCase = { name: string; fault: Fault; isParsed: boolean; code: ErrorCode }

const failure = (
  fault: Omit<Fault, 'error'>,
  code: ErrorCode,
  { isParsed = true, error = refusal(code) as Error } = {},
): FailureCase => {
  const name = `${fault.point} ${fault.isAsync ? 'rejects' : 'throws'} ${code}`
  return { name, fault: { ...fault, error }, isParsed, code }
}
const early = { isParsed: false }
const broken = { error: new Error('a bug') }

const failures: FailureCase[] = [
  failure({ point: 'assertOpen' }, 'shutting_down', early),
  failure({ point: 'admit' }, 'too_busy', early),
  failure({ point: 'read', isAsync: true }, 'body_timeout', early),
  failure({ point: 'turn' }, 'too_busy', early),
  failure({ point: 'turn', isAsync: true }, 'too_busy', early),
  failure({ point: 'charge memory' }, 'too_busy', early),
  failure({ point: 'parse' }, 'invalid_batch', early),
  failure({ point: 'find project' }, 'unknown_token'),
  failure({ point: 'rate' }, 'rate_limited'),
  failure({ point: 'rate', isAsync: true }, 'rate_limited'),
  failure({ point: 'normalise' }, 'invalid_field'),
  failure({ point: 'normalise' }, 'internal_error', broken),
  failure({ point: 'quota' }, 'internal_error', broken),
  failure({ point: 'quota', isAsync: true }, 'internal_error', broken),
  failure({ point: 'claim' }, 'internal_error', broken),
  failure({ point: 'claim', isAsync: true }, 'too_busy'),
  failure({ point: 'reserve' }, 'journal_full'),
  failure({ point: 'divert' }, 'internal_error', broken),
  failure({ point: 'append' }, 'journal_failed'),
  failure({ point: 'append' }, 'internal_error', broken),
  failure({ point: 'commit', isAsync: true }, 'journal_failed'),
  failure({ point: 'commit', isAsync: true }, 'internal_error', broken),
]

describe.each(failures)('if $name', ({ fault, isParsed, code }) => {
  test('refuses in the form of the contract, counts once, and holds nothing', async () => {
    const { send, fail, stored, steps, counters, logged, held } = createTestPipeline()
    fail(fault)
    const { status, ...reply } = await send(['a', 'b', 'bad c'])
    expect(status).toBeGreaterThanOrEqual(400)
    expect(reply).toEqual({ code })
    const counted = isParsed ? { received: 3, rejected: { [code]: 3 } } : {}
    expect(counters).toEqual({ ...noCounts, ...counted })
    expect(stored).toEqual([])
    expect(steps).not.toContain('mark seen')
    expect(steps.join()).not.toContain('charge')
    expect(held()).toEqual(nothing)
    // Only faults of the server are logged.
    const isFault = code === 'internal_error'
    expect(logged).toEqual(isFault ? [expect.objectContaining({ id: 'request' })] : [])
  })

  test('stores the events of a request that its contract refuses as dead letters', async () => {
    const { send, stored, counters, held, steps } = createTestPipeline()
    expect(await send(['a', 'refuse b'])).toEqual({ status: 400, code: 'invalid_field' })
    expect(stored.map(({ kind }) => kind)).toEqual(['dead_letter', 'dead_letter'])
    expect(counters).toEqual({ ...noCounts, received: 2, rejected: { invalid_event: 2 } })
    expect(steps).toContain('charge 0')
    expect(held()).toEqual(nothing)
    expect(await send(['a'])).toMatchObject({ status: 200, accepted: ['a'] })
  })

  test('accepts a retry', async () => {
    const { send, fail, counters, held } = createTestPipeline()
    fail(fault)
    await send(['a', 'b'])
    fail(undefined)
    expect(await send(['a', 'b'])).toMatchObject({ accepted: ['a', 'b'], duplicates: 0 })
    expect(counters).toMatchObject({ committed: 2, accepted: 2, duplicate: 0 })
    expect(held()).toEqual(nothing)
  })
})

test('refuses a body that is not JSON, and holds nothing', async () => {
  const { sendText, counters, held } = createTestPipeline()
  expect(await sendText('{"events":')).toMatchObject({
    status: 400,
    body: '{"code":"invalid_json"}',
  })
  expect(counters).toEqual(noCounts)
  expect(held()).toEqual(nothing)
})

test('if marking as seen fails, events are committed and a retry is a duplicate', async () => {
  const { send, fail, stored, counters, held } = createTestPipeline()
  fail({ point: 'mark seen', isAsync: true, error: new Error('no') })
  expect(await send(['a'])).toEqual({ status: 500, code: 'internal_error' })
  expect(stored).toHaveLength(1)
  expect(counters).toEqual({
    ...noCounts,
    received: 1,
    committed: 1,
    rejected: { internal_error: 1 },
  })
  fail(undefined)
  expect(await send(['a'])).toMatchObject({ status: 200, accepted: [], duplicates: 1 })
  expect(held()).toEqual(nothing)
})

test.each([
  ['takes the event over if that fails', refusal('journal_failed'), ['a', 'b']],
  ['has a duplicate if that succeeds', undefined, ['b']],
])('a request waits for another with the same event, and %s', async (_, error, accepted) => {
  const { send, fail, steps, stored, held } = createTestPipeline()
  const gate = Promise.withResolvers<void>()
  fail({ point: 'commit', after: gate.promise, ...(error && { error }) })
  const first = send(['a'])
  while (!steps.includes('append')) await Promise.resolve()
  fail(undefined)
  const second = send(['a', 'b'])
  while (held().claims < 2) await Promise.resolve()
  gate.resolve()
  expect(await first).toMatchObject(error ? { code: 'journal_failed' } : { accepted: ['a'] })
  expect(await second).toMatchObject({ status: 200, accepted })
  expect(stored.map(({ event }) => event)).toEqual(['a', 'b'])
  expect(held()).toEqual(nothing)
})
