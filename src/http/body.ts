import { IngestError } from '../core/errors.ts'
import type { AdmissionTicket } from '../ingest/load-shedding/admission-ticket.ts'

/**
 * The request's body, at most `bytesMax` long and within its deadline. Bun reads a socket only as fast as the body is
 * consumed, so a body that is refused here costs no memory. A body without Content-Length charges the ticket for each
 * chunk; a body with one was charged when the ticket was taken.
 */
export function readBody(
  request: Request,
  ticket: AdmissionTicket,
  { bytesMax, announcedBytes, deadlines }: BodyRules,
): Promise<Uint8Array> {
  if (announcedBytes > bytesMax) throw tooLarge(bytesMax)
  // Reading the property `body` makes Bun build a stream, so it is not touched here.
  if (announcedBytes > 0) return within(deadlines, request.bytes())
  return request.body ? within(deadlines, gather(request.body, ticket, bytesMax)) : noBody
}

type BodyRules = { bytesMax: number; announcedBytes: number; deadlines: Deadlines }

/** One time limit for many bodies. A timer costs 1 µs, so all bodies share one, and end up to a tenth of `ms` late. */
export type Deadlines = {
  readonly ms: number
  /** Calls `onLate` after `ms`, unless the returned function is called before. */
  set(onLate: () => void): () => void
  close(): void
}

export function createDeadlines(ms: number): Deadlines {
  // All have the same time limit, so they end in the order in which they began.
  const waiting = new Set<Waiting>()
  const checking = setInterval(() => endLate(waiting, performance.now() - ms), Math.max(1, ms / 10))
  checking.unref()
  return {
    ms,
    set(onLate) {
      const one = { sinceMs: performance.now(), onLate }
      waiting.add(one)
      return () => void waiting.delete(one)
    },
    close: () => clearInterval(checking),
  }
}

type Waiting = { sinceMs: number; onLate(): void }

function endLate(waiting: Set<Waiting>, beforeMs: number): void {
  for (const one of waiting) {
    if (one.sinceMs > beforeMs) return
    waiting.delete(one)
    one.onLate()
  }
}

const noBody = Promise.resolve(new Uint8Array(0))

function within<T>(deadlines: Deadlines, reading: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const clear = deadlines.set(() => {
      const message = `the body did not arrive within ${deadlines.ms} ms`
      reject(new IngestError('body_timeout', message))
    })
    reading.then(
      (bytes) => {
        clear()
        resolve(bytes)
      },
      (error) => {
        clear()
        reject(toIncomplete(error))
      },
    )
  })
}

async function gather(
  body: ReadableStream<Uint8Array>,
  ticket: AdmissionTicket,
  bytesMax: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) throw tooLarge(bytesMax)
    ticket.charge(chunk.byteLength)
    chunks.push(chunk)
  }
  if (chunks.length === 1) return chunks[0]!
  // While `concat` copies, memory holds both the chunks and the whole body.
  ticket.charge(bytes)
  return Buffer.concat(chunks, bytes)
}

const tooLarge = (bytesMax: number) =>
  new IngestError('body_too_large', `the body exceeds ${bytesMax} bytes`)

/** A sender that disconnects halfway is not a fault of the server. */
function toIncomplete(error: unknown): IngestError {
  if (error instanceof IngestError) return error
  return new IngestError('body_incomplete', 'the connection ended before the body did')
}
