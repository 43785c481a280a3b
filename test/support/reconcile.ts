import type { Ledger } from './traffic.ts'

export type Stored = { uuid: string; properties: string }

/** Acknowledged means stored once, stored means sent, and the properties are equal. Empty lists are success. */
export function reconcile({ sent, acknowledged }: Ledger, stored: readonly Stored[]) {
  const seen = new Set<string>()
  const doubled: string[] = []
  const neverSent: string[] = []
  const altered: string[] = []
  for (const { uuid, properties } of stored) {
    if (seen.has(uuid)) doubled.push(uuid)
    seen.add(uuid)
    const expected = sent.get(uuid)
    if (expected === undefined) neverSent.push(uuid)
    else if (JSON.stringify(JSON.parse(properties)) !== expected) altered.push(uuid)
  }
  const lost = [...acknowledged].filter((uuid) => !seen.has(uuid))
  return { lost, doubled, neverSent, altered }
}

export const nothingWrong = { lost: [], doubled: [], neverSent: [], altered: [] }
