import { describe, expect, test } from 'bun:test'
import { captureOne, type Run } from '../capture/capture-request.ts'

const uuid = '0192f0c1-2b3c-7d4e-8f50-617283940a1b'
const otherUuid = '0192f0c1-2b3c-7d4e-8f50-617283940a1c'
const timestamp = '2026-01-01T11:59:00Z'
const event = { token: 'phc_a', event: 'e', distinct_id: 'u', uuid, timestamp, properties: {} }

const dedupKeyOf = (changes: object = {}, run: Run = {}) =>
  captureOne({ ...event, ...changes }, run).dedupKey
const uuidOf = (changes: object = {}, run: Run = {}) =>
  captureOne({ ...event, ...changes }, run).row.uuid

const bare = { uuid: undefined }
const long = (end: string) => 'x'.repeat(200) + end
const contract: Run = { dedupIdentity: 'contract' }

test('a dedup key is 128 bits of SHA-1, the same in every process', () => {
  const text = `phc_a\n1\n1\nueu${uuid}`
  const sha1 = new Bun.CryptoHasher('sha1').update(text).digest('hex')
  expect(dedupKeyOf()).toBe(sha1.slice(0, 32))
})

describe('two events are the same when they differ in', () => {
  test.each<[string, object, object, Run]>([
    ['nothing', {}, {}, {}],
    ['their timestamps but not their uuids', {}, { timestamp: '2020-01-01' }, {}],
    ['the case of the uuid', {}, { uuid: uuid.toUpperCase() }, {}],
    ['their properties', {}, { properties: { a: 1 } }, {}],
    ['their offsets, without uuids', { ...bare, offset: 1 }, { ...bare, offset: 2 }, {}],
    ['how they say that they have no uuid', { uuid: '' }, { uuid: null }, {}],
    ['how an id is written', { distinct_id: 1 }, { distinct_id: '1' }, {}],
    ['where the id is written', {}, { distinct_id: null, properties: { distinct_id: 'u' } }, {}],
    ['their uuids, by the contract’s letter', {}, { uuid: otherUuid }, contract],
    ['having a uuid, by the contract’s letter', {}, bare, contract],
  ])('%s', (_, one, other, run) => {
    expect(dedupKeyOf(one, run)).toMatch(/^[0-9a-f]{32}$/)
    expect(dedupKeyOf(one, run)).toBe(dedupKeyOf(other, run) as string)
  })
})

describe('two events are different when they differ in', () => {
  test.each<[string, object, object, Run]>([
    ['their uuids, in one millisecond', {}, { uuid: otherUuid }, {}],
    ['having a uuid', {}, bare, {}],
    ['their timestamps, without uuids', bare, { ...bare, timestamp: '2020-01-01' }, {}],
    ['how they write the timestamp', bare, { ...bare, timestamp: '2026-01-01T11:59:00.0Z' }, {}],
    ['ids that are no uuids', { uuid: 'a' }, { uuid: 'b' }, {}],
    ['their tokens', {}, { token: 'phc_b' }, {}],
    ['their names', {}, { event: 'f' }, {}],
    ['their people', {}, { distinct_id: 'v' }, {}],
    ['what an id is cut by', { distinct_id: long('a') }, { distinct_id: long('b') }, {}],
    ['where a name ends', { distinct_id: 'ab', event: 'c' }, { distinct_id: 'a', event: 'bc' }, {}],
    ['their timestamps, by the contract’s letter', {}, { timestamp: '2020-01-01' }, contract],
    ['a time that looks like a uuid', {}, { ...bare, timestamp: uuid }, {}],
  ])('%s', (_, one, other, run) => {
    expect(dedupKeyOf(one, run)).not.toBe(dedupKeyOf(other, run) as string)
  })
})

describe('an event has no identity', () => {
  test.each<[string, object, Run]>([
    ['with neither uuid nor timestamp', { ...bare, timestamp: undefined }, {}],
    ['with both empty', { uuid: '', timestamp: '' }, {}],
    ['with an offset alone', { ...bare, timestamp: null, offset: 5 }, {}],
    ['with an id that may be a constant', { uuid: 'undefined', timestamp: null }, {}],
    ['with the nil uuid', { uuid: '00000000-0000-0000-0000-000000000000', timestamp: null }, {}],
    ['with a timestamp that is none', { ...bare, timestamp: { at: 5 } }, {}],
    ['without a timestamp, by the contract’s letter', { timestamp: undefined }, contract],
  ])('%s', (_, changes, run) => {
    expect(dedupKeyOf(changes, run)).toBeUndefined()
  })
})

describe('the uuid', () => {
  test.each([
    ['is the client’s', uuid, uuid],
    ['is lower-cased', uuid.toUpperCase(), uuid],
    [
      'may be of any version',
      '0192f0c1-2b3c-1d4e-0f50-617283940a1b',
      '0192f0c1-2b3c-1d4e-0f50-617283940a1b',
    ],
  ])('%s', (_, sent, expected) => {
    expect(uuidOf({ uuid: sent })).toBe(expected)
    expect(uuidOf({ uuid: sent }, contract)).toBe(expected)
  })

  test.each([undefined, null, '', 5, {}, 'x', `${uuid}0`, `{${uuid}}`, uuid.replace('2', 'g')])(
    'is derived from the marker where the client sent %p, so that a retry gets it again',
    (sent) => {
      const derived = uuidOf({ uuid: sent })
      expect(derived).toMatch(
        /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      )
      expect(derived).toBe(uuidOf({ uuid: sent, offset: 1 }))
      expect(derived).not.toBe(uuidOf({ uuid: sent, distinct_id: 'v' }))
    },
  )

  test('is a new UUIDv7 for an event without identity', () => {
    const nothing = { ...bare, timestamp: undefined }
    expect(uuidOf(nothing)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    expect(uuidOf(nothing)).not.toBe(uuidOf(nothing))
  })
})
