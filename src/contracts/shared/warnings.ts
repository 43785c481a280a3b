import type { Alteration, JsonText } from '../../core/event.ts'
import type { Json } from './json.ts'
import { isLongerThan } from './text.ts'

/** One difference between an event as sent and its row. */
export type Warning = {
  kind: Alteration
  /** As the contract names it. */
  field: string
  /** As sent: a text, or the JSON text of another value. Shortened in its middle. */
  value: string
}

/** The warnings of one event. Undefined for nearly all events, so that those cost nothing. */
export type Warnings = Warning[] | undefined

/** The property that holds the warnings of a row of `events`. */
export const warningsProperty = '$ingest_warnings'

/** Warnings of one event; further ones are neither stored nor counted. */
const warningsMax = 10
/** In characters. */
const shownLengthMax = 200

export function toWarning(kind: Alteration, field: string, value: unknown): Warning {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return { kind, field: shorten(field), value: shorten(text) }
}

export function addWarning(warnings: Warnings, warning: Warning): Warning[] {
  if (warnings === undefined) return [warning]
  if (warnings.length < warningsMax) warnings.push(warning)
  return warnings
}

/** Adds the fields of an event that its contract does not have. Null is no value, so it is no loss. */
export function addUnknownFields(
  warnings: Warnings,
  event: Json,
  known: ReadonlySet<string>,
): Warnings {
  let all = warnings
  for (const field in event) {
    if (known.has(field) || event[field] === null) continue
    if (all !== undefined && all.length >= warningsMax) return all
    all = addWarning(all, toWarning('field_dropped', field, event[field]))
  }
  return all
}

/** Adds the properties of an event that have another value in its row. `names` are the server's. */
export function addReplacedProperties(
  warnings: Warnings,
  { sent, stored }: { sent: Json | null | undefined; stored: Json },
  names: readonly string[],
): Warnings {
  if (sent === null || sent === undefined) return warnings
  let all = warnings
  for (const name of names) {
    const value = sent[name]
    if (value === undefined || value === stored[name]) continue
    all = addWarning(all, toWarning('property_replaced', name, value))
  }
  const own = sent[warningsProperty]
  if (own === undefined) return all
  return addWarning(all, toWarning('property_replaced', warningsProperty, own))
}

/** The JSON of the properties of a row, with its warnings if there are any. */
export function toPropertiesJson(properties: Json, warnings: Warnings): JsonText {
  if (warnings === undefined) return JSON.stringify(properties)
  return JSON.stringify({ ...properties, [warningsProperty]: warnings })
}

/** Each kind once. */
export function toAltered(warnings: Warnings): readonly Alteration[] | undefined {
  return warnings && [...new Set(warnings.map(({ kind }) => kind))]
}

/** The value of a column `ingest_warnings`. */
export function toWarningsJson(warnings: Warnings): JsonText {
  return warnings === undefined ? '[]' : JSON.stringify(warnings)
}

/** Longer texts keep both ends: an id that was cut may differ from another one at its end only. */
function shorten(text: string): string {
  if (!isLongerThan(text, shownLengthMax)) return text
  const half = shownLengthMax / 2
  return `${text.slice(0, half)}…${text.slice(1 - half)}`.toWellFormed()
}
