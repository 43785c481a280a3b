import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  correctTimestamp,
  createIsoTime,
  parseSentAt,
  parseTime,
} from '../../../../src/contracts/shared/time.ts'

const noonMs = Date.parse('2024-03-21T12:00:00.000Z')

describe('a time is read from', () => {
  test.each<[unknown, number]>([
    ['2024-03-21T12:00:00Z', 0],
    ['2024-03-21T12:00:00.000Z', 0],
    ['2024-03-21T12:00:00.007Z', 7],
    ['2024-03-21T12:00:00.5Z', 500],
    ['2024-03-21T12:00:00,25Z', 250],
    ['2024-03-21T12:00:00.123456+00:00', 123],
    ['2024-03-21T12:00:00.1239999999Z', 123],
    ['2024-03-21T20:00:00+08:00', 0],
    ['2024-03-21T20:00:00+0800', 0],
    ['2024-03-21T20:00:00.000+0800', 0],
    ['2024-03-21T20:00:00+08', 0],
    ['2024-03-21T06:30:00-05:30', 0],
    ['2024-03-21 12:00:00', 0],
    ['2024-03-21T12:00:00', 0],
    ['2024-03-21T12:00', 0],
    ['2024-03-21T12:00Z', 0],
    ['2024-03-21t12:00:00z', 0],
    ['2024-03-21T120000Z', 0],
    ['2024-03-21 12:00:00 +00:00', 0],
    ['2024-03-21', -12 * 3_600_000],
    ['2024-3-21', -12 * 3_600_000],
    [noonMs * 1e3, 0],
    [noonMs * 1e6, 0],
    [`${noonMs}000000`, 0],
    [` ${noonMs} `, 0],
    ['2024-03-20T24:00:00Z', -12 * 3_600_000],
    ['2024-03-21T11:59:60Z', 0],
    ['Thu, 21 Mar 2024 12:00:00 GMT', 0],
    ['Thu Mar 21 2024 20:00:00 GMT+0800 (China Standard Time)', 0],
    [noonMs, 0],
    [noonMs + 0.9, 0],
    [noonMs / 1000, 0],
    [String(noonMs), 0],
    [String(noonMs / 1000), 0],
    [`${noonMs / 1000}.25`, 250],
  ])('%p', (value, expectedMs) => {
    expect(parseTime(value)! - noonMs).toBe(expectedMs)
  })

  test('a day of February that exists only in leap years', () => {
    expect(parseTime('2024-02-29T00:00:00Z')).toBe(Date.UTC(2024, 1, 29))
    expect(parseTime('2023-02-29T00:00:00Z')).toBeUndefined()
  })

  test.each([
    ...['', 'yesterday', '事件', '2024', '2024-13-01', '2024-00-10', '2024-02-30'],
    ...['2024-03-21T25:00:00Z', '2024-03-21T12:60:00Z', '2024-03-21T12:00:61Z'],
    ...['2024-03-21T12:00:00.Z', '2024-03-21T12:00:00X', '0000-01-01T00:00:00Z', '0001-01-01'],
    ...['10000-01-01T00:00:00Z', '+010000-01-01T00:00:00Z', '99999999999999999999999999'.repeat(3)],
    ...[null, undefined, true, {}, [[]], Number.NaN, Number.POSITIVE_INFINITY],
    ...['2024-03-21T12:00:00.000Z'.padEnd(1_000_000, ' '), JSON.parse('{"__proto__":1}')],
  ])('but not from %p', (value) => {
    expect(parseTime(value)).toBeUndefined()
  })

  test('an ISO time of JavaScript is read as by JavaScript, after any other time', () => {
    const dates = fc.date({
      min: new Date('0100-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(dates, (date) => expect(parseTime(date.toISOString())).toBe(date.getTime())),
    )
  })

  test('any text gives a whole number of ms or undefined', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.stringMatching(/^[-0-9TZ:.+ ,]{0,40}$/),
    )
    fc.assert(
      fc.property(texts, (text) => {
        const ms = parseTime(text)
        expect(ms === undefined || Number.isInteger(ms)).toBe(true)
      }),
    )
  })

  test.each(['America/New_York', 'Asia/Kolkata'])('in UTC on a server in %s', (zone) => {
    const script = `import { parseTime } from '${import.meta.dir}/../../../../src/contracts/shared/time.ts'
      console.log(['2024-03-21T12:00:00', '2024-03-21 12:00', '2024-03-21'].map(parseTime).join())`
    const { stdout } = Bun.spawnSync(['bun', '-e', script], { env: { ...process.env, TZ: zone } })
    expect(stdout.toString().trim()).toBe([noonMs, noonMs, noonMs - 43_200_000].join())
  })
})

describe('the time of an event', () => {
  const receivedMs = Date.parse('2026-01-01T12:00:00Z')
  const hour = 3_600_000
  type Client = Partial<Parameters<typeof correctTimestamp>[0]>
  const at = (client: Client) =>
    correctTimestamp(
      {
        timestamp: undefined,
        offset: undefined,
        sentAtMs: undefined,
        ignoreSentAt: false,
        isAsSent: false,
        skewMsMin: 5000,
        ...client,
      },
      receivedMs,
    ) - receivedMs

  test.each<[string, Client, number]>([
    ['is the timestamp', { timestamp: '2026-01-01T11:59:00Z' }, -60_000],
    ['is that of receipt without one', {}, 0],
    ['is that of receipt where it cannot be read', { timestamp: 'yesterday' }, 0],
    [
      'has the skew of a clock ahead taken off',
      { timestamp: '2026-01-01T13:00:00Z', sentAtMs: receivedMs + hour },
      0,
    ],
    [
      'has the skew of a clock behind put on',
      { timestamp: '2026-01-01T10:59:30Z', sentAtMs: receivedMs - hour },
      -30_000,
    ],
    [
      'keeps the skew on request',
      { timestamp: '2026-01-01T13:00:00Z', sentAtMs: receivedMs + hour, ignoreSentAt: true },
      hour,
    ],
    [
      'takes a difference of 5 s for latency',
      { timestamp: '2026-01-01T11:59:00Z', sentAtMs: receivedMs - 5000 },
      -60_000,
    ],
    [
      'takes a clock that is 5 s ahead for a right one',
      { timestamp: '2026-01-01T11:59:00Z', sentAtMs: receivedMs + 5000 },
      -60_000,
    ],
    [
      'is corrected from 5.001 s on',
      { timestamp: '2026-01-01T11:59:00Z', sentAtMs: receivedMs - 5001 },
      -54_999,
    ],
    [
      'is corrected by any difference where the setting is 0',
      { timestamp: '2026-01-01T11:59:00Z', sentAtMs: receivedMs - 1, skewMsMin: 0 },
      -59_999,
    ],
    [
      'of a migration is not corrected',
      { timestamp: '2026-01-01T11:59:00Z', sentAtMs: receivedMs + hour, isAsSent: true },
      -60_000,
    ],
    [
      'of a migration is not replaced by its offset',
      { timestamp: '2026-01-01T11:59:00Z', offset: 500, isAsSent: true },
      -60_000,
    ],
    ['of a migration without a time is its offset', { offset: 500, isAsSent: true }, -500],
    ['is the offset before receipt', { offset: 500 }, -500],
    ['is the offset rather than the timestamp', { timestamp: '1999-01-01', offset: 500 }, -500],
    [
      'is the offset rather than the skew',
      { offset: 500, sentAtMs: receivedMs + hour, timestamp: '2026-01-01T13:00:00Z' },
      -500,
    ],
    ['is whole ms', { offset: 0.5 }, -1],
    [
      'ignores an offset that is no number',
      { offset: '500', timestamp: '2026-01-01T11:59:00Z' },
      -60_000,
    ],
    ['may be 23 h ahead', { timestamp: '2026-01-02T11:00:00.000Z' }, 23 * hour],
    ['may not be further ahead', { timestamp: '2026-01-02T11:00:00.001Z' }, 0],
    ['may not be made so by an offset', { offset: -24 * hour }, 0],
    [
      'may not be made so by skew',
      { timestamp: '2026-01-01T12:00:00Z', sentAtMs: receivedMs - 24 * hour },
      0,
    ],
    ['may be the first of all', { timestamp: '1970-01-01T00:00:00Z' }, -receivedMs],
    ['may not be before 1970', { timestamp: '1969-12-31T23:59:59.999Z' }, 0],
    ['may not be of the year 0', { timestamp: '0000-01-01T00:00:00Z' }, 0],
    ['may not be of the year 10000', { timestamp: '10000-01-01T00:00:00Z' }, 0],
    ['survives an offset beyond all time', { offset: 1e300 }, 0],
  ])('%s', (_, client, expectedMs) => {
    expect(at(client)).toBe(expectedMs)
  })

  test.each([undefined, null, '', 'now', 0, '0001-01-01T00:00:00Z', '1960-01-01T00:00:00Z', {}])(
    'a request sent at %p says nothing of the clock',
    (value) => {
      expect(parseSentAt(value)).toBeUndefined()
    },
  )
})

test('a time is written as ISO 8601 in UTC with ms', () => {
  const toIso = createIsoTime()
  const times = fc.integer({ min: -2_208_988_800_000, max: 253_402_300_799_999 })
  fc.assert(
    fc.property(times, fc.nat(2000), (ms, step) => {
      expect(toIso(ms)).toBe(new Date(ms).toISOString())
      // Mostly the same second again: its text is kept.
      expect(toIso(ms - step)).toBe(new Date(ms - step).toISOString())
    }),
  )
  expect(toIso(1.75)).toBe('1970-01-01T00:00:00.001Z')
})
