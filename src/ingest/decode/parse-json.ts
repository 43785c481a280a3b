import { IngestError } from '../../core/errors.ts'
import { nestingMax } from '../../core/limits.ts'

/**
 * JSON.parse within the nesting limit, and without loss: integers beyond 2^53 and numbers beyond a double
 * become `JSON.rawJSON` objects, which stringify as they were sent. `grow` is charged with what the
 * structure of a large text's values weighs, before they are made. Throws invalid_json, nesting_too_deep, body_too_large.
 */
export function parseJson(text: string, grow: (bytes: number) => void = () => {}): unknown {
  if (text.length > scanAbove) weigh(text, grow)
  const value = parse(text)
  if (!hasLoss(value, 1)) return value
  return JSON.parse(text, keepNumber as (key: string, value: unknown) => unknown)
}

/** Beyond this many characters a text is looked through first: 20 MB of `[` cost seconds and gigabytes. */
const scanAbove = 64 * 1024
/** What an object or array, and a string that is no key, take in memory beside their text. */
const containerBytes = 64
const stringBytes = 24
/** The text, the values' own, their properties as text once more, the line, and the journal's block, which doubles. */
const copies = 6
/** Recordings are the densest of honest bodies: 25 MB of them hold half of this beside their text. */
const valuesBytesMax = 256 * 1024 * 1024
/** However dense it is, one body that comes alone fits the intake's room. */
const chargeBytesMax = 104 * 1024 * 1024

/** What it takes to make events of a text, without the structure of its values: `parseJson` charges that. */
export function toWorkBytes(textBytes: number): number {
  return Math.min(textBytes * copies, chargeBytesMax)
}

function weigh(text: string, grow: (bytes: number) => void): void {
  const { depth, containers, strings } = scanJson(text, nestingMax)
  if (depth > nestingMax) throw tooDeep()
  const bytes = containers * containerBytes + strings * stringBytes
  if (bytes > valuesBytesMax) {
    throw new IngestError('body_too_large', 'the JSON holds more values than the server can')
  }
  grow(Math.min(bytes, chargeBytesMax - toWorkBytes(text.length)))
}

/** JSC's message may quote what it stumbled over at any length. */
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

/** Whether a number lost digits or its size. Throws where `value` is nested too deep; so it recurses safely. */
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

/** A reviver. `source` is the number as it was written. */
function keepNumber(_key: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value !== 'number' || source === undefined) return value
  if (!isLossy(value) || Number.isSafeInteger(value)) return value
  if (Number.isFinite(value) && !isIntegerText(source)) return value
  return String(value) === source ? value : rawJSON(source)
}

const isIntegerText = (text: string) => /^-?\d+$/.test(text)

/**
 * Counts what a JSON text holds, in less than a third of the time that parsing it takes; brackets inside strings
 * do not count. Stops early once it is deeper than `depthMax`. Total: a text that is no JSON has counts, too.
 */
export function scanJson(text: string, depthMax: number): JsonCounts {
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

/** `depth` is above `depthMax` where the text is nested deeper; keys count as strings. */
export type JsonCounts = { depth: number; containers: number; strings: number }

/** Where the string that opens at `open` closes: at the first quote after an even run of backslashes. */
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
