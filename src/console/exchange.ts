/** A reply of the console other than 200. `detail` is a sentence for a person. */
export class ConsoleError extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, detail: string) {
    super(detail)
    this.name = 'ConsoleError'
    this.status = status
    this.code = code
  }
}

/** A browser must neither keep a reply nor guess its type: it holds texts of strangers. */
export const safeHeaders = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const

export function toJsonResponse(document: object, status = 200): Response {
  const headers = { ...safeHeaders, 'content-type': 'application/json' }
  return new Response(JSON.stringify(document), { status, headers })
}

export function toErrorResponse({ status, code, message }: ConsoleError): Response {
  return toJsonResponse({ code: 0, status: 'error', error: code, detail: message }, status)
}

/** The parameters of a URL. Each method throws `invalid_query` for a value that is not of its kind. */
export type QueryParameters = {
  text(name: string): string | undefined
  integer(name: string, range: { min: number; max: number; fallback: number }): number
  choice<T extends string>(name: string, values: readonly T[]): T | undefined
  /** Throws if there is a parameter that nobody has read: it is a typing error. */
  assertAllRead(): void
}

const textCharsMax = 1000

export function createParameters(search: URLSearchParams): QueryParameters {
  const unread = new Set(search.keys())
  function text(name: string): string | undefined {
    unread.delete(name)
    const value = search.get(name)
    if (value === null || value === '') return undefined
    if (value.length <= textCharsMax) return value
    throw invalid(`${name} has ${value.length} characters; at most ${textCharsMax} are allowed`)
  }
  return {
    text,
    integer(name, { min, max, fallback }) {
      const value = text(name)
      if (value === undefined) return fallback
      const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
      if (number >= min && number <= max) return number
      throw invalid(`${name} ${JSON.stringify(value)} is not an integer in ${min}..${max}`)
    },
    choice(name, values) {
      const value = text(name)
      const found = values.find((one) => one === value)
      if (value === undefined || found !== undefined) return found
      throw invalid(`${name} ${JSON.stringify(value)} is not one of ${values.join(', ')}`)
    },
    assertAllRead() {
      const [name] = unread
      if (name !== undefined) throw invalid(`there is no parameter ${JSON.stringify(name)}`)
    },
  }
}

export const invalid = (detail: string) => new ConsoleError(400, 'invalid_query', detail)

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
