import { toPlausibleTime } from './plausible-time.ts'

export type ClientTime = {
  timestamp: unknown
  /** How many ms before sending the event happened. */
  offset: unknown
  sentAtMs: number | undefined
  ignoreSentAt: boolean
}

/**
 * When the event happened by our clock, in whole ms. Total: what cannot be read or cannot be true
 * becomes `receivedMs`. `offset` wins over `timestamp`; `sentAtMs` corrects the client's clock.
 * Source: spec README, "Time".
 */
export function correctTimestamp(client: ClientTime, receivedMs: number): number {
  const { offset, sentAtMs } = client
  if (typeof offset === 'number') return toPlausibleTime(receivedMs - offset, receivedMs)
  const claimedMs = parseTime(client.timestamp)
  if (claimedMs === undefined) return receivedMs
  const isSkewKnown = sentAtMs !== undefined && !client.ignoreSentAt
  return toPlausibleTime(isSkewKnown ? claimedMs - (sentAtMs - receivedMs) : claimedMs, receivedMs)
}

/** When a request was sent by its client's clock; undefined where it says nothing of use. */
export function parseSentAt(value: unknown): number | undefined {
  const ms = parseTime(value)
  // A zero date is a client's way to say nothing, and would shift every event by centuries.
  return ms !== undefined && ms > 0 ? ms : undefined
}

/**
 * ms since 1970 of what a client wrote for a time: ISO 8601 with the liberties clients take (no
 * zone, which is UTC, no colon in it, any fraction), RFC 2822, and numbers in ms or seconds.
 * Undefined for all else.
 */
export function parseTime(value: unknown): number | undefined {
  if (typeof value === 'number') return toMs(value)
  if (typeof value !== 'string' || value.length > textLengthMax) return undefined
  return parseIso(value) ?? parseOther(value)
}

const textLengthMax = 64
/**
 * Below it a number counts seconds: as ms it would lie before March 1973, when nobody sent events.
 */
const secondsMax = 1e11

function toMs(count: number): number | undefined {
  if (!Number.isFinite(count)) return undefined
  return Math.trunc(Math.abs(count) < secondsMax ? count * 1000 : count)
}

/** As JavaScript writes it. */
const plainIso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const fullIso = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d/
const looseIso = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d):?(\d\d)(?::?(\d\d))?)?(\D.*)?$/

/** What ends before the seconds, or lacks colons, is written out and read again. */
function parseIso(text: string): number | undefined {
  if (plainIso.test(text)) return toIsoMs(text, digit(text, 20) * 100 + twoDigits(text, 21))
  if (fullIso.test(text)) return toIsoMs(text, parseTail(text.slice(19)))
  const match = looseIso.exec(text)
  if (!match) return undefined
  const [, date, hours = '00', minutes = '00', seconds = '00', tail = ''] = match
  return toIsoMs(`${date}T${hours}:${minutes}:${seconds}`, parseTail(tail))
}

/** By position rather than by captures: this runs for every event. */
function toIsoMs(text: string, tailMs: number | undefined): number | undefined {
  const dayMs = toDayMs(text)
  const hours = twoDigits(text, 11)
  const minutes = twoDigits(text, 14)
  const seconds = twoDigits(text, 17)
  // 24:00 ends a day, and second 60 is a leap second: both roll over.
  const isTime = hours <= 24 && minutes <= 59 && seconds <= 60
  if (dayMs === undefined || tailMs === undefined || !isTime) return undefined
  return dayMs + ((hours * 60 + minutes) * 60 + seconds) * 1000 + tailMs
}

const tailPattern = /^(?:[.,](\d+))?\s*([Zz]|[+-]\d\d(?::?\d\d)?)?$/

/** The fraction of the second, less the zone. */
function parseTail(text: string): number | undefined {
  const match = tailPattern.exec(text)
  if (!match) return undefined
  const [, fraction = '', zone = 'Z'] = match
  return Number(fraction.slice(0, 3).padEnd(3, '0')) - toZoneMs(zone)
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

/** When the day of `YYYY-MM-DD…` begins. Nearly all events are of one day. */
function toDayMs(text: string): number | undefined {
  if (lastDay !== '' && text.startsWith(lastDay)) return lastDayMs
  lastDay = text.slice(0, 10)
  const year = Number(text.slice(0, 4))
  lastDayMs = toDateMs(year, twoDigits(text, 5), twoDigits(text, 8))
  return lastDayMs
}

/**
 * Undefined for days that do not exist, and for the years that clients send when they mean none.
 */
function toDateMs(year: number, month: number, day: number): number | undefined {
  if (year < 100 || month < 1 || month > 12) return undefined
  const ms = Date.UTC(year, month - 1, day)
  return new Date(ms).getUTCDate() === day ? ms : undefined
}

const longNumber = /^-?\d{9,}(?:\.\d+)?$/
/** `Date.parse` reads what names no zone by the server's own, so only what names one gets there. */
const zoned = /^[A-Z][a-z]{2},? .*(?:GMT|UTC|Z|[+-]\d{4})(?: \([^)]*\))?$/

function parseOther(text: string): number | undefined {
  if (longNumber.test(text)) return toMs(Number(text))
  const ms = zoned.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}
