import { IngestError } from '../../core/errors.ts'
import { nestingMax } from '../../core/limits.ts'
import type { AdmissionTicket } from '../load-shedding/admission-ticket.ts'

/**
 * JSON.parse with a nesting limit and without loss of digits: integers beyond 2^53 and numbers
 * beyond a double become `JSON.rawJSON` objects, which stringify as they were sent. For a large
 * text, the estimated bytes of its values are charged to the ticket before they are allocated.
 * Throws invalid_json, nesting_too_deep, body_too_large, too_busy.
 */
export function parseJson(text: string, ticket?: Pick<AdmissionTicket, 'charge'>): unknown {
  if (text.length > scanCharsMin) chargeValues(text, ticket)
  const value = parse(text)
  if (!hasLoss(value, 1)) return value
  return JSON.parse(text, keepNumber as (key: string, value: unknown) => unknown)
}

/**
 * Longer texts are scanned before they are parsed: 20 MB of `[` would cost seconds and gigabytes.
 */
const scanCharsMin = 64 * 1024
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
/** However dense a body is, it must fit into the memory of the intake while it is the only one. */
const chargeBytesMax = 104 * 1024 * 1024

/**
 * Estimated bytes to make events of a text, without the structure of its values: `parseJson`
 * charges that.
 */
export function toWorkBytes(textBytes: number): number {
  return Math.min(textBytes * copiesPerText, chargeBytesMax)
}

function chargeValues(text: string, ticket?: Pick<AdmissionTicket, 'charge'>): void {
  const { depth, containers, strings } = scanJson(text, nestingMax)
  if (depth > nestingMax) throw tooDeep()
  const bytes = containers * containerBytes + strings * stringBytes
  if (bytes > valuesBytesMax) {
    throw new IngestError(
      'body_too_large',
      'the JSON holds more values than the server can process',
    )
  }
  ticket?.charge(Math.min(bytes, chargeBytesMax - toWorkBytes(text.length)))
}

/** JSC's message may quote the faulty text at any length. */
const messageLengthMax = 100

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof RangeError) throw tooDeep()
    const message = String((error as Error).message).slice(0, messageLengthMax)
    throw new IngestError('invalid_json', `the body is not JSON: ${message}`)
  }
}

const tooDeep = () =>
  new IngestError('nesting_too_deep', `the JSON is nested deeper than ${nestingMax} levels`)

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
 * Counts containers and strings in less than a third of the time that parsing takes. Ignores
 * brackets in strings. Stops early once the nesting exceeds `depthMax`. Total: invalid JSON has
 * counts too.
 */
function scanJson(text: string, depthMax: number): JsonCounts {
  let depth = 0
  let containers = 0
  let strings = 0
  for (let i = 0; i < text.length && depth <= depthMax; i += 1) {
    const code = text.charCodeAt(i)
    if (code === quote) {
      i = endOfString(text, i)
      strings += 1
    } else if (code === openBrace || code === openBracket) {
      depth += 1
      containers += 1
    } else if (code === closeBrace || code === closeBracket) depth -= 1
  }
  return { depth, containers, strings }
}

/** `depth` exceeds `depthMax` if the text is nested deeper. Keys count as strings. */
type JsonCounts = { depth: number; containers: number; strings: number }

/**
 * Index of the quote that closes the string at `open`: the first one after an even number of
 * backslashes.
 */
function endOfString(text: string, open: number): number {
  let end = open
  for (;;) {
    end = text.indexOf('"', end + 1)
    if (end < 0) return text.length
    let before = end
    while (text.charCodeAt(before - 1) === backslash) before -= 1
    if ((end - before) % 2 === 0) return end
  }
}

const quote = 34
const backslash = 92
const openBracket = 91
const closeBracket = 93
const openBrace = 123
const closeBrace = 125
