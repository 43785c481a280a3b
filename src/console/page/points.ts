/** The plots show an hour. Apart from the page's state, so that it can be tested without a browser. */
export const minutesMax = 60

/** Known points and new ones, by time, of the hour before the newest. */
export function addPoints<T extends { at_ms: number }>(known: readonly T[], fresh: readonly T[]) {
  const newest = fresh.at(-1)?.at_ms ?? known.at(-1)?.at_ms ?? 0
  const oldest = fresh[0]?.at_ms ?? Number.POSITIVE_INFINITY
  const kept = known.filter(({ at_ms }) => at_ms < oldest)
  return [...kept, ...fresh].filter(({ at_ms }) => at_ms > newest - minutesMax * 60_000)
}
