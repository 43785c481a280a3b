import { isIP } from 'node:net'
import type { JsonText } from '../../core/event.ts'
import { type AddressRule, toKeptAddress } from './addresses.ts'

/** What is removed from the events of a project. */
export type PrivacyRules = {
  ip: AddressRule
  /** Properties with these names are removed at every depth, and columns that the client fills. */
  dropped: ReadonlySet<string>
}

/** Properties that hold an address, if their value is one. `$ip` holds nothing else. */
const addressNames: ReadonlySet<string> = new Set(['$ip', 'ip', 'ip_address'])

/** JSON text without what the rules remove. All other values are written as they were. */
export function scrubJson(text: JsonText, rules: PrivacyRules): JsonText {
  return isConcerned(text, rules) ? JSON.stringify(parseScrubbed(text, rules)) : text
}

/** The same for a value that is parsed: a copy. */
export function scrubValue(value: unknown, rules: PrivacyRules): unknown {
  const text = JSON.stringify(value)
  return text !== undefined && isConcerned(text, rules) ? parseScrubbed(text, rules) : value
}

function parseScrubbed(text: JsonText, rules: PrivacyRules): unknown {
  return JSON.parse(text, function (this: unknown, key, ...[value, context]: [unknown, Source?]) {
    const kept = exact(value, context)
    // The whole text has no name, and elements of an array are not named.
    if (key === '' || Array.isArray(this)) return kept
    return scrubMember({ holder: this as Json, key, value: kept }, rules)
  })
}

type Source = { source: string }
type Json = Record<string, unknown>
type Member = { holder: Json; key: string; value: unknown }

/** Most texts name nothing that is removed, and are not parsed. */
function isConcerned(text: string, { ip, dropped }: PrivacyRules): boolean {
  for (const name of dropped) if (text.includes(JSON.stringify(name))) return true
  return (ip !== 'keep' && addressKey.test(text)) || warnings.test(text)
}

const addressKey = /"(?:\$ip|ip|ip_address)"/
/** The property, and the column. */
const warnings = /"\$ingest_warnings"|^\[\{"kind"/

/** A number that a double cannot hold keeps its digits. */
function exact(value: unknown, context: Source | undefined): unknown {
  if (typeof value !== 'number' || context === undefined) return value
  return String(value) === context.source ? value : rawJSON(context.source)
}

const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

/** Undefined removes the member. */
function scrubMember({ holder, key, value }: Member, rules: PrivacyRules): unknown {
  if (rules.dropped.has(key)) return undefined
  if (rules.ip !== 'keep' && addressNames.has(key)) return scrubAddress(key, value, rules)
  return key === 'value' && typeof value === 'string' && isWarning(holder)
    ? scrubWarning(holder.field, value, rules)
    : value
}

function scrubAddress(key: string, value: unknown, { ip }: PrivacyRules): unknown {
  const isAddress = typeof value === 'string' && isIP(value.trim().split('%')[0]!) !== 0
  if (!isAddress) return key === '$ip' ? undefined : value
  return toKeptAddress(value, ip) || undefined
}

/** A warning quotes what the client sent, cut in its middle (contracts/shared/warnings.ts). */
const isWarning = (holder: Json): holder is { field: string } =>
  typeof holder.field === 'string' && typeof holder.kind === 'string'

/** Of an object the names may be cut off, so none is quoted. */
function scrubWarning(field: string, value: string, rules: PrivacyRules): string {
  const isOfAddress = rules.ip !== 'keep' && addressNames.has(field)
  return isOfAddress || rules.dropped.has(field) || /^[{[]/.test(value) ? '' : value
}
