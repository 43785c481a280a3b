import { IngestError } from '../core/errors.ts'
import type { AdmissionTicket } from '../ingest/load-shedding/admission-ticket.ts'
import type { Deadlines } from './deadlines.ts'

export type BodyRules = { bytesMax: number; announcedBytes: number; deadlines: Deadlines }

/**
 * The request's body, within `bytesMax` and its time. Bun reads a socket only as fast as its body is asked
 * for, so a body that is refused here costs no memory. A body without Content-Length charges the
 * ticket chunk by chunk; an announced one was charged when the ticket was taken.
 */
export function readBody(
  request: Request,
  ticket: AdmissionTicket,
  { bytesMax, announcedBytes, deadlines }: BodyRules,
): Promise<Uint8Array> {
  if (announcedBytes > bytesMax) throw tooLarge(bytesMax)
  // Merely to look at `body` makes a stream of it.
  if (announcedBytes > 0) return within(deadlines, request.bytes())
  return request.body ? within(deadlines, gather(request.body, ticket, bytesMax)) : noBody
}

const noBody = Promise.resolve(new Uint8Array(0))

function within<T>(deadlines: Deadlines, reading: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const arrived = deadlines.set(() => {
      const words = `the body did not arrive within ${deadlines.ms} ms`
      reject(new IngestError('body_timeout', words))
    })
    reading.then(
      (bytes) => {
        arrived()
        resolve(bytes)
      },
      (error) => {
        arrived()
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
  // For a moment there are both the pieces and the whole.
  ticket.charge(bytes)
  return Buffer.concat(chunks, bytes)
}

const tooLarge = (bytesMax: number) =>
  new IngestError('body_too_large', `the body exceeds ${bytesMax} bytes`)

/** A sender that goes away in the middle is no fault of ours. */
function toIncomplete(error: unknown): IngestError {
  if (error instanceof IngestError) return error
  return new IngestError('body_incomplete', 'the connection ended before the body did')
}
