import type { Engine, EngineServer } from './engine.ts'
import { frameBytesMax } from './limits.ts'

export type Door = {
  /** Answers any request of `/socket.io`, preflights included. Never throws. */
  handleRequest(request: Request, server: EngineServer): Promise<Response>
}

/** The HTTP side of realtime: decides who may begin a connection, before anything is kept for it. */
export function createDoor({
  engine,
  headersOf,
  isAllowedOrigin,
  clientIp,
  waitSeconds,
  hasRoom,
  onRefused,
}: {
  engine: Engine
  headersOf: (request: Request) => Record<string, string>
  isAllowedOrigin: (origin: string) => boolean
  clientIp: (request: Request, server: EngineServer) => string
  /** Seconds until this address may connect again, 0 for at once. */
  waitSeconds: (clientIp: string) => number | Promise<number>
  hasRoom: () => boolean
  onRefused: (reason: Refused, error?: unknown) => void
}): Door {
  async function judge(request: Request, server: EngineServer): Promise<Response | undefined> {
    const origin = request.headers.get('origin')
    // Browsers let any page open a websocket; the list of origins holds for those, too.
    if (origin !== null && !isAllowedOrigin(origin) && !isOwnPage(origin, request))
      return refuse(request, 'origin')
    if (request.method === 'POST') return judgeBody(request)
    if (new URL(request.url).searchParams.has('sid')) return undefined
    if (!hasRoom()) return refuse(request, 'full', 5)
    const seconds = await waitSeconds(clientIp(request, server))
    return seconds > 0 ? refuse(request, 'rate', seconds) : undefined
  }

  /** The engine reads a whole body before it looks at its size. */
  function judgeBody(request: Request): Response | undefined {
    const bytes = request.headers.get('content-length')
    if (bytes === null) return refuse(request, 'length')
    return Number(bytes) > frameBytesMax ? refuse(request, 'size') : undefined
  }

  function refuse(request: Request, reason: Refused, retryAfterSeconds?: number): Response {
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
      return (await judge(request, server)) ?? (await engine.handle(request, server))
    } catch (error) {
      onRefused('error', error)
      return new Response(null, { status: 500, headers: headersOf(request) })
    }
  }
  return { handleRequest }
}

export type Refused = keyof typeof refusals

/** Browsers name the origin of a page of this very server, too. */
function isOwnPage(origin: string, request: Request): boolean {
  return origin.replace(/^https?:\/\//, '') === request.headers.get('host')
}

const refusals = {
  origin: { status: 403, message: 'this origin may not connect' },
  rate: { status: 429, message: 'too many connections from this address' },
  full: { status: 503, message: 'no more connections are taken at the moment' },
  length: { status: 411, message: 'a polling body needs its length' },
  size: { status: 413, message: 'the body is too large' },
  error: { status: 500, message: 'the request could not be answered' },
} as const satisfies Record<string, { status: number; message: string }>
