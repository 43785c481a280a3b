import { IngestError } from '../../core/errors.ts'
import type { JsonText } from '../../core/event.ts'
import { jsonGuard } from '../../core/json-guard.ts'
import { columnBytesMax, nestingMax, shortTextLengthMax } from '../../core/limits.ts'
import { fromPhp, isJsonObject, toFiniteNumber } from '../shared/json.ts'
import { isLargerThan, isLongerThan } from '../shared/text.ts'
import { parseTime } from '../shared/time.ts'

/**
 * Reads the fields of a link event by type. Null and an empty text count as absent. Each method throws invalid_field
 * if the value is not of its type, or longer than its column takes.
 */
export type LinkFields = {
  text(name: string): string
  /** Text; undefined if it is absent or empty. */
  given(name: string): string | undefined
  number(name: string): number
  flag(name: string, fallback: boolean): boolean
  /** An ISO 8601 date, in ms since 1970; null if it is absent. */
  time(name: string): number | null
  /** An object, or a string that contains JSON. Returns its JSON as one line of text. */
  json(name: string): JsonText
  /** An array of strings, or a string that contains one as JSON. */
  tags(name: string): readonly string[]
}

export function createLinkFields(event: Readonly<Record<string, unknown>>): LinkFields {
  function read<T>(name: string, absent: T, parse: (value: unknown) => T | undefined): T {
    const value = event[name]
    if (value === undefined || value === null || value === '') return absent
    const parsed = parse(value)
    if (parsed === undefined) throw toInvalid(name)
    return parsed
  }
  return {
    text: (name) => read(name, '', (value) => toText(name, value)),
    given: (name) => read(name, '', (value) => toText(name, value)) || undefined,
    number: (name) => read(name, 0, toFiniteNumber),
    flag: (name, fallback) => read(name, fallback, toFlag),
    time: (name) => read<number | null>(name, null, toTime),
    json: (name) => read(name, '{}', toJsonText),
    tags: (name) => read<readonly string[]>(name, [], toTags),
  }
}

const toInvalid = (field: string) =>
  new IngestError('invalid_field', `${field} is too long, or not of the contract's type`, { field })

/** Texts that are part of the sorting key or a Kafka key, dictionaries, and all ids and names. */
const shortFields: ReadonlySet<string> = new Set([
  ...['event_type', 'event_id', 'project_id', 'visitor_id', 'session_id'],
  ...['link_id', 'user_id', 'team_id', 'qr_code_id'],
  ...['user_name', 'team_name', 'project_name', 'qr_code_name'],
  ...['country', 'device_type', 'browser', 'os', 'conversion_type'],
])

function toText(name: string, value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  // A text within the smaller limit is within both.
  if (value.length <= shortTextLengthMax) return value
  const isTooLong = shortFields.has(name)
    ? isLongerThan(value, shortTextLengthMax)
    : isLargerThan(value, columnBytesMax)
  return isTooLong ? undefined : value
}

const within = (json: JsonText) => (isLargerThan(json, columnBytesMax) ? undefined : json)

const toFlag = (value: unknown) => (typeof value === 'boolean' ? value : undefined)

/**
 * The range of DateTime64 in ClickHouse starts at 1900. Years beyond 9999 need more than four
 * digits in ISO 8601.
 */
const timeMin = Date.UTC(1900, 0)
const timeMax = Date.UTC(10_000, 0) - 1

function toTime(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? parseTime(value) : undefined
  return ms !== undefined && ms >= timeMin && ms <= timeMax ? ms : undefined
}

function toJsonText(given: unknown): JsonText | undefined {
  const value = fromPhp(given)
  if (isJsonObject(value)) return within(JSON.stringify(value))
  if (typeof value !== 'string' || isLargerThan(value, columnBytesMax)) return undefined
  const inner = parseInner(value)
  if (inner === null) return '{}'
  // A row must be one line. JSON text may have line ends between its tokens, but not inside its
  // strings.
  return inner === undefined ? undefined : value.replace(/[\t\n\r]/g, ' ')
}

function toTags(value: unknown): readonly string[] | undefined {
  if (typeof value === 'string' && isLargerThan(value, columnBytesMax)) return undefined
  const tags = typeof value === 'string' ? parseInner(value) : value
  if (!Array.isArray(tags) || !tags.every((tag) => typeof tag === 'string')) return undefined
  return within(JSON.stringify(tags)) === undefined ? undefined : tags
}

/** Undefined if `text` is not JSON, or has more levels than a body may have. */
function parseInner(text: string): unknown {
  try {
    const inner = jsonGuard.parse(text)
    return isWithin(inner, nestingMax) ? inner : undefined
  } catch {
    return undefined
  }
}

function isWithin(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every((inner) => isWithin(inner, levels - 1))
}
