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
  onRejected,
}: {
  engine: Engine
  headersOf: (request: Request) => Record<string, string>
  isAllowedOrigin: (origin: string) => boolean
  clientIp: (request: Request, server: EngineServer) => string
  /** Seconds until this address may connect again; 0: at once. */
  waitSeconds: (clientIp: string) => number | Promise<number>
  hasCapacity: () => boolean
  onRejected: (reason: HandshakeRejection) => void
}): Handshake {
  async function check(request: Request, server: EngineServer): Promise<Response | undefined> {
    const origin = request.headers.get('origin')
    // CORS does not cover websockets: any page may open one. So the server checks the origin
    // itself.
    if (origin !== null && !isAllowedOrigin(origin) && !isSameOrigin(origin, request))
      return reject(request, 'origin')
    if (request.method === 'POST') return checkBody(request)
    if (new URL(request.url).searchParams.has('sid')) return undefined
    if (!hasCapacity()) return reject(request, 'full', 5)
    const seconds = await waitSeconds(clientIp(request, server))
    return seconds > 0 ? reject(request, 'rate', seconds) : undefined
  }

  /** The engine reads a whole body before it checks its size. */
  function checkBody(request: Request): Response | undefined {
    const bytes = request.headers.get('content-length')
    if (bytes === null) return reject(request, 'length')
    return Number(bytes) > frameBytesMax ? reject(request, 'size') : undefined
  }

  function reject(
    request: Request,
    reason: HandshakeRejection,
    retryAfterSeconds?: number,
  ): Response {
    onRejected(reason)
    const { status, message } = rejections[reason]
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
      onRejected('error')
      return new Response(null, { status: 500, headers: headersOf(request) })
    }
  }
  return { handleRequest }
}

type HandshakeRejection = keyof typeof rejections

/** Browsers send the Origin header also for a page of this very server. */
function isSameOrigin(origin: string, request: Request): boolean {
  return origin.replace(/^https?:\/\//, '') === request.headers.get('host')
}

const rejections = {
  origin: { status: 403, message: 'this origin may not connect' },
  rate: { status: 429, message: 'too many connections from this address' },
  full: { status: 503, message: 'the server takes no more connections at the moment' },
  length: { status: 411, message: 'a polling body needs a Content-Length' },
  size: { status: 413, message: 'the body is too large' },
  error: { status: 500, message: 'the request could not be answered' },
} as const satisfies Record<string, { status: number; message: string }>
