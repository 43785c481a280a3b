import { IngestError } from '../core/errors.ts'

/** Most requests are below a kilobyte, and batches of SDKs below fifty: beyond this a request is large. */
const smallBytesMax = 64 * 1024
/** What large requests leave to small ones, of the bytes and of the places. */
const smallShare = 1 / 8

/**
 * Bounds the requests in flight: how many, and the bytes of their bodies together with what they decode to. Large ones
 * may take seven eighths of both, so that a crowd of them does not shut out everybody's events.
 */
export function createRoom({ bytesMax, requestsMax, onLeft }: RoomParts): Room {
  const all = new Space(bytesMax, requestsMax)
  const large = new Space(
    Math.floor(bytesMax * (1 - smallShare)),
    Math.max(1, Math.floor(requestsMax * (1 - smallShare))),
  )
  const spaces: Spaces = { all, large, refused: 0, onLeft }
  return {
    enter(bytes) {
      const ticket = new HeldTicket(spaces)
      ticket.grow(bytes)
      return ticket
    },
    used: () => ({ bytes: all.bytes, requests: all.requests, refused: spaces.refused }),
  }
}

export type RoomParts = {
  bytesMax: number
  requestsMax: number
  /** Told what each request held, once it no longer does. */
  onLeft?: (bytes: number) => void
}

export type Room = {
  /** Before a body is read, with the bytes that its headers announce, else 0. Throws `too_busy`. */
  enter(announcedBytes: number): Ticket
  used(): { bytes: number; requests: number; refused: number }
}

/** A request's place. It must `leave` in the end, also when `grow` threw; leaving twice does nothing. */
export type Ticket = {
  /** For each piece read beyond what was announced, and for what it decodes to. Throws `too_busy`. */
  grow(bytes: number): void
  leave(): void
}

type Spaces = {
  all: Space
  large: Space
  refused: number
  onLeft: ((bytes: number) => void) | undefined
}

class Space {
  bytes = 0
  requests = 0
  readonly #bytesMax: number
  readonly #requestsMax: number

  constructor(bytesMax: number, requestsMax: number) {
    this.#bytesMax = bytesMax
    this.#requestsMax = requestsMax
  }

  fits(bytes: number, requests: number): boolean {
    return this.bytes + bytes <= this.#bytesMax && this.requests + requests <= this.#requestsMax
  }

  take(bytes: number, requests: number): void {
    this.bytes += bytes
    this.requests += requests
  }
}

class HeldTicket implements Ticket {
  readonly #spaces: Spaces
  #bytes = 0
  #state: 'new' | 'in' | 'left' = 'new'
  #isLarge = false

  constructor(spaces: Spaces) {
    this.#spaces = spaces
  }

  grow(bytes: number): void {
    if (this.#state === 'left') return
    const { all, large } = this.#spaces
    const bytesAfter = this.#bytes + bytes
    const isLarge = this.#isLarge || bytesAfter > smallBytesMax
    const enters = this.#state === 'new' ? 1 : 0
    const entersLarge = isLarge && !this.#isLarge ? 1 : 0
    const largeBytes = entersLarge ? bytesAfter : isLarge ? bytes : 0
    if (!all.fits(bytes, enters) || (isLarge && !large.fits(largeBytes, entersLarge)))
      this.#refuse()
    all.take(bytes, enters)
    large.take(largeBytes, entersLarge)
    this.#bytes = bytesAfter
    this.#isLarge = isLarge
    this.#state = 'in'
  }

  leave(): void {
    if (this.#state === 'in') {
      this.#spaces.all.take(-this.#bytes, -1)
      if (this.#isLarge) this.#spaces.large.take(-this.#bytes, -1)
    }
    const wasIn = this.#state === 'in'
    this.#state = 'left'
    if (wasIn) this.#spaces.onLeft?.(this.#bytes)
  }

  #refuse(): never {
    this.#spaces.refused += 1
    const details = { retryAfterSeconds: 1 }
    throw new IngestError('too_busy', 'the server holds as many requests as it can', details)
  }
}
