import { signal } from '@preact/signals'

/** The token lives as long as the tab. It is sent as a header only, never in a URL. */
const storageKey = 'spillway-console-token'
export const token = signal(sessionStorage.getItem(storageKey) ?? '')
/** Whether the server has asked for a token, or for another one. */
export const isLocked = signal(false)

export function setToken(text: string): void {
  token.value = text
  if (text === '') sessionStorage.removeItem(storageKey)
  else sessionStorage.setItem(storageKey, text)
  isLocked.value = false
}

export class ApiError extends Error {
  readonly code: string
  constructor(code: string, detail: string) {
    super(detail)
    this.code = code
  }
}

type Values = Record<string, string | number | boolean | undefined>
type Sending = { values?: Values; body?: object; signal?: AbortSignal }

/** The reply of a data route. Throws an ApiError with a sentence for the reader. */
export async function request(path: string, { values, body, signal }: Sending = {}) {
  const sentToken = token.value
  const response = await send(toUrl(path, values), body, signal)
  if (response.ok) return response
  // A late refusal of an earlier token must not lock out the present one.
  if (response.status === 401 && token.value === sentToken) isLocked.value = true
  throw await toApiError(response)
}

export async function get<T>(path: string, values?: Values, signal?: AbortSignal): Promise<T> {
  const response = await request(path, { ...(values && { values }), ...(signal && { signal }) })
  return (await response.json()) as T
}

export async function post<T>(path: string, body: object): Promise<T> {
  return (await (await request(path, { body })).json()) as T
}

export function toUrl(path: string, values: Values = {}): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values))
    if (value !== undefined && value !== '') query.set(name, String(value))
  const text = query.toString()
  return `/console/api/${path}${text && `?${text}`}`
}

async function send(url: string, body?: object, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = {}
  if (token.value !== '') headers.authorization = `Bearer ${token.value}`
  if (body) headers['content-type'] = 'application/json'
  try {
    return await fetch(url, {
      headers,
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
      ...(signal && { signal }),
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError('unreachable', 'The server does not answer. It may be restarting.')
  }
}

async function toApiError(response: Response): Promise<ApiError> {
  try {
    const { error, detail } = await response.json()
    return new ApiError(String(error), String(detail))
  } catch {
    return new ApiError('unreadable', `The server answered with status ${response.status}.`)
  }
}
