import type { TObject, TSchema } from 'typebox'
import Value from 'typebox/value'

export type Environment = Readonly<Record<string, string | undefined>>

/** Lists every fault of the environment; `message` has one line for each. */
export class SettingsError extends Error {
  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.name = 'SettingsError'
  }
}

/**
 * Reads a flat table of settings from the environment. `faults` names setting, value and bound of every fault; the value
 * is the default then. An empty variable counts as unset.
 */
export function parseSettings(
  schema: TObject,
  environment: Environment,
): { values: Record<string, unknown>; warnings: string[]; faults: string[] } {
  const faults: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(schema.properties)) {
    const text = environment[name]
    const value =
      text === undefined || text === '' ? (field as Described).default : toValue(field, text)
    const found =
      value !== undefined && !Value.Check(field, value)
        ? [toFault(name, field, text)]
        : findFaults(name, field, value)
    faults.push(...found)
    values[name] = found.length > 0 ? (field as Described).default : value
  }
  return { values, warnings: toWarnings(Object.keys(schema.properties), environment), faults }
}

/** The faults that the setting's own check finds, for each item of a list. */
function findFaults(name: string, { check, secret }: Described, value: unknown): string[] {
  if (!check || value === undefined) return []
  const items = Array.isArray(value) ? value : [value]
  return items.flatMap((item) => {
    const expected = check(item)
    const shown = secret ? '(hidden)' : JSON.stringify(item)
    return expected === undefined ? [] : [`${name} ${shown} is not ${expected}`]
  })
}

type Described = TSchema & {
  default?: unknown
  type?: string
  minimum?: number
  maximum?: number
  enum?: readonly unknown[]
  secret?: boolean
  description?: string
  check?: (value: string) => string | undefined
}

const unitBytes: Record<string, number> = {
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
}

function toValue(field: Described, text: string): unknown {
  if (field.type === 'integer') return toInteger(text)
  if (field.type === 'boolean')
    return { true: true, '1': true, false: false, '0': false }[text] ?? text
  if (field.type === 'array') return text.split(',').flatMap((part) => part.trim() || [])
  return text
}

/** Digits, or digits with a binary unit: `256MiB`. Any other text is returned as it is and fails the check. */
function toInteger(text: string): number | string {
  const match = /^(\d+)\s*(KiB|MiB|GiB|TiB)?$/.exec(text)
  return match ? Number(match[1]) * (unitBytes[match[2] ?? ''] ?? 1) : text
}

function toFault(name: string, field: Described, text: string | undefined): string {
  const shown = field.secret ? '(hidden)' : JSON.stringify(text ?? '')
  return `${name} ${shown} is not ${toBound(field)}${toHint(field, text ?? '')}`
}

/** Other systems write 10GB or 10g for what is 10GiB here. */
function toHint({ type }: Described, text: string): string {
  const [, digits, letter] = /^(\d+)\s*([kmgt])(?:i?b)?$/i.exec(text) ?? []
  if (type !== 'integer' || letter === undefined) return ''
  return `; did you mean ${digits}${letter.toUpperCase()}iB?`
}

function toBound(field: Described): string {
  if (field.enum) return `one of ${field.enum.join(', ')}`
  if (field.type === 'integer') return `an integer in ${field.minimum ?? 0}..${field.maximum}`
  if (field.type === 'boolean') return 'true or false'
  return field.description ?? 'valid'
}

/** A variable that differs from a setting by one or two letters is most likely a misspelling of it. */
function toWarnings(names: readonly string[], environment: Environment): string[] {
  const known = new Set(names)
  return Object.keys(environment).flatMap((name) => {
    if (known.has(name) || name.length < 6) return []
    const meant = names.find((candidate) => distance(name, candidate) <= 2)
    return meant ? [`${name} is not a setting; did you mean ${meant}?`] : []
  })
}

/** Levenshtein distance; 3 if the lengths differ by more than 2. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replace = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replace, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
