import { withTimeLimit } from '../core/async.ts'
import { IngestError } from '../core/errors.ts'
import type { Ingest } from '../ingest/pipeline.ts'

/**
 * The pipeline of the boot app. It holds requests that arrive before the journal is open, and hands
 * them to the real pipeline then: most starts take less than a second, and a client that gets 503
 * may give its batch up. Beyond the bounds, requests are refused with `starting`. Bodies are not
 * read while a request is held.
 */
export function createBootIngest(bounds: BootBounds = bootBounds): BootIngest {
  const opened = Promise.withResolvers<Ingest | undefined>()
  let requests = 0
  let bytes = 0
  const hold = async ({ announcedBytes }: { announcedBytes: number }) => {
    if (requests >= bounds.requestsMax || bytes + announcedBytes > bounds.bytesMax) return undefined
    requests += 1
    bytes += announcedBytes
    const ingest = await withTimeLimit(opened.promise, bounds.msMax, () => undefined)
    requests -= 1
    bytes -= announcedBytes
    return ingest
  }
  return {
    async ingest(contract, incoming) {
      const ingest = await hold(incoming)
      if (ingest) return ingest(contract, incoming)
      return { ...contract.refuse(starting, incoming), reason: starting.code }
    },
    open: opened.resolve,
    close: () => opened.resolve(undefined),
  }
}

export type BootIngest = {
  ingest: Ingest
  /** Hands all held requests to the real pipeline. */
  open(ingest: Ingest): void
  /** Refuses all held requests. No-op after `open`. */
  close(): void
}

type BootBounds = { requestsMax: number; bytesMax: number; msMax: number }

/** SDKs wait 10 s for a reply. In 5 s a start that is not delayed by a long recovery is over. */
const bootBounds: BootBounds = { requestsMax: 1024, bytesMax: 64 * 1024 * 1024, msMax: 5000 }

const starting = new IngestError('starting', 'the server is starting', { retryAfterSeconds: 1 })
