import { IngestError } from '../../core/errors.ts'
import type { JsonText } from '../../core/event.ts'
import { nestingMax } from '../../core/limits.ts'
import { isJsonObject } from '../capture/raw-event.ts'
import { toFiniteNumber } from '../shared/json.ts'
import { parseTime } from '../shared/time.ts'

/**
 * The fields of a link event by type. Null counts as absent; each reader throws invalid_field where the value is
 * of another type than the contract says.
 */
export type LinkFields = {
  text(name: string): string
  /** Text; undefined where it is absent or empty. */
  given(name: string): string | undefined
  number(name: string): number
  flag(name: string, fallback: boolean): boolean
  /** An ISO 8601 date, in ms; null where it is absent. */
  time(name: string): number | null
  /** An object, or a string that holds JSON: what the client wrote, as one line of JSON text. */
  json(name: string): JsonText
  /** An array of strings, or a string that holds one as JSON. */
  tags(name: string): readonly string[]
}

export function createLinkFields(event: Readonly<Record<string, unknown>>): LinkFields {
  /** What the client sent under `name`, once `parse` has made sense of it. */
  function read<T>(name: string, absent: T, parse: (value: unknown) => T | undefined): T {
    const value = event[name]
    if (value === undefined || value === null) return absent
    const parsed = parse(value)
    if (parsed === undefined) throw toInvalid(name)
    return parsed
  }
  return {
    text: (name) => read(name, '', toText),
    given: (name) => read(name, '', toText) || undefined,
    number: (name) => read(name, 0, toFiniteNumber),
    flag: (name, fallback) => read(name, fallback, toFlag),
    time: (name) => read<number | null>(name, null, toTime),
    json: (name) => read(name, '{}', toJsonText),
    tags: (name) => read<readonly string[]>(name, [], toTags),
  }
}

const toInvalid = (field: string) =>
  new IngestError('invalid_field', `${field} is not of the type that the contract says`, { field })

const toText = (value: unknown) => (typeof value === 'string' ? value : undefined)
const toFlag = (value: unknown) => (typeof value === 'boolean' ? value : undefined)

/** What ISO 8601 writes with four digits, from where ClickHouse begins. */
const timeMin = Date.UTC(1900, 0)
const timeMax = Date.UTC(10_000, 0) - 1

function toTime(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? parseTime(value) : undefined
  return ms !== undefined && ms >= timeMin && ms <= timeMax ? ms : undefined
}

function toJsonText(value: unknown): JsonText | undefined {
  if (isJsonObject(value)) return JSON.stringify(value)
  if (typeof value !== 'string') return undefined
  const held = parseHeld(value)
  if (held === null) return '{}'
  // White space between the tokens may be line ends, and a row is one line; inside strings JSON allows none.
  return held === undefined ? undefined : value.replace(/[\t\n\r]/g, ' ')
}

function toTags(value: unknown): readonly string[] | undefined {
  const tags = typeof value === 'string' ? parseHeld(value) : value
  return Array.isArray(tags) && tags.every((tag) => typeof tag === 'string') ? tags : undefined
}

/** Undefined where `text` is no JSON, or deeper than a body may be. */
function parseHeld(text: string): unknown {
  try {
    const held: unknown = JSON.parse(text)
    return isWithin(held, nestingMax) ? held : undefined
  } catch {
    return undefined
  }
}

function isWithin(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every((inner) => isWithin(inner, levels - 1))
}
