import type { SentProperties } from '../../core/event.ts'

/** What one part knows of a text, prepared once for all events that have this text. */
export type Facts = {
  /** The names of the properties. */
  names: readonly string[]
  /** For each name: a comma, the name and its value, as JSON. */
  jsons: readonly string[]
  /** All of `jsons`. */
  json: string
}

/** Empty and undefined values are unknown, and left out. */
export function toFacts(properties: FactValues): Facts {
  const known = Object.entries(properties).filter(
    ([, value]) => value !== undefined && value !== '',
  )
  const jsons = known.map(([name, value]) => `,${JSON.stringify(name)}:${JSON.stringify(value)}`)
  return { names: known.map(([name]) => name), jsons, json: jsons.join('') }
}

type FactValues = Readonly<Record<string, string | number | boolean | undefined>>

export const noFacts: Facts = { names: [], jsons: [], json: '' }

/**
 * The properties that the client did not send, as JSON members with leading commas. Null counts as
 * sent.
 */
export function toAbsent({ names, jsons, json }: Facts, sent: SentProperties): string {
  for (const name of names) if (sent[name] !== undefined) return toAbsentOnly(names, jsons, sent)
  return json
}

function toAbsentOnly(
  names: readonly string[],
  jsons: readonly string[],
  sent: SentProperties,
): string {
  return jsons.filter((_, index) => sent[names[index]!] === undefined).join('')
}
