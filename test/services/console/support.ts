import type { Spillway } from '../../support/spillway.ts'

export const tag = '<img src=x onerror=alert(1)>\u0000\u001b[31m"\u2028'

/** One event of each contract, with texts that would do harm as HTML or in a terminal. */
export const senders = {
  capture: (url: string, headers: Record<string, string> = {}) =>
    post(
      `${url}/e`,
      { api_key: 'phc_console', event: `click ${tag}`, distinct_id: 'ada' },
      headers,
    ),
  link: (url: string, headers: Record<string, string> = {}) =>
    post(
      `${url}/api/events/track`,
      { event_type: 'click', project_id: 'phc_console', visitor_id: 'ada', link_title: tag },
      headers,
    ),
  report: (url: string, headers: Record<string, string> = {}) =>
    post(
      `${url}/users/report/events`,
      { events: [{ name: `open ${tag}`, user: 'ada', sessionId: 's1' }] },
      { ...reportHeaders, ...headers },
    ),
  telemetry: (url: string, headers: Record<string, string> = {}) =>
    post(
      `${url}/api/telemetry/events`,
      [{ ...telemetryEvent, id: crypto.randomUUID(), name: `boot ${tag}` }],
      headers,
    ),
}

export type Contract = keyof typeof senders
export const contracts = Object.keys(senders) as Contract[]

const reportHeaders = {
  'x-api-key': 'sk_console',
  'x-user-id': 'u1',
  'x-app-id': 'app',
  'x-platform': 'ios',
  'x-version': '1',
}

export const telemetryEvent = {
  ...{ id: 't1', type: 'custom', name: 'boot', ts: 1_795_958_900_000, app: 'phc_console' },
  ...{ release: '1', sessionId: 's1', user: { id: 'ada' } },
}

export async function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const text = await response.text()
  return { status: response.status, text, requestId: response.headers.get('x-request-id') ?? '' }
}

// biome-ignore lint/suspicious/noExplicitAny: documents of many shapes.
export type Document = any

/** A document of the console. Throws for any other status than 200. */
export async function read(
  server: Pick<Spillway, 'url'>,
  path: string,
  headers: Record<string, string> = {},
): Promise<Document> {
  const response = await fetch(`${server.url}/console/api/${path}`, { headers })
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`)
  return JSON.parse(text)
}

/** Sends a document to the console. */
export async function send(server: Pick<Spillway, 'url'>, path: string, body: object) {
  const { status, text } = await post(`${server.url}/console/api/${path}`, body)
  return { status, text, document: () => JSON.parse(text) as Document }
}

/** Reads the messages of a stream as they come. */
export async function watch(server: Pick<Spillway, 'url'>, query: string) {
  const control = new AbortController()
  const response = await fetch(`${server.url}/console/api/live?${query}`, {
    signal: control.signal,
  })
  const seen: Document[] = []
  let skipped = 0
  let rest = ''
  const reading = (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n\n')
      rest = parts.pop() ?? ''
      for (const part of parts) {
        // Not a regular expression: `.` ends at U+2028, and a line of this format does not.
        const data = part.split('\n').find((line) => line.startsWith('data: ')) ?? 'data: {}'
        const message = JSON.parse(data.slice('data: '.length))
        seen.push(...(message.events ?? []))
        skipped += message.skipped ?? 0
      }
    }
  })().catch((error) => {
    if (!control.signal.aborted) throw error
  })
  return {
    status: response.status,
    seen,
    skipped: () => skipped,
    async end() {
      control.abort()
      await reading
    },
  }
}
