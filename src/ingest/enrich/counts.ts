/** Plain numbers that count the work of enrichment. The metrics read them. */
export type EnrichCounts = {
  userAgent: CacheCounts
  geo: GeoCounts
  utm: CacheCounts
  /** Events of robots. */
  bots: { marked: number; dropped: number }
}

export type CacheCounts = {
  hits: number
  misses: number
  /** Texts that were not looked at, because a request had too many different ones. */
  skipped: number
}

export type GeoCounts = CacheCounts & {
  /** Look-ups that failed, because the file is damaged. */
  failures: number
}

export const createEnrichCounts = (): EnrichCounts => ({
  userAgent: { hits: 0, misses: 0, skipped: 0 },
  geo: { hits: 0, misses: 0, skipped: 0, failures: 0 },
  utm: { hits: 0, misses: 0, skipped: 0 },
  bots: { marked: 0, dropped: 0 },
})

/** Adds the counts of another thread. */
export function addCounts(total: EnrichCounts, more: EnrichCounts): void {
  add(total.userAgent, more.userAgent)
  add(total.geo, more.geo)
  add(total.utm, more.utm)
  add(total.bots, more.bots)
}

/** The counts until now; they start again at 0. The parts keep the objects that they add to. */
export function takeCounts(counts: EnrichCounts): EnrichCounts {
  const taken = structuredClone(counts)
  for (const group of Object.values(counts)) clear(group)
  return taken
}

function clear(group: Record<string, number>): void {
  for (const name of Object.keys(group)) group[name] = 0
}

function add(total: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) total[name] = (total[name] ?? 0) + count
}
