import type { Engine, EngineServer } from './engine.ts'
import { frameBytesMax } from './limits.ts'

export type Handshake = {
  /** Answers any request of `/socket.io`, preflights included. Never throws. */
  handleRequest(request: Request, server: EngineServer): Promise<Response>
}

/** The HTTP side of realtime. Rejects a handshake before the server holds any state for it. */
export function createHandshake({
  engine,
  headersOf,
  isAllowedOrigin,
  clientIp,
  waitSeconds,
  hasCapacity,
  onRefused,
}: {
  engine: Engine
  headersOf: (request: Request) => Record<string, string>
  isAllowedOrigin: (origin: string) => boolean
  clientIp: (request: Request, server: EngineServer) => string
  /** Seconds until this address may connect again; 0: at once. */
  waitSeconds: (clientIp: string) => number | Promise<number>
  hasCapacity: () => boolean
  onRefused: (reason: HandshakeRefusal) => void
}): Handshake {
  async function check(request: Request, server: EngineServer): Promise<Response | undefined> {
    const origin = request.headers.get('origin')
    // CORS does not cover websockets: any page may open one. So the server checks the origin itself.
    if (origin !== null && !isAllowedOrigin(origin) && !isSameOrigin(origin, request))
      return refuse(request, 'origin')
    if (request.method === 'POST') return checkBody(request)
    if (new URL(request.url).searchParams.has('sid')) return undefined
    if (!hasCapacity()) return refuse(request, 'full', 5)
    const seconds = await waitSeconds(clientIp(request, server))
    return seconds > 0 ? refuse(request, 'rate', seconds) : undefined
  }

  /** The engine reads a whole body before it checks its size. */
  function checkBody(request: Request): Response | undefined {
    const bytes = request.headers.get('content-length')
    if (bytes === null) return refuse(request, 'length')
    return Number(bytes) > frameBytesMax ? refuse(request, 'size') : undefined
  }

  function refuse(
    request: Request,
    reason: HandshakeRefusal,
    retryAfterSeconds?: number,
  ): Response {
    onRefused(reason)
    const { status, message } = refusals[reason]
    const headers = { ...headersOf(request), 'content-type': 'application/json' }
    const retry = retryAfterSeconds === undefined ? {} : { 'retry-after': `${retryAfterSeconds}` }
    return new Response(JSON.stringify({ code: reason, message }), {
      status,
      headers: { ...headers, ...retry },
    })
  }

  async function handleRequest(request: Request, server: EngineServer): Promise<Response> {
    if (request.method === 'OPTIONS')
      return new Response(null, { status: 204, headers: headersOf(request) })
    try {
      return (await check(request, server)) ?? (await engine.handle(request, server))
    } catch {
      onRefused('error')
      return new Response(null, { status: 500, headers: headersOf(request) })
    }
  }
  return { handleRequest }
}

type HandshakeRefusal = keyof typeof refusals

/** Browsers send the Origin header also for a page of this very server. */
function isSameOrigin(origin: string, request: Request): boolean {
  return origin.replace(/^https?:\/\//, '') === request.headers.get('host')
}

const refusals = {
  origin: { status: 403, message: 'this origin may not connect' },
  rate: { status: 429, message: 'too many connections from this address' },
  full: { status: 503, message: 'the server takes no more connections at the moment' },
  length: { status: 411, message: 'a polling body needs a Content-Length' },
  size: { status: 413, message: 'the body is too large' },
  error: { status: 500, message: 'the request could not be answered' },
} as const satisfies Record<string, { status: number; message: string }>
