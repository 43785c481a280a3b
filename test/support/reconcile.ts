import type { Ledger } from './traffic.ts'

export type Stored = { uuid: string; properties: string }

/**
 * Checks that every acknowledged event is stored once, every stored event was sent, and the properties are
 * equal. Success is empty lists.
 */
export function reconcile({ sent, acknowledged }: Ledger, stored: readonly Stored[]) {
  const seen = new Set<string>()
  const duplicated: string[] = []
  const neverSent: string[] = []
  const altered: string[] = []
  for (const { uuid, properties } of stored) {
    if (seen.has(uuid)) duplicated.push(uuid)
    seen.add(uuid)
    const expected = sent.get(uuid)
    if (expected === undefined) neverSent.push(uuid)
    else if (JSON.stringify(JSON.parse(properties)) !== expected) altered.push(uuid)
  }
  const lost = [...acknowledged].filter((uuid) => !seen.has(uuid))
  return { lost, duplicated, neverSent, altered }
}

export const nothingWrong = { lost: [], duplicated: [], neverSent: [], altered: [] }
