import { dayMs, hourMs } from '../../core/clock.ts'
import { toNumberText } from './json.ts'
import { toWarning, type Warning } from './warnings.ts'
import { parseWrittenTime, toDateMs } from './written-times.ts'

/** The times that a client gives for an event, by the client's clock. */
export type ClientTime = {
  timestamp: unknown
  /** Milliseconds between the event and its sending. */
  offset: unknown
  sentAtMs: number | undefined
  /** A migration of old events: a readable `timestamp` is never corrected. */
  isAsSent: boolean
  ignoreSentAt: boolean
  /** A smaller difference between `sentAtMs` and the time of receipt is latency. */
  skewMsMin: number
}

/**
 * The time of an event by the server's clock, in whole ms. Total: a time that is unreadable or
 * implausible becomes `receivedMs`. `offset` wins over `timestamp`; `sentAtMs` corrects the
 * client's clock. See docs/contracts/capture.md.
 */
export function correctTimestamp(client: ClientTime, receivedMs: number): number {
  const claimedMs = parseTime(client.timestamp)
  if (client.isAsSent && claimedMs !== undefined) return toPlausibleTime(claimedMs, receivedMs)
  const { offset } = client
  if (typeof offset === 'number') return toPlausibleTime(receivedMs - offset, receivedMs)
  if (claimedMs === undefined) return receivedMs
  return toPlausibleTime(claimedMs - toSkewMs(client, receivedMs), receivedMs)
}

/**
 * Which time of the client `correctTimestamp` has replaced by the time of receipt, and why. Ask only
 * if the stored time is that of receipt: no other is a replacement.
 */
export function toTimeWarning(client: ClientTime, receivedMs: number): Warning | undefined {
  const { timestamp, offset } = client
  const claimedMs = parseTime(timestamp)
  const isOffset = typeof offset === 'number' && !(client.isAsSent && claimedMs !== undefined)
  if (isOffset) {
    if (isPlausible(receivedMs - offset, receivedMs)) return undefined
    return toWarning('time_implausible', 'offset', offset)
  }
  if (claimedMs === undefined) {
    return isAbsent(timestamp) ? undefined : toWarning('time_unreadable', 'timestamp', timestamp)
  }
  const storedMs = client.isAsSent ? claimedMs : claimedMs - toSkewMs(client, receivedMs)
  if (isPlausible(storedMs, receivedMs)) return undefined
  return toWarning('time_implausible', 'timestamp', timestamp)
}

/** The warning for a time of sending that cannot be read. A zero date stands for "unknown". */
export function toSentAtWarning(value: unknown): Warning | undefined {
  if (isAbsent(value) || parseTime(value) !== undefined || isZeroDate(value)) return undefined
  return toWarning('time_unreadable', 'sent_at', value)
}

const isAbsent = (value: unknown) => value === undefined || value === null || value === ''

/** As Go and .NET write a date that was never set. */
const isZeroDate = (value: unknown) => typeof value === 'string' && value.startsWith('0001-01-01')

/** How far the client's clock is ahead, as far as that is known. */
function toSkewMs({ sentAtMs, ignoreSentAt, skewMsMin }: ClientTime, receivedMs: number): number {
  if (sentAtMs === undefined || ignoreSentAt) return 0
  const skewMs = sentAtMs - receivedMs
  return Math.abs(skewMs) > skewMsMin ? skewMs : 0
}

/** The time of sending by the client's clock. Undefined if it is unreadable or not after 1970. */
export function parseSentAt(value: unknown): number | undefined {
  const ms = parseTime(value)
  // Some clients send a zero date for "unknown". It would shift every event by decades.
  return ms !== undefined && ms > 0 ? ms : undefined
}

/**
 * A time as clients write it, in ms since 1970: ISO 8601 and common variants of it (no zone, which
 * means UTC; a zone without colon; any fraction), the forms of written-times.ts, and numbers of
 * seconds, ms, µs or ns. Undefined for all else.
 */
export function parseTime(value: unknown): number | undefined {
  if (typeof value === 'number') return toMs(value)
  if (typeof value === 'string') return parseText(value)
  // A number that a double cannot hold, such as nanoseconds, is a `JSON.rawJSON` object.
  const text = toNumberText(value)
  return text === undefined ? undefined : toMs(Number(text))
}

function parseText(value: string): number | undefined {
  if (value.length > textLengthMax) return undefined
  const ms = parseIso(value)
  if (ms !== undefined) return ms
  const text = value.trim()
  if (longNumber.test(text)) return toMs(Number(text))
  return parseIso(text) ?? parseWrittenTime(text)
}

/**
 * `claimedMs` in whole ms if it is plausible, else `receivedMs`. ClickHouse would wrap days before
 * 1970, and a row in the far future would get a partition of its own.
 */
export function toPlausibleTime(claimedMs: number, receivedMs: number): number {
  return isPlausible(claimedMs, receivedMs) ? Math.trunc(claimedMs) : receivedMs
}

export function isPlausible(claimedMs: number, receivedMs: number): boolean {
  return claimedMs >= 0 && claimedMs <= receivedMs + futureMsMax
}

/**
 * Creates a function that formats ms since 1970 as `2026-01-01T12:00:00.000Z`. `Date` takes 180 ns
 * for it, so the text of the last second is kept. Create one formatter for each column.
 */
export function createIsoTime(): (ms: number) => string {
  let lastSecond = Number.NaN
  let prefix = ''
  return (ms) => {
    const second = Math.floor(ms / 1000)
    if (second !== lastSecond) {
      prefix = new Date(second * 1000).toISOString().slice(0, -4)
      lastSecond = second
    }
    return prefix + millis[Math.floor(ms - second * 1000)]
  }
}

const millis = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`)

/**
 * A client's clock in the wrong time zone runs ahead by less than a day. Beyond this it is wrong.
 */
const futureMsMax = 23 * hourMs

/** The longest form, JavaScript's with the name of the zone, is shorter. */
const textLengthMax = 100

/**
 * The unit of a number follows from its size: as seconds each bound is beyond the year 5000, and as
 * the next smaller unit it is before 1974.
 */
const secondsMax = 1e11
const millisecondsMax = 1e14
const microsecondsMax = 1e17
const nanosecondsMax = 1e20

function toMs(count: number): number | undefined {
  const size = Math.abs(count)
  if (size < secondsMax) return Math.trunc(count * 1000)
  if (size < millisecondsMax) return Math.trunc(count)
  if (size < microsecondsMax) return Math.trunc(count / 1e3)
  return size < nanosecondsMax ? Math.trunc(count / 1e6) : undefined
}

/** The format of `Date.toISOString`. */
const plainIso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const fullIso = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d/
const looseIso = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d):?(\d\d)(?::?(\d\d))?)?(\D.*)?$/

/**
 * A text that ends before the seconds, or has no colons, is completed and then read by position.
 */
function parseIso(text: string): number | undefined {
  if (plainIso.test(text)) return toIsoMs(text, digit(text, 20) * 100 + twoDigits(text, 21))
  if (fullIso.test(text)) return toIsoMs(text, parseTail(text.slice(19)))
  const match = looseIso.exec(text)
  if (!match) return undefined
  const [, date, hours = '00', minutes = '00', seconds = '00', tail = ''] = match
  return toIsoMs(`${date}T${hours}:${minutes}:${seconds}`, parseTail(tail))
}

/** Reads by position rather than by captures, because this runs for every event. */
function toIsoMs(text: string, tailMs: number | undefined): number | undefined {
  const startMs = toDayMs(text)
  const hours = twoDigits(text, 11)
  const minutes = twoDigits(text, 14)
  const seconds = twoDigits(text, 17)
  // 24:00 is the end of a day, and second 60 is a leap second. Both roll over.
  const isTime = hours <= 24 && minutes <= 59 && seconds <= 60
  if (startMs === undefined || tailMs === undefined || !isTime) return undefined
  return startMs + ((hours * 60 + minutes) * 60 + seconds) * 1000 + tailMs
}

const tailPattern = /^(?:[.,](\d+))?\s*([Zz]|[+-]\d\d(?::?\d\d)?)?$/

/** The fraction of the second minus the zone's offset, in ms. */
function parseTail(text: string): number | undefined {
  const match = tailPattern.exec(text)
  if (!match) return undefined
  const [, fraction = '', zone = 'Z'] = match
  const zoneMs = toZoneMs(zone)
  if (Math.abs(zoneMs) >= dayMs) return undefined
  return Number(fraction.slice(0, 3).padEnd(3, '0')) - zoneMs
}

const digit = (text: string, at: number) => text.charCodeAt(at) - 48
const twoDigits = (text: string, at: number) => digit(text, at) * 10 + digit(text, at + 1)

function toZoneMs(zone: string): number {
  if (zone === 'Z' || zone === 'z') return 0
  const clock = zone.slice(1).replace(':', '').padEnd(4, '0')
  const minutes = twoDigits(clock, 0) * 60 + twoDigits(clock, 2)
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000
}

let lastDay = ''
let lastDayMs: number | undefined

/**
 * The start of the day `YYYY-MM-DD…`. The last one is kept: nearly all events are of the same day.
 */
function toDayMs(text: string): number | undefined {
  if (lastDay !== '' && text.startsWith(lastDay)) return lastDayMs
  lastDay = text.slice(0, 10)
  const year = Number(text.slice(0, 4))
  lastDayMs = toDateMs(year, twoDigits(text, 5), twoDigits(text, 8))
  return lastDayMs
}

const longNumber = /^-?\d{9,}(?:\.\d+)?$/
