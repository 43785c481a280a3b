import { IngestError } from '../../core/errors.ts'
import type { Sweep } from '../../core/collect-garbage.ts'

/** What large requests leave to small ones, of the bytes and of the places. */
const smallShare = 1 / 4
/** What large bodies may take before they are worked on: the work takes several times as much as they do. */
const arrivingShare = 1 / 4

/**
 * Bounds the requests in flight: how many, and the bytes of their bodies together with what they decode to. Large ones
 * may take three quarters of both, so that a crowd of them does not shut out everybody's events; and what they
 * took counts until it is collected.
 */
export function createRoom({ bytesMax, requestsMax, sweep }: RoomParts): Room {
  const spaces: Spaces = {
    all: { bytes: 0, requests: 0, bytesMax, requestsMax },
    large: {
      bytes: 0,
      requests: 0,
      bytesMax: Math.floor(bytesMax * (1 - smallShare)),
      requestsMax: Math.max(1, Math.floor(requestsMax * (1 - smallShare))),
    },
    arriving: { bytes: 0, bytesMax: Math.floor(bytesMax * arrivingShare) },
    working: 0,
    waiting: [],
    keptBytes: 0,
    refused: 0,
    sweep,
  }
  return {
    enter(bytes) {
      const ticket = createTicket(spaces)
      ticket.grow(bytes)
      return ticket
    },
    used: () => ({
      bytes: spaces.all.bytes - spaces.keptBytes,
      requests: spaces.all.requests,
      refused: spaces.refused,
    }),
  }
}

export type RoomParts = {
  bytesMax: number
  requestsMax: number
  /** Without it, what a request took is given back as it leaves. */
  sweep?: Sweep
}

export type Room = {
  /** Before a body is read, with the bytes that its headers announce, else 0. Throws `too_busy`. */
  enter(announcedBytes: number): Ticket
  /** Without what requests that are over left behind. */
  used(): { bytes: number; requests: number; refused: number }
}

/** A request's place. It must `leave` in the end, also when `grow` threw; leaving twice does nothing. */
export type Ticket = {
  /** For each piece read beyond what was announced, and for what it decodes to. Throws `too_busy`. */
  grow(bytes: number): void
  /**
   * Charges for the work on a body that has arrived. Undefined where there is room at once; else waits
   * for its turn. Throws or rejects with `too_busy`.
   */
  makeRoom(bytes: number): Promise<void> | undefined
  leave(): void
}

/** What the tickets of a room share. */
export type Spaces = {
  all: Space
  large: Space
  /** The part of `large` whose bodies are not worked on yet. */
  arriving: { bytes: number; bytesMax: number }
  /** Requests whose bodies are worked on. */
  working: number
  waiting: Waiting[]
  /** The part of `all` and `large` that requests left behind for the collector. */
  keptBytes: number
  refused: number
  sweep: Sweep | undefined
}

export function createTicket(spaces: Spaces): Ticket {
  return new HeldTicket(spaces)
}

type Space = { bytes: number; requests: number; bytesMax: number; requestsMax: number }
type Waiting = { tryStart(): boolean; outcome: PromiseWithResolvers<void> }

/** Most requests are below a kilobyte, and batches of SDKs below fifty: beyond this a request is large. */
const smallBytesMax = 64 * 1024
/** Bodies of some 300 KB: what is smaller dies young, and collections would cost batches of SDKs more than they gain. */
const keptBytesMin = 2 * 1024 * 1024
/** A collection takes as long as the work on some megabytes. */
const hurryBytesMin = 8 * 1024 * 1024

class HeldTicket implements Ticket {
  readonly #spaces: Spaces
  #bytes = 0
  #state: 'new' | 'arriving' | 'worked' | 'left' = 'new'
  #isLarge = false

  constructor(spaces: Spaces) {
    this.#spaces = spaces
  }

  grow(bytes: number): void {
    if (this.#state !== 'left' && !this.#take(bytes)) throw toRefusal(this.#spaces)
  }

  makeRoom(bytes: number): Promise<void> | undefined {
    const { waiting } = this.#spaces
    if (waiting.length === 0 && this.#tryStart(bytes)) return undefined
    const outcome = Promise.withResolvers<void>()
    waiting.push({ tryStart: () => this.#tryStart(bytes), outcome })
    serve(this.#spaces)
    return outcome.promise
  }

  leave(): void {
    const { all, large, arriving, sweep } = this.#spaces
    if (this.#state === 'arriving') arriving.bytes -= this.#largeBytes
    if (this.#state === 'worked') this.#spaces.working -= 1
    const isIn = this.#state === 'arriving' || this.#state === 'worked'
    this.#state = 'left'
    if (!isIn) return
    all.requests -= 1
    if (this.#isLarge) large.requests -= 1
    if (sweep && this.#bytes >= keptBytesMin) this.#keep(sweep)
    else this.#giveBack()
  }

  get #largeBytes(): number {
    return this.#isLarge ? this.#bytes : 0
  }

  /** From arriving to being worked on, if there is room for the work. */
  #tryStart(bytes: number): boolean {
    if (this.#state === 'left') return true
    const { arriving } = this.#spaces
    const arrivedBytes = this.#largeBytes
    const state = this.#state
    this.#state = 'worked'
    if (!this.#take(bytes)) {
      this.#state = state
      return false
    }
    if (state === 'worked') return true
    arriving.bytes -= arrivedBytes
    this.#spaces.working += 1
    return true
  }

  /** False, and nothing is taken, where it does not fit. */
  #take(bytes: number): boolean {
    const { all, large, arriving } = this.#spaces
    const bytesAfter = this.#bytes + bytes
    const isLarge = this.#isLarge || bytesAfter > smallBytesMax
    const largeBytes = isLarge ? bytesAfter - this.#largeBytes : 0
    const enters = this.#state === 'new' ? 1 : 0
    const entersLarge = isLarge && !this.#isLarge ? 1 : 0
    const isArriving = this.#state !== 'worked'
    if (!fits(all, bytes, enters)) return false
    if (isLarge && !fits(large, largeBytes, entersLarge)) return false
    // One that is alone may take all the room, whatever its size.
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

  #giveBack(): void {
    const { all, large, waiting } = this.#spaces
    all.bytes -= this.#bytes
    large.bytes -= this.#largeBytes
    if (waiting.length > 0) serve(this.#spaces)
  }

  #keep(sweep: Sweep): void {
    const bytes = this.#bytes
    this.#spaces.keptBytes += bytes
    sweep.keep(bytes, () => {
      this.#spaces.keptBytes -= bytes
      this.#giveBack()
    })
    serve(this.#spaces)
  }
}

function fits(space: Space, bytes: number, requests: number): boolean {
  return space.bytes + bytes <= space.bytesMax && space.requests + requests <= space.requestsMax
}

/** Starts those that wait, in their order, as far as there is room. */
function serve(spaces: Spaces): void {
  const { waiting, sweep } = spaces
  while (waiting[0]?.tryStart()) waiting.shift()?.outcome.resolve()
  if (waiting.length === 0) return
  if (spaces.keptBytes >= hurryBytesMin) sweep?.hurry()
  if (spaces.working > 0) return
  if (spaces.keptBytes > 0) sweep?.hurry()
  // Nobody is left to make room: it would wait for those that wait behind it.
  else {
    waiting.shift()?.outcome.reject(toRefusal(spaces))
    serve(spaces)
  }
}

function toRefusal(spaces: Spaces): IngestError {
  spaces.refused += 1
  if (spaces.keptBytes >= hurryBytesMin) spaces.sweep?.hurry()
  const details = { retryAfterSeconds: 1 }
  return new IngestError('too_busy', 'the server holds as many requests as it can', details)
}
