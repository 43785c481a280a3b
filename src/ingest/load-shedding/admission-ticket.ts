import type { GarbageCollector } from '../../core/collect-garbage.ts'
import { IngestError } from '../../core/errors.ts'

/** Reserved for small requests, of the bytes and of the number of requests. */
const smallShare = 1 / 4
/** For large bodies that are not decoded yet: decoding takes several times their size. */
const arrivingShare = 1 / 4

/**
 * Bounds the requests in flight: their number, and the bytes of their bodies together with the
 * bytes that they decode to. Large requests may take three quarters of both, so that they never
 * block small events. With a `collector` their bytes count until they are collected.
 */
export function createMemoryAdmission(options: MemoryAdmissionOptions): MemoryAdmission {
  const { bytesMax, requestsMax, collector } = options
  const usage: Usage = {
    all: { bytes: 0, requests: 0, bytesMax, requestsMax },
    large: {
      bytes: 0,
      requests: 0,
      bytesMax: Math.floor(bytesMax * (1 - smallShare)),
      requestsMax: Math.max(1, Math.floor(requestsMax * (1 - smallShare))),
    },
    arriving: { bytes: 0, bytesMax: Math.floor(bytesMax * arrivingShare) },
    working: 0,
    isWorkingAlone: false,
    queue: [],
    queuedAlone: 0,
    uncollectedBytes: 0,
    refused: 0,
    collector,
  }
  return {
    admit(announcedBytes) {
      const ticket = new Ticket(usage)
      ticket.charge(announcedBytes)
      return ticket
    },
    used: () => ({
      bytes: usage.all.bytes - usage.uncollectedBytes,
      requests: usage.all.requests,
      refused: usage.refused,
    }),
  }
}

export type MemoryAdmissionOptions = {
  bytesMax: number
  requestsMax: number
  /** Without it, the bytes of a request are free again when its ticket is released. */
  collector?: GarbageCollector
}

export type MemoryAdmission = {
  /** Call before reading the body, with Content-Length or 0. Throws `too_busy`. */
  admit(announcedBytes: number): AdmissionTicket
  /** Requests in flight, and their bytes without those that wait for the collector. */
  used(): { bytes: number; requests: number; refused: number }
}

/** The bytes of one request. Release it always, also after a throw; a second one is a no-op. */
export type AdmissionTicket = {
  /** For each piece beyond the announced bytes, and for decoded bytes. Throws `too_busy`. */
  charge(bytes: number): void
  /**
   * Charges for the work on a body that has arrived. Undefined if there is capacity; otherwise the
   * promise waits for it, in order of arrival. Throws or rejects with `too_busy`.
   */
  reserveWork(bytes: number): Promise<void> | undefined
  /** Runs `work` on one large body at a time, in order of arrival. Rejects with `too_busy`. */
  workAlone<T>(work: () => Promise<T>): Promise<T>
  release(): void
}

type Limit = { bytes: number; requests: number; bytesMax: number; requestsMax: number }

/** A request that waits for memory, or until it may decompress: one queue for both. */
type Queued = {
  needs: 'memory' | 'turn'
  tryStart(): boolean
  outcome: PromiseWithResolvers<void>
}

/** Shared by all tickets. */
type Usage = {
  all: Limit
  large: Limit
  /** The part of `large` whose bodies are not decoded yet. */
  arriving: { bytes: number; bytesMax: number }
  /** Requests that have reserved their work. */
  working: number
  isWorkingAlone: boolean
  queue: Queued[]
  queuedAlone: number
  /** The part of `all` and `large` that released requests have left for the collector. */
  uncollectedBytes: number
  refused: number
  collector: GarbageCollector | undefined
}

/** Most requests are below 1 KB, and batches of SDKs below 50 KB. */
const smallBytesMax = 64 * 1024
/** Bodies of some 300 KB. Young collections free smaller ones at less cost than a forced one. */
const collectedBytesMin = 2 * 1024 * 1024
/** A forced collection takes as long as the work on some megabytes: it must free more than that. */
const urgentBytesMin = 8 * 1024 * 1024
/**
 * One decompression at a time: zlib has few threads, and the collector notices the memory of many
 * half-decompressed bodies too late.
 */
const queuedAloneMax = 64

class Ticket implements AdmissionTicket {
  readonly #usage: Usage
  #bytes = 0
  #state: 'new' | 'arriving' | 'working' | 'released' = 'new'
  #isLarge = false

  constructor(usage: Usage) {
    this.#usage = usage
  }

  charge(bytes: number): void {
    if (this.#state !== 'released' && !this.#take(bytes)) throw refuse(this.#usage)
  }

  reserveWork(bytes: number): Promise<void> | undefined {
    const { queue, queuedAlone } = this.#usage
    if (queue.length === queuedAlone && this.#tryStartWork(bytes)) return undefined
    const outcome = Promise.withResolvers<void>()
    queue.push({ needs: 'memory', tryStart: () => this.#tryStartWork(bytes), outcome })
    startQueued(this.#usage)
    return outcome.promise
  }

  async workAlone<T>(work: () => Promise<T>): Promise<T> {
    const usage = this.#usage
    if (!tryStartAlone(usage)) await queueAlone(usage)
    try {
      return await work()
    } finally {
      usage.isWorkingAlone = false
      startQueued(usage)
    }
  }

  release(): void {
    const { all, large, arriving, collector } = this.#usage
    if (this.#state === 'arriving') arriving.bytes -= this.#largeBytes
    if (this.#state === 'working') this.#usage.working -= 1
    const isAdmitted = this.#state === 'arriving' || this.#state === 'working'
    this.#state = 'released'
    if (!isAdmitted) return
    all.requests -= 1
    if (this.#isLarge) large.requests -= 1
    if (collector && this.#bytes >= collectedBytesMin) this.#freeOnceCollected(collector)
    else this.#free()
  }

  get #largeBytes(): number {
    return this.#isLarge ? this.#bytes : 0
  }

  /** From arriving to working. False if the work does not fit. */
  #tryStartWork(bytes: number): boolean {
    if (this.#state === 'released') return true
    const { arriving } = this.#usage
    const arrivedBytes = this.#largeBytes
    const state = this.#state
    this.#state = 'working'
    if (!this.#take(bytes)) {
      this.#state = state
      return false
    }
    if (state === 'working') return true
    arriving.bytes -= arrivedBytes
    this.#usage.working += 1
    return true
  }

  /** False, and nothing is charged, if the bytes do not fit. */
  #take(bytes: number): boolean {
    const { all, large, arriving } = this.#usage
    const bytesAfter = this.#bytes + bytes
    const isLarge = this.#isLarge || bytesAfter > smallBytesMax
    const largeBytes = isLarge ? bytesAfter - this.#largeBytes : 0
    const enters = this.#state === 'new' ? 1 : 0
    const entersLarge = isLarge && !this.#isLarge ? 1 : 0
    const isArriving = this.#state !== 'working'
    if (!fits(all, bytes, enters)) return false
    if (isLarge && !fits(large, largeBytes, entersLarge)) return false
    // A large body may exceed `arriving` while it is the only one, so that a body of any permitted
    // size gets in.
    const isCrowded = arriving.bytes > this.#largeBytes
    if (isLarge && isArriving && isCrowded && arriving.bytes + largeBytes > arriving.bytesMax)
      return false
    all.bytes += bytes
    all.requests += enters
    large.bytes += largeBytes
    large.requests += entersLarge
    if (isArriving) arriving.bytes += largeBytes
    this.#bytes = bytesAfter
    this.#isLarge = isLarge
    if (enters) this.#state = 'arriving'
    return true
  }

  #free(): void {
    const { all, large, queue } = this.#usage
    all.bytes -= this.#bytes
    large.bytes -= this.#largeBytes
    if (queue.length > 0) startQueued(this.#usage)
  }

  #freeOnceCollected(collector: GarbageCollector): void {
    const bytes = this.#bytes
    this.#usage.uncollectedBytes += bytes
    collector.add(bytes, () => {
      this.#usage.uncollectedBytes -= bytes
      this.#free()
    })
    startQueued(this.#usage)
  }
}

function fits(limit: Limit, bytes: number, requests: number): boolean {
  return limit.bytes + bytes <= limit.bytesMax && limit.requests + requests <= limit.requestsMax
}

function tryStartAlone(usage: Usage): boolean {
  if (usage.isWorkingAlone) return false
  usage.isWorkingAlone = true
  return true
}

function queueAlone(usage: Usage): Promise<void> {
  if (usage.queuedAlone >= queuedAloneMax)
    throw tooBusy('too many large bodies wait to be decompressed')
  const outcome = Promise.withResolvers<void>()
  const tryStart = () => {
    const isStarted = tryStartAlone(usage)
    if (isStarted) usage.queuedAlone -= 1
    return isStarted
  }
  usage.queue.push({ needs: 'turn', tryStart, outcome })
  usage.queuedAlone += 1
  return outcome.promise
}

/**
 * Starts queued requests in order, as far as possible. A request that waits for memory blocks those
 * behind it that need memory, and not those that wait to decompress.
 */
function startQueued(usage: Usage): void {
  const { queue } = usage
  let isMemoryShort = false
  for (let at = 0; at < queue.length; ) {
    const queued = queue[at]!
    const isBlocked = queued.needs === 'memory' ? isMemoryShort : usage.isWorkingAlone
    if (!isBlocked && queued.tryStart()) {
      queue.splice(at, 1)
      queued.outcome.resolve()
      continue
    }
    if (queued.needs === 'memory') isMemoryShort = true
    if (isMemoryShort && (usage.isWorkingAlone || usage.queuedAlone === 0)) break
    at += 1
  }
  if (isMemoryShort) freeMemory(usage)
}

/** Has memory collected. If none can become free, refuses the first request that waits for it. */
function freeMemory(usage: Usage): void {
  const { queue, collector } = usage
  if (usage.uncollectedBytes >= urgentBytesMin) collector?.collectSoon()
  if (usage.working > 0) return
  if (usage.uncollectedBytes > 0) {
    collector?.collectSoon()
    return
  }
  // Its bytes never fit, and the requests behind it would wait for ever.
  const at = queue.findIndex(({ needs }) => needs === 'memory')
  const [stuck] = queue.splice(at, 1)
  stuck?.outcome.reject(refuse(usage))
  startQueued(usage)
}

function refuse(usage: Usage): IngestError {
  usage.refused += 1
  if (usage.uncollectedBytes >= urgentBytesMin) usage.collector?.collectSoon()
  return tooBusy('the server holds as many requests as it can')
}

const tooBusy = (message: string) => new IngestError('too_busy', message, { retryAfterSeconds: 1 })
