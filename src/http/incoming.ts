import type { Server } from 'bun'
import type { Clock } from '../core/clock.ts'
import type { IngestRequest } from '../core/protocol.ts'
import type { Incoming } from '../ingest/pipeline.ts'
import { type Deadlines, readBody } from './body.ts'
import type { ClientIp } from './client-ip.ts'

export type ToIncoming = (request: Request, server: Server<unknown> | null) => Incoming

/** Converts a web request to the input of the pipeline. */
export function createToIncoming({
  clientIp,
  now,
  deadlines,
  nextId,
}: ToIncomingOptions): ToIncoming {
  return (request, server) => {
    const { path, query } = parseTarget(request.url)
    const announcedBytes = toBytes(request.headers.get('content-length'))
    return {
      id: nextId(),
      method: request.method,
      path,
      query,
      headers: request.headers,
      clientIp: clientIp(request, server?.requestIP(request)?.address ?? ''),
      receivedMs: now(),
      announcedBytes,
      read: (bytesMax, ticket) =>
        readBody(request, ticket, { bytesMax, announcedBytes, deadlines }),
    }
  }
}

type ToIncomingOptions = {
  clientIp: ClientIp
  now: Clock
  deadlines: Deadlines
  nextId(): string
}

/** Ids of requests: random for each process, so that nodes and restarts do not share ids, and a count. */
export function createRequestIds(): () => string {
  const prefix = crypto.randomUUID().slice(0, 8)
  let count = 0
  return () => {
    count += 1
    return `${prefix}-${count.toString(36)}`
  }
}

/** Shared by requests without a query. A `URLSearchParams` takes 50 ns for each `get`, even if it is empty. */
const noQuery: IngestRequest['query'] = { get: () => null }

/** Cuts the string by hand: the URL parser costs more than the rest of the routing of a small request. */
export function parseTarget(url: string): { path: string; query: IngestRequest['query'] } {
  const start = toPathStart(url)
  if (start < 0) return { path: '/', query: noQuery }
  const mark = url.indexOf('?', start)
  const path = mark < 0 ? url.slice(start) : url.slice(start, mark)
  const query = mark < 0 ? noQuery : new URLSearchParams(url.slice(mark + 1))
  return { path: path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path, query }
}

/** The path as the client wrote it. Total: a URL without a path has ''. */
export function toRawPath(url: string): string {
  const start = toPathStart(url)
  const mark = url.indexOf('?', start)
  return mark < 0 ? url.slice(start) : url.slice(start, mark)
}

const toPathStart = (url: string) => url.indexOf('/', url.indexOf('://') + 3)

/**
 * Checks host and path of each request. A proxy and this server could read an unsound one in
 * different ways, so that a rule of the proxy would not apply.
 */
export function createIsSoundUrl(): (url: string) => boolean {
  // Nearly all requests name the same host.
  let lastSound = '://'
  return (url) => {
    if (!url.startsWith(lastSound)) {
      const start = toPathStart(url)
      if (start < 0 || !soundOrigin.test(url.slice(0, start))) return false
      lastSound = url.slice(0, start + 1)
    }
    const dot = url.indexOf('.', lastSound.length)
    return (dot < 0 && !url.includes('%')) || !hasDotSegment(url, lastSound.length - 1)
  }
}

/** A name, an IPv4 or an IPv6 address, and a port. */
const soundOrigin =
  /^https?:\/\/(?:[a-z\d_](?:[a-z\d_.-]{0,252})|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i

function hasDotSegment(url: string, start: number): boolean {
  const mark = url.indexOf('?', start)
  return dotSegment.test(mark < 0 ? url.slice(start) : url.slice(start, mark))
}

const dotSegment = /(?:\/|%2f|\\|%5c)(?:\.|%2e){1,2}(?:\/|%2f|\\|%5c|$)/i

function toBytes(contentLength: string | null): number {
  const bytes = Number(contentLength ?? 0)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : 0
}
