/** The methods of each path, for the replies 405. Paths with parameters are few, so they are looked through. */
export function createMethodTable() {
  const exact = new Map<string, readonly string[]>()
  const patterns: [RegExp, readonly string[]][] = []
  return {
    add(path: string, methods: readonly string[]): void {
      if (/[:*]/.test(path)) patterns.push([toPattern(path), methods])
      else exact.set(path, methods)
    },
    /** `path` is without a trailing slash. Empty for an unknown path. */
    of: (path: string): readonly string[] =>
      exact.get(path) ?? patterns.find(([pattern]) => pattern.test(path))?.[1] ?? [],
  }
}

const toPattern = (path: string) =>
  new RegExp(`^${path.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+').replace('*', '.*')}$`)
