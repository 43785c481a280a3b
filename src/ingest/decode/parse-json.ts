import { IngestError } from '../../core/errors.ts'
import { endOfString, internsSlowly, jsonGuard, NameSet } from '../../core/json-guard.ts'
import { nestingMax } from '../../core/limits.ts'
import type { AdmissionTicket } from '../load-shedding/admission-ticket.ts'

/**
 * JSON.parse with a nesting limit and without loss of digits: integers beyond 2^53 and numbers
 * beyond a double become `JSON.rawJSON` objects, which stringify as they were sent. For the thread
 * that serves requests: undefined if it would take too long here. The estimated bytes of the values
 * are charged to the ticket before they are allocated. Throws invalid_json, nesting_too_deep,
 * too_many_names, body_too_large, too_busy.
 */
export function parseSmallJson(text: string, ticket?: Pick<AdmissionTicket, 'charge'>): unknown {
  if (jsonGuard.collides(text)) throw tooManyNames()
  if (text.length > scanCharsMin) ticket?.charge(toValuesBytes(text))
  const value = parse(text)
  if (!hasLoss(value, 1)) return value
  return text.length > lossCharsMax ? undefined : parseExactly(text)
}

/**
 * The same for a text of any size, on a thread of its own. `toValuesBytes` has accepted the text.
 */
export function parseLargeJson(text: string): unknown {
  if (internsSlowly(text)) throw tooManyNames()
  const value = parse(text)
  // Interning some texts does not find every collision.
  if (jsonGuard.takeCollision()) throw tooManyNames()
  return hasLoss(value, 1) ? parseExactly(text) : value
}

/** A reviver takes up to 0.4 µs for each character: 50 ones take 20 µs. */
const lossCharsMax = 32 * 1024
/**
 * Longer texts are scanned before they are parsed: 20 MB of `[` would cost seconds and gigabytes.
 */
const scanCharsMin = 64 * 1024
/**
 * Different names in one body. Recordings, the richest bodies of real clients, have some hundred.
 * So many names take a second if all of them collide.
 */
const namesMax = 10_000
/** The memory of an object or array, and of a string that is not a key, beside its text. */
const containerBytes = 64
const stringBytes = 24
/**
 * The text, the values, their properties as text again, the line, and the journal's block, which
 * doubles as it grows.
 */
const copiesPerText = 6
/**
 * Recordings are the densest bodies of real clients: 25 MB of them take half of this beside their
 * text.
 */
const valuesBytesMax = 256 * 1024 * 1024
/**
 * However dense a body is, it must fit into the memory of the intake while it is the only one: see
 * `intakeBytesOfLargest`.
 */
const chargeBytesMax = 104 * 1024 * 1024

/** Estimated bytes to make events of a text, without the structure of its values. */
export function toWorkBytes(textBytes: number): number {
  return textBytes * copiesPerText
}

/**
 * The bytes that a large body is charged to make events of its text. `share`: of the usual bounds.
 * Throws what `toValuesBytes` throws.
 */
export function toChargedBytes(text: string, textBytes: number, share = 1): number {
  const bytes = toWorkBytes(textBytes) + toValuesBytes(text, share)
  return Math.floor(Math.min(bytes, chargeBytesMax * share))
}

/**
 * The estimated bytes of the values of a text. Throws nesting_too_deep, too_many_names,
 * body_too_large.
 */
export function toValuesBytes(text: string, share = 1): number {
  const { depth, containers, strings, names } = scanJson(text, nestingMax)
  if (depth > nestingMax) throw tooDeep()
  if (names > namesMax) throw tooManyNames()
  const bytes = containers * containerBytes + strings * stringBytes
  if (bytes > valuesBytesMax * share) {
    throw new IngestError(
      'body_too_large',
      'the JSON holds more values than the server can process',
    )
  }
  return bytes
}

/** JSC's message may quote the faulty text at any length. */
const messageLengthMax = 100

function parse(text: string): unknown {
  try {
    return jsonGuard.parse(text)
  } catch (error) {
    if (error instanceof RangeError) throw tooDeep()
    const message = String((error as Error).message).slice(0, messageLengthMax)
    throw new IngestError('invalid_json', `the body is not JSON: ${message}`)
  }
}

const tooDeep = () =>
  new IngestError('nesting_too_deep', `the JSON is nested deeper than ${nestingMax} levels`)

const tooManyNames = () =>
  new IngestError('too_many_names', 'the JSON has too many names or texts that the server keeps')

const parseExactly = (text: string): unknown =>
  JSON.parse(text, keepNumber as (key: string, value: unknown) => unknown)

/**
 * Whether a number lost digits or overflowed. Recursion is bounded: throws if `value` is nested too
 * deep.
 */
function hasLoss(value: unknown, depth: number): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? false : isLossy(value)
  if (typeof value !== 'object' || value === null) return false
  if (depth > nestingMax) throw tooDeep()
  let isLost = false
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) if (hasLoss(value[i], depth + 1)) isLost = true
    return isLost
  }
  const object = value as Record<string, unknown>
  for (const key in object) if (hasLoss(object[key], depth + 1)) isLost = true
  return isLost
}

const isLossy = (value: number) => Number.isInteger(value) || !Number.isFinite(value)

const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

/** A reviver of JSON.parse. `source` is the number as it was sent. */
function keepNumber(_key: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value !== 'number' || source === undefined) return value
  if (!isLossy(value) || Number.isSafeInteger(value)) return value
  if (Number.isFinite(value) && !isIntegerText(source)) return value
  return String(value) === source ? value : rawJSON(source)
}

const isIntegerText = (text: string) => /^-?\d+$/.test(text)

/**
 * Counts containers, strings and different names in less than half of the time that parsing takes.
 * Ignores brackets in strings. Stops early once the nesting exceeds `depthMax` or there are too
 * many names. Total: invalid JSON has counts too.
 */
function scanJson(text: string, depthMax: number): JsonCounts {
  const names = new NameSet()
  let depth = 0
  let containers = 0
  let strings = 0
  for (let i = 0; i < text.length && depth <= depthMax && names.size <= namesMax; i += 1) {
    const code = text.charCodeAt(i)
    if (code === quote) {
      const end = endOfString(text, i)
      names.addIfName(text, i + 1, end)
      i = end
      strings += 1
    } else if (code === openBrace || code === openBracket) {
      depth += 1
      containers += 1
    } else if (code === closeBrace || code === closeBracket) depth -= 1
  }
  return { depth, containers, strings, names: names.size }
}

/** `depth` exceeds `depthMax` if the text is nested deeper. Keys count as strings. */
type JsonCounts = { depth: number; containers: number; strings: number; names: number }

const quote = 34
const openBracket = 91
const closeBracket = 93
const openBrace = 123
const closeBrace = 125
