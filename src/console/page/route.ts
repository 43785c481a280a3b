import { signal } from '@preact/signals'

/** The page that is shown, and what it shows: `#/find?id=…`. */
type Route = { page: string; values: Record<string, string> }

export const route = signal(readRoute())

addEventListener('hashchange', () => {
  route.value = readRoute()
})

export function toHash(page: string, values: Record<string, string | undefined> = {}): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) if (value) query.set(name, value)
  const text = query.toString()
  return `#/${page}${text && `?${text}`}`
}

export function openPage(page: string, values?: Record<string, string | undefined>): void {
  location.hash = toHash(page, values)
}

/** Changes the values without a new entry in the browser's history. */
export function replaceValues(values: Record<string, string | undefined>): void {
  history.replaceState(null, '', toHash(route.value.page, values))
  route.value = readRoute()
}

function readRoute(): Route {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?', 2)
  return { page: path || 'overview', values: Object.fromEntries(new URLSearchParams(query)) }
}
