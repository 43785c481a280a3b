import { describe, expect, test } from 'bun:test'
import { capture, captureOne, project, type Run } from '../capture/capture-request.ts'

const uuid = '0192f0c1-2b3c-7d4e-8f50-617283940a1b'
const otherUuid = '0192f0c1-2b3c-7d4e-8f50-617283940a1c'
const timestamp = '2026-01-01T11:59:00Z'
const event = { token: 'phc_a', event: 'e', distinct_id: 'u', uuid, timestamp, properties: {} }

const dedupKeyOf = (changes: object = {}, run: Run = {}) =>
  captureOne({ ...event, ...changes }, run).dedupKey
const uuidOf = (changes: object = {}, run: Run = {}) =>
  captureOne({ ...event, ...changes }, run).row.uuid

const bare = { uuid: undefined }
const derived = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const long = (end: string) => 'x'.repeat(200) + end
const contract: Run = { dedupIdentity: 'contract' }

test('a dedup key is 128 bits of SHA-1, the same in every process', () => {
  const text = `capture\n11\nphc_project\n1\n1\nueu${uuid}`
  const sha1 = new Bun.CryptoHasher('sha1').update(text).digest('hex')
  expect(dedupKeyOf()).toBe(sha1.slice(0, 32))
})

describe('two events are the same when they differ in', () => {
  test.each<[string, object, object, Run]>([
    ['nothing', {}, {}, {}],
    ['their timestamps but not their uuids', {}, { timestamp: '2020-01-01' }, {}],
    ['the case of the uuid', {}, { uuid: uuid.toUpperCase() }, {}],
    ['their properties', {}, { properties: { a: 1 } }, {}],
    ['their tokens, in one project', {}, { token: 'phc_b' }, {}],
    ['what their ids are cut by', { distinct_id: long('a') }, { distinct_id: long('b') }, {}],
    ['lone surrogates of names', { event: '\ud800' }, { event: '\udfff' }, {}],
    ['the hyphens of the uuid', {}, { uuid: uuid.replaceAll('-', '') }, {}],
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
    ['their names', {}, { event: 'f' }, {}],
    ['their people', {}, { distinct_id: 'v' }, {}],
    [
      'their uuids, behind an id that is cut',
      { distinct_id: long('a') },
      { distinct_id: long('b'), uuid: otherUuid },
      {},
    ],
    [
      'lone surrogates of times',
      { ...bare, timestamp: '\ud800' },
      { ...bare, timestamp: '\ud801' },
      {},
    ],
    ['what is escaped', { ...bare, timestamp: '\ud800' }, { ...bare, timestamp: '"\\ud800"' }, {}],
    ['where a name ends', { distinct_id: 'ab', event: 'c' }, { distinct_id: 'a', event: 'bc' }, {}],
    ['their timestamps, by the contract’s letter', {}, { timestamp: '2020-01-01' }, contract],
    ['a time that looks like a uuid', {}, { ...bare, timestamp: uuid }, {}],
  ])('%s', (_, one, other, run) => {
    expect(dedupKeyOf(one, run)).not.toBe(dedupKeyOf(other, run) as string)
  })
})

test('events of two projects are different', () => {
  const other: Run = { project: { ...project, id: 'phc_other' } }
  expect(dedupKeyOf({}, other)).not.toBe(dedupKeyOf() as string)
  expect(uuidOf(bare, other)).not.toBe(uuidOf(bare))
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

  const hex = uuid.replaceAll('-', '')
  test.each([
    ...[hex, hex.toUpperCase(), `{${uuid}}`, `{${uuid.toUpperCase()}}`, `{${hex}}`],
    ...[`urn:uuid:${uuid}`, `URN:UUID:${uuid}`],
  ])('is read from %p', (sent) => {
    expect(uuidOf({ uuid: sent })).toBe(uuid)
    expect(dedupKeyOf({ uuid: sent })).toBe(dedupKeyOf() as string)
  })

  const malformed = [
    ...[`{${uuid}`, `${uuid}}`, `urn:uuid:{${uuid}}`, `${uuid.slice(0, 23)}${uuid.slice(24)}`],
    ...[`${uuid}0`, uuid.replace('2', 'g'), ` ${uuid}`, '0'.repeat(32)],
  ]
  test.each([undefined, null, '', 5, {}, 'x', ...malformed])(
    'is derived from the dedup key where the client sent %p, so that a retry gets it again',
    (sent) => {
      expect(uuidOf({ uuid: sent })).toMatch(derived)
      expect(uuidOf({ uuid: sent })).toBe(uuidOf({ uuid: sent, offset: 1 }))
      expect(uuidOf({ uuid: sent })).not.toBe(uuidOf({ uuid: sent, distinct_id: 'v' }))
    },
  )

  test('of another event cannot be claimed by sending the one that it derives', () => {
    const victim = uuidOf(bare)
    expect(uuidOf({ uuid: victim })).toMatch(derived)
    expect(uuidOf({ uuid: victim })).not.toBe(victim)
    expect(uuidOf({ uuid: victim })).toBe(uuidOf({ uuid: victim, timestamp: '2020-01-01' }))
  })

  test('is a new UUIDv7 for an event without identity', () => {
    const nothing = { ...bare, timestamp: undefined }
    expect(uuidOf(nothing)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    expect(uuidOf(nothing)).not.toBe(uuidOf(nothing))
  })
})

describe('events of one request without uuids, with one name, person and time', () => {
  const burst = (...numbers: number[]) =>
    numbers.map((n) => ({ ...event, ...bare, properties: { n } }))
  const dedupKeysOf = (events: object[], run: Run = {}) =>
    capture(events, run).events.map(({ dedupKey }) => dedupKey)
  const uuidsOf = (events: object[]) => capture(events).events.map(({ row }) => row.uuid)

  test('are different if their properties are', () => {
    const events = burst(...Array(20).keys())
    expect(new Set(dedupKeysOf(events)).size).toBe(20)
    expect(new Set(uuidsOf(events)).size).toBe(20)
    for (const uuid of uuidsOf(events)) expect(uuid).toMatch(derived)
  })

  test('are different if only $set is', () => {
    const events = [{ a: 1 }, { a: 2 }].map(($set) => ({ ...event, ...bare, $set }))
    expect(new Set(dedupKeysOf(events)).size).toBe(2)
  })

  test('are duplicates if their properties are equal', () => {
    const [a, b, again, c, b2] = dedupKeysOf(burst(1, 2, 1, 3, 2))
    expect(again).toBe(a!)
    expect(b2).toBe(b!)
    expect(new Set([a, b, c]).size).toBe(3)
  })

  test('have the same keys in a retry, also by another token', () => {
    const retry = burst(1, 2, 3).map((one) => ({ ...one, token: 'phc_b', offset: 5 }))
    expect(dedupKeysOf(retry)).toEqual(dedupKeysOf(burst(1, 2, 3)))
    expect(uuidsOf(retry)).toEqual(uuidsOf(burst(1, 2, 3)))
  })

  test('keep the key of the first, which is that of the event alone', () => {
    expect(dedupKeysOf(burst(1, 2))[0]).toBe(dedupKeyOf(bare)!)
  })

  test('are duplicates with DEDUP_IDENTITY=contract', () => {
    expect(new Set(dedupKeysOf(burst(1, 2, 3), contract)).size).toBe(1)
  })

  test('stay duplicates with one uuid, and are new without a time', () => {
    const withUuid = burst(1, 2).map((one) => ({ ...one, uuid }))
    expect(new Set(dedupKeysOf(withUuid)).size).toBe(1)
    const untimed = burst(1, 2).map((one) => ({ ...one, timestamp: undefined }))
    expect(dedupKeysOf(untimed)).toEqual([undefined, undefined])
  })
})
