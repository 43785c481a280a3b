/** The outcome of asking a service for its version, without changing anything there. */
export type ServiceProbe = { version: string } | { fault: string }

/** Compares two versions by their numbers: 24.10 is above 24.4. */
export function isOlder(version: string, oldest: string): boolean {
  const [a, b] = [version, oldest].map((one) => one.split('.').map(Number))
  for (let at = 0; at < b!.length; at += 1) {
    const difference = (a![at] ?? 0) - b![at]!
    if (difference !== 0) return difference < 0
  }
  return false
}
