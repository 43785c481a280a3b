import type { SentProperties } from '../../core/event.ts'

/**
 * The facts that one part knows of a text, as JSON members that are made once for all events of this text.
 * A part has the same names for all texts, in the same order.
 */
export type Facts = {
  names: readonly string[]
  /** For each name: a comma, the name and its value, as JSON. Empty if the value is unknown. */
  jsons: readonly string[]
  /** The names that the last event did not have, one bit each, and their members. */
  absent: number
  json: string
}

/** Empty and undefined values are unknown. At most 31 of them. */
export function toFacts(properties: FactValues): Facts {
  const jsons = Object.entries(properties).map(([name, value]) =>
    value === undefined || value === '' ? '' : `,${JSON.stringify(name)}:${JSON.stringify(value)}`,
  )
  const names = Object.keys(properties)
  return { names, jsons, absent: -1, json: jsons.join('') }
}

type FactValues = Readonly<Record<string, string | number | boolean | undefined>>

export const noFacts: Facts = Object.freeze({ names: [], jsons: [], absent: -1, json: '' })

/**
 * The members that an event lacks: `absent` has a bit for each name that the event does not have. The
 * events of a batch mostly lack the same ones.
 */
export function toMembers(facts: Facts, absent: number): string {
  if (facts === noFacts) return ''
  if (facts.absent !== absent) {
    facts.absent = absent
    facts.json = facts.jsons.filter((_, index) => (absent & (1 << index)) !== 0).join('')
  }
  return facts.json
}

/** Facts whose names differ from text to text: without the unknown ones. */
export function toSparseFacts(properties: FactValues): Facts {
  return toFacts(Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== '')))
}

/** The members of sparse facts that an event lacks. Null counts as sent. */
export function toSparseMembers({ names, jsons, json }: Facts, sent: SentProperties): string {
  for (const name of names) {
    if (sent[name] === undefined) continue
    return jsons.filter((_, index) => sent[names[index]!] === undefined).join('')
  }
  return json
}
