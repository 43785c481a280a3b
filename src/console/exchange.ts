import { withTimeLimit } from '../core/async.ts'

/** A reply of the console other than 200. `detail` is a sentence for a person. */
export class ConsoleError extends Error {
  readonly status: number
  readonly code: string
  /** Of 405: the methods that the route takes. */
  allow: string | undefined

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
  'content-security-policy': "default-src 'none'; sandbox",
} as const

export function toJsonResponse(document: object, status = 200): Response {
  const headers = { ...safeHeaders, 'content-type': 'application/json' }
  return new Response(JSON.stringify(document), { status, headers })
}

export function toErrorResponse({ status, code, message, allow }: ConsoleError): Response {
  const reply = toJsonResponse({ code: 0, status: 'error', error: code, detail: message }, status)
  if (allow !== undefined) reply.headers.set('allow', allow)
  return reply
}

/** A route that does not take the method. `methods`: those that it takes. */
export function toMethodError(path: string, method: string, methods: readonly string[]) {
  const error = new ConsoleError(405, 'method_not_allowed', `${path} does not take ${method}`)
  error.allow = [...methods, 'OPTIONS'].join(', ')
  return error
}

/** The parameters of a URL. Each method throws `invalid_query` for a value that is not of its kind. */
export type QueryParameters = {
  text(name: string): string | undefined
  integer(name: string, range: { min: number; max: number; fallback: number }): number
  choice<T extends string>(name: string, values: readonly T[]): T | undefined
  /** Throws if the route has not read one of the parameters: its name is misspelt. */
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

/** Later calls do nothing. */
export function once(call: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) call()
    isDone = true
  }
}

/** An aborted signal has no further event: a reader may go away while its request is checked. */
export function onAbort(signal: AbortSignal, call: () => void): void {
  if (signal.aborted) call()
  else signal.addEventListener('abort', call, { once: true })
}

const bodyBytesMax = 1024 * 1024
const bodyMsMax = 10_000

/** The JSON object of a POST. A form of another page cannot send this content type. */
export async function readObject(request: Request): Promise<Record<string, unknown>> {
  const type = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json')
    throw new ConsoleError(415, 'unsupported_content_type', 'send content-type: application/json')
  const text = await withTimeLimit(readText(request), bodyMsMax, () => {
    throw new ConsoleError(408, 'body_timeout', `the body did not arrive within ${bodyMsMax} ms`)
  })
  const value = parseJson(text)
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw invalid('the body is not a JSON object')
}

async function readText(request: Request): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > bodyBytesMax)
      throw new ConsoleError(413, 'body_too_large', `a body is at most ${bodyBytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
