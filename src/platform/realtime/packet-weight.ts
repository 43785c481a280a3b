import { endOfString, NameSet } from '../../core/json-guard.ts'
import { nestingMax } from '../../core/limits.ts'

/**
 * The event that stands for a message that is not parsed, because it is too heavy. Its sender gets
 * an error.
 */
export const heavyEvent = '(too heavy)'

/** Shorter texts take at most 10 ms. */
const weighedCharsMin = 64 * 1024
export const weightUsMax = 40_000

/**
 * Whether parsing, checking and sending a text of JSON would hold the thread for too long. A MiB
 * takes 3 to 110 ms, because the cost depends on its names and values; this takes 2 ms. Text that is
 * nested too deep is heavy as well.
 */
export function isHeavy(text: string): boolean {
  return text.length > weighedCharsMin && weigh(text) > weightUsMax
}

/** Measured, in µs: for a name that occurs the first time, and for every value. */
const nameUs = 1.6
const textUs = 0.2
const containerUs = 0.12
const valueUs = 0.07

/** Estimates the µs that a text takes. Stops early beyond the bound. */
export function weigh(text: string): number {
  const names = new NameSet()
  let depth = 0
  let us = 0
  for (let at = 0; at < text.length && us + names.size * nameUs <= weightUsMax; at += 1) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      const end = endOfString(text, at)
      names.addIfName(text, at + 1, end)
      at = end
      us += textUs
    } else if (code === comma) us += valueUs
    else if (code === openBrace || code === openBracket) {
      us += containerUs
      depth += 1
      // The message is an array with an object around the payload.
      if (depth > nestingMax + 2) return Number.POSITIVE_INFINITY
    } else if (code === closeBrace || code === closeBracket) depth -= 1
  }
  return us + names.size * nameUs
}

const quote = 34
const comma = 44
const openBracket = 91
const closeBracket = 93
const openBrace = 123
const closeBrace = 125
