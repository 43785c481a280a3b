import { createTicket, type Spaces, type Ticket } from './admission-ticket.ts'
import type { Sweep } from './collect-garbage.ts'

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

export type { Ticket } from './admission-ticket.ts'
