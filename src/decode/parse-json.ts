import { IngestError } from '../core/errors.ts'
import { nestingMax } from '../core/limits.ts'

/**
 * JSON.parse within the nesting limit, and without loss: integers beyond 2^53 and numbers beyond a double
 * become `JSON.rawJSON` objects, which stringify as they were sent. Throws invalid_json, nesting_too_deep.
 */
export function parseJson(text: string): unknown {
  const isLarge = text.length > scanAbove
  if (isLarge && isTooDeep(text)) throw tooDeep()
  const value = parse(text)
  if (!hasLoss(value, 1)) return value
  return JSON.parse(text, keepNumber as (key: string, value: unknown) => unknown)
}

/** Beyond this many characters, nesting is looked for first: 20 MB of `[` cost seconds and gigabytes. */
const scanAbove = 64 * 1024
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

/** Counts open brackets outside strings, in less than a third of the time that parsing takes. */
function isTooDeep(text: string): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (code === quote) i = endOfString(text, i)
    else if (code === openBrace || code === openBracket) depth += 1
    else if (code === closeBrace || code === closeBracket) depth -= 1
    if (depth > nestingMax) return true
  }
  return false
}

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
