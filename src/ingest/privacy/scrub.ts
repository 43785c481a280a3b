import { isIP } from 'node:net'
import { isJsonObject } from '../../contracts/shared/json.ts'
import { type Warning, warningsProperty } from '../../contracts/shared/warnings.ts'
import type { JsonText } from '../../core/event.ts'
import { endOfString, jsonGuard } from '../../core/json-guard.ts'
import { type AddressRule, toKeptAddress } from './addresses.ts'

/** The rules of a project say what is removed from its events. */
export type PrivacyRules = {
  ip: AddressRule
  /** Properties with these names are removed at every depth, and columns that the client fills. */
  dropped: ReadonlySet<string>
}

/** Properties that hold an address, if their value is one. `$ip` holds nothing else. */
const addressNames: ReadonlySet<string> = new Set(['$ip', 'ip', 'ip_address'])

/**
 * Valid JSON text without what the rules remove. All else is copied as it was. The text is not parsed:
 * measured, that takes ten times as long, and names that collide in the runtime's hash would hold the
 * thread a second time.
 */
export function scrubJson(text: JsonText, rules: PrivacyRules): JsonText {
  if (!isConcerned(text, rules)) return text
  const cuts = findCuts(text, rules)
  if (cuts.length === 0) return text
  let scrubbed = ''
  let from = 0
  for (const { start, end, instead } of cuts) {
    scrubbed += text.slice(from, start) + instead
    from = end
  }
  return scrubbed + text.slice(from)
}

/** The warnings of a row. Anything else stays as it is: the server did not write it. */
export function scrubWarnings(text: JsonText, rules: PrivacyRules): JsonText {
  if (text === '[]') return text
  const warnings = jsonGuard.parse(text)
  if (!Array.isArray(warnings) || !warnings.every(isWarning)) return text
  return JSON.stringify(warnings.map((warning) => scrubWarning(warning, rules)))
}

/** Most texts name nothing that is removed. A name may be written with escapes. */
function isConcerned(text: string, { ip, dropped }: PrivacyRules): boolean {
  for (const name of dropped) if (text.includes(JSON.stringify(name))) return true
  if (ip !== 'keep' && addressKey.test(text)) return true
  return text.includes(warningsKey) || hasEscape.test(text)
}

const addressKey = /"(?:\$ip|ip|ip_address)"/
const warningsKey = JSON.stringify(warningsProperty)
/** `\/` in a name is a slash, too. */
const hasEscape = /\\[u/]/

/** A part of the text, and what takes its place. */
type Cut = { start: number; end: number; instead: string }

/** The cuts in their order, none within another. The depth of the text is bounded where it was parsed. */
function findCuts(text: string, rules: PrivacyRules): Cut[] {
  const cuts: Cut[] = []

  /** Each of these functions returns the index behind the part that it has read. */
  function readValue(from: number, depth: number): number {
    const at = skipSpace(text, from)
    const code = text.charCodeAt(at)
    if (code === quote) return endOfString(text, at) + 1
    if (code === openBrace) return readObject(at, depth)
    return code === openBracket ? readArray(at, depth) : endOfToken(text, at)
  }

  function readArray(open: number, depth: number): number {
    let at = skipSpace(text, open + 1)
    if (text.charCodeAt(at) === closeBracket) return at + 1
    for (;;) {
      at = skipSpace(text, readValue(at, depth + 1))
      if (text.charCodeAt(at) !== comma) return at + 1
      at += 1
    }
  }

  function readObject(open: number, depth: number): number {
    let at = skipSpace(text, open + 1)
    /** The comma behind the last member that stays; -1 before the first one. */
    let commaBefore = -1
    if (text.charCodeAt(at) === closeBrace) return at + 1
    for (;;) {
      const start = at
      const nameEnd = endOfString(text, start)
      const valueStart = skipSpace(text, skipSpace(text, nameEnd + 1) + 1)
      const known = cuts.length
      const end = readValue(valueStart, depth + 1)
      const member = { name: toName(text, start, nameEnd), value: text.slice(valueStart, end) }
      const instead = scrubMember(member, depth, rules)
      at = skipSpace(text, end)
      const hasNext = text.charCodeAt(at) === comma
      const next = hasNext ? skipSpace(text, at + 1) : at
      if (instead !== undefined) cuts.length = known
      if (instead === removed)
        cuts.push(
          commaBefore < 0
            ? { start, end: next, instead: '' }
            : { start: commaBefore, end: at, instead: '' },
        )
      else if (instead !== undefined) cuts.push({ start: valueStart, end, instead })
      if (!hasNext) return at + 1
      if (instead !== removed || commaBefore >= 0) commaBefore = at
      at = next
    }
  }

  readValue(0, 0)
  return cuts
}

const removed = ''

/** Undefined: the member stays, `removed`: it goes, else the JSON that its value becomes. */
function scrubMember(
  { name, value }: { name: string; value: JsonText },
  depth: number,
  rules: PrivacyRules,
): JsonText | undefined {
  if (rules.dropped.has(name)) return removed
  if (rules.ip !== 'keep' && addressNames.has(name)) return scrubAddress(name, value, rules)
  return depth === 0 && name === warningsProperty ? scrubWarnings(value, rules) : undefined
}

function scrubAddress(name: string, json: JsonText, { ip }: PrivacyRules): JsonText | undefined {
  const value = json.startsWith('"') ? (JSON.parse(json) as string) : ''
  const isAddress = isIP(value.trim().split('%')[0]!) !== 0
  if (!isAddress) return name === '$ip' ? removed : undefined
  const kept = toKeptAddress(value, ip)
  return kept === '' ? removed : JSON.stringify(kept)
}

/** A warning quotes what the client sent, cut in its middle. */
function isWarning(value: unknown): value is Warning {
  if (!isJsonObject(value)) return false
  return [value.kind, value.field, value.value].every((text) => typeof text === 'string')
}

/** The quote of an object may be cut within a name, so it is emptied. */
function scrubWarning(warning: Warning, rules: PrivacyRules): Warning {
  const { field, value } = warning
  const isOfAddress = rules.ip !== 'keep' && addressNames.has(field)
  const isRemoved = isOfAddress || rules.dropped.has(field) || /^[{[]/.test(value)
  return isRemoved ? { ...warning, value: '' } : warning
}

function toName(text: string, start: number, end: number): string {
  const name = text.slice(start + 1, end)
  return name.includes('\\') ? (JSON.parse(`"${name}"`) as string) : name
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (text.charCodeAt(at) <= space) at += 1
  return at
}

/** The index behind a number, true, false or null. */
function endOfToken(text: string, from: number): number {
  let at = from
  for (; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === comma || code === closeBrace || code === closeBracket || code <= space) return at
  }
  return at
}

const space = 32
const quote = 34
const comma = 44
const openBracket = 91
const closeBracket = 93
const openBrace = 123
const closeBrace = 125
