import { readFileSync } from 'node:fs'
import type { ContractLimits } from '../../contracts/registry.ts'
import { withTimeLimit } from '../../core/async.ts'
import { type ErrorCode, type ErrorDetails, IngestError } from '../../core/errors.ts'
import type {
  ContractKey,
  IngestRequest,
  NormaliseContext,
  Reply,
  Submission,
} from '../../core/protocol.ts'
import { createRequestThread } from '../../core/worker-thread.ts'
import type { EnrichCounts } from '../enrich/counts.ts'
import type { EnrichmentMessage } from '../enrich/enrich.ts'
import type { BodySize, Slice, StoredBody } from './work.ts'

/** The request without its body, as plain data. */
export type RequestHead = Pick<IngestRequest, 'method' | 'path' | 'clientIp' | 'receivedMs'> & {
  query: string
  headers: [string, string][]
}

/** The steps of `BodyWork`. `end` frees the memory of the body. */
export type BodyRequest =
  | {
      step: 'unwrap'
      contract: ContractKey
      limits: ContractLimits
      head: RequestHead
      body: Uint8Array<ArrayBuffer>
    }
  | { step: 'thread' | 'parse' | 'next' | 'end' }
  | { step: 'normalise'; context: NormaliseContext; enrichment: EnrichmentMessage | undefined }
  | { step: 'reply'; stored: StoredBody }

export type BodyReply =
  | { size: BodySize }
  | { schedstat: string }
  | { submission: Submission }
  | { slice: Slice; enriched?: EnrichCounts | undefined }
  | { reply: Reply }
  | { refused: { code: ErrorCode; message: string; details: ErrorDetails } }
  | { fault: string }

/** The work on one large body, on the body thread. Each step rejects with what the work throws. */
export type RemoteWork = {
  unwrap(): Promise<BodySize>
  parse(): Promise<Submission>
  normalise(context: NormaliseContext): Promise<Slice>
  next(): Promise<Slice>
  reply(stored: StoredBody): Promise<Reply>
  /** Frees the memory of the body. Call it always. */
  end(): void
}

export type BodyThread = {
  /** One body at a time. Takes the buffer of `body`, which is empty afterwards. */
  open(contract: ContractKey, request: IngestRequest, body: Uint8Array): RemoteWork
  close(): void
}

/**
 * The thread on which large bodies are decoded and normalised, so that they do not hold up small
 * ones. It starts with the first body. If the work on a body takes more than `workMsMax` of CPU, the
 * thread is ended and the body refused with body_too_slow.
 */
export function createBodyThread({
  workMsMax,
  limits,
  enrichment,
  script = new URL('./worker.ts', import.meta.url).href,
}: BodyThreadOptions): BodyThread {
  const thread = createRequestThread<BodyRequest, BodyReply>({
    ...{ name: 'body thread', script, isBackground: true },
  })

  function open(contract: ContractKey, request: IngestRequest, body: Uint8Array): RemoteWork {
    let startMs = performance.now()
    let schedstat = ''
    let startCpuMs = startMs
    let isOpen = false

    /** Waits in steps: on a saturated machine the thread may get little CPU for a long time. */
    async function within<T>(reply: Promise<T>): Promise<T> {
      // Closing the thread rejects it, also if nothing waits for it any more.
      reply.catch(() => {})
      for (;;) {
        const usedMs = toCpuMs(schedstat) - startCpuMs
        if (usedMs >= workMsMax || performance.now() - startMs > waitFactor * workMsMax) break
        const outcome = await withTimeLimit(
          reply,
          Math.max(minWaitMs, workMsMax - usedMs),
          () => late,
        )
        if (outcome !== late) return outcome as T
      }
      isOpen = false
      thread.close()
      throw tooSlow(workMsMax)
    }

    async function ask(message: BodyRequest, transfer?: ArrayBuffer[]): Promise<BodyReply> {
      const reply = await within(thread.request(message, transfer))
      if ('fault' in reply) throw new Error(reply.fault)
      if (!('refused' in reply)) return reply
      const { code, message: text, details } = reply.refused
      throw new IngestError(code, text, details)
    }

    async function askSlice(message: BodyRequest): Promise<Slice> {
      const reply = (await ask(message)) as Extract<BodyReply, { slice: Slice }>
      if (reply.enriched) enrichment?.addCounts(reply.enriched)
      return reply.slice
    }
    return {
      async unwrap() {
        isOpen = true
        // The start of the thread is no work on this body.
        const started = await thread.request({ step: 'thread' })
        schedstat = (started as { schedstat: string }).schedstat
        startCpuMs = toCpuMs(schedstat)
        startMs = performance.now()
        const owned = toOwned(body)
        const head = toHead(request)
        const message = { step: 'unwrap', contract, limits, head, body: owned } as const
        return ((await ask(message, [owned.buffer])) as { size: BodySize }).size
      },
      async parse() {
        return ((await ask({ step: 'parse' })) as { submission: Submission }).submission
      },
      normalise: (context) =>
        askSlice({ step: 'normalise', context, enrichment: enrichment?.toMessage() }),
      next: () => askSlice({ step: 'next' }),
      async reply(stored) {
        return ((await ask({ step: 'reply', stored })) as { reply: Reply }).reply
      },
      end() {
        // After a fault there is nothing to free, and a request would start the thread again.
        if (isOpen) thread.request({ step: 'end' }).catch(() => {})
        isOpen = false
      },
    }
  }
  return { open, close: thread.close }
}

export type BodyThreadOptions = {
  workMsMax: number
  limits: ContractLimits
  /** Absent if no project can want it. */
  enrichment?: RemoteEnrichment | undefined
  /** For tests. */
  script?: string
}

/** Read for each body, because GEOIP_FILE may change. */
type RemoteEnrichment = {
  toMessage(): EnrichmentMessage
  /** The counts of one body. */
  addCounts(counts: EnrichCounts): void
}

const late = Symbol('late')
/** The work may wait so much longer than it computes. */
const waitFactor = 10
const minWaitMs = 10

/** The CPU time of a thread. Elsewhere than on Linux, the time. */
function toCpuMs(schedstat: string): number {
  if (schedstat === '') return performance.now()
  try {
    return Number.parseInt(readFileSync(schedstat, 'utf8'), 10) / 1e6
  } catch {
    return performance.now()
  }
}

const tooSlow = (msMax: number) =>
  new IngestError('body_too_slow', `the work on the body takes more than ${msMax} ms of CPU`)

function toHead({
  query,
  headers,
  method,
  path,
  clientIp,
  receivedMs,
}: IngestRequest): RequestHead {
  const text = query instanceof URLSearchParams ? query.toString() : ''
  return { method, path, clientIp, receivedMs, query: text, headers: [...headers] }
}

/** A buffer that can be transferred: a view of a part of a pool cannot. */
function toOwned(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = body.buffer instanceof ArrayBuffer && body.length === body.buffer.byteLength
  return isWhole ? (body as Uint8Array<ArrayBuffer>) : new Uint8Array(body)
}
