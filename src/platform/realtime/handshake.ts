import { toSender } from '../../core/address.ts'
import { withTimeLimit } from '../../core/async.ts'
import type { Engine, EngineServer } from './engine.ts'
import {
  bodiesBytesMax,
  bodyMsMax,
  frameBytesMax,
  pacedBytesMin,
  packetsBurst,
  queryNamesMax,
  urlLengthMax,
} from './limits.ts'
import { weigh, weightUsMax } from './packet-weight.ts'

export type Handshake = {
  /** Answers any request of `/socket.io`, preflights included. Never throws. */
  handleRequest(request: Request, server: EngineServer): Promise<Response>
}

export type HandshakeOptions = {
  engine: Engine
  headersOf: (request: Request) => Record<string, string>
  isAllowedOrigin: (origin: string) => boolean
  isOff?: boolean | undefined
  clientIp: (request: Request, server: EngineServer) => string
  /** Seconds until this address, or /64, may connect again; 0: at once. */
  waitSeconds: (sender: string) => number | Promise<number>
  hasCapacity: () => boolean
  onRejected: (reason: HandshakeRejection) => void
}

/** The HTTP side of realtime. Rejects a handshake before the server holds any state for it. */
export function createHandshake(options: HandshakeOptions): Handshake {
  const { engine, headersOf, isAllowedOrigin, clientIp, waitSeconds, onRejected } = options
  const takeTurn = createTurns()
  let bodiesBytes = 0

  async function answer(request: Request, server: EngineServer): Promise<Response> {
    const origin = request.headers.get('origin')
    // CORS does not cover websockets: any page may open one. So the server checks the origin
    // itself.
    if (origin !== null && !isAllowedOrigin(origin) && !isSameOrigin(origin, request))
      throw new Rejection('origin')
    const sid = parseSid(request.url)
    if (options.isOff) throw new Rejection('no_tokens')
    if (request.method === 'POST') return await takeBody(request, { sid, server })
    if (request.headers.has('upgrade')) checkUpgrade(request, sid)
    // The engine decides in the same way what is a handshake: an empty sid is none.
    if (sid === '') {
      if (!options.hasCapacity()) throw new Rejection('full', 5)
      const seconds = await waitSeconds(toSender(clientIp(request, server)))
      if (seconds > 0) throw new Rejection('rate', seconds)
    }
    return await engine.handle(request, server)
  }

  function checkUpgrade({ headers }: Request, sid: string): void {
    const isWebsocket = headers.get('upgrade')?.toLowerCase() === 'websocket'
    if (!isWebsocket || !headers.has('sec-websocket-key')) throw new Rejection('upgrade')
    if (sid !== '' && !engine.startUpgrade(sid)) throw new Rejection('upgrade')
  }

  /** The engine would read a whole body, and split it into packets, before it checks anything. */
  async function takeBody(
    request: Request,
    { sid, server }: { sid: string; server: EngineServer },
  ): Promise<Response> {
    const announced = request.headers.get('content-length')
    if (announced === null) throw new Rejection('length')
    const bytes = Number(announced)
    if (!(bytes <= Math.min(frameBytesMax, engine.bodyBytesMax(sid)))) throw new Rejection('size')
    if (bodiesBytes + bytes > bodiesBytesMax) throw new Rejection('full', 1)
    bodiesBytes += bytes
    let body: string
    try {
      body = await withTimeLimit(request.text(), bodyMsMax, () => {
        throw new Rejection('timeout')
      })
    } finally {
      bodiesBytes -= bytes
    }
    if (countPackets(body) > packetsBurst) {
      engine.endFlood(sid)
      throw new Rejection('packets')
    }
    if (body.length > pacedBytesMin) {
      await takeTurn()
      if (isHeavyBody(body)) throw new Rejection('weight')
    }
    const { url, headers, signal } = request
    return await engine.handle(new Request(url, { method: 'POST', headers, signal, body }), server)
  }

  function reject(request: Request, { reason, retryAfterSeconds }: Rejection): Response {
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
      return await answer(request, server)
    } catch (error) {
      return reject(request, error instanceof Rejection ? error : new Rejection('error'))
    }
  }
  return { handleRequest }
}

class Rejection extends Error {
  readonly reason: HandshakeRejection
  readonly retryAfterSeconds: number | undefined

  constructor(reason: HandshakeRejection, retryAfterSeconds?: number) {
    super(reason)
    this.reason = reason
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** Empty if the request names no session. */
function parseSid(url: string): string {
  if (url.length > urlLengthMax || url.split('&', queryNamesMax + 1).length > queryNamesMax)
    throw new Rejection('query')
  return new URL(url).searchParams.get('sid') ?? ''
}

/** Engine.IO separates the packets of a body by the character U+001E. */
function countPackets(body: string): number {
  let count = 1
  for (let at = body.indexOf('\u001e'); at >= 0; at = body.indexOf('\u001e', at + 1)) count += 1
  return count
}

/** The packets of a body are parsed one after the other, so they count together. */
const isHeavyBody = (body: string) => {
  let us = 0
  return body.split('\u001e').some((packet) => {
    us += weigh(packet)
    return us > weightUsMax
  })
}

/** Lets one caller an event-loop iteration go on. */
function createTurns(): () => Promise<void> {
  let last = Promise.resolve()
  return () => {
    last = last.then(() => new Promise<void>((resolve) => void setImmediate(resolve)))
    return last
  }
}

type HandshakeRejection = keyof typeof rejections

/** Browsers send the Origin header also for a page of this very server. */
function isSameOrigin(origin: string, request: Request): boolean {
  return origin.replace(/^https?:\/\//, '') === request.headers.get('host')
}

const rejections = {
  origin: { status: 403, message: 'this origin may not connect' },
  rate: { status: 429, message: 'too many connections from this address' },
  no_tokens: {
    status: 503,
    message: 'this server issues no tokens: its AUTH_KEYS_FILE is not set',
  },
  full: { status: 503, message: 'the server takes no more connections at the moment' },
  length: { status: 411, message: 'a polling body needs a Content-Length' },
  size: { status: 413, message: 'the body is too large' },
  timeout: { status: 408, message: 'the body did not arrive in time' },
  packets: { status: 400, message: 'the body has too many packets' },
  weight: { status: 413, message: 'the body has too many names or values' },
  query: { status: 400, message: 'the query is too long or has too many parameters' },
  upgrade: { status: 400, message: 'only one websocket a session is possible' },
  error: { status: 500, message: 'the request could not be answered' },
} as const satisfies Record<string, { status: number; message: string }>
