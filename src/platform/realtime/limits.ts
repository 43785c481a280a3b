import type { Clock } from '../../core/clock.ts'
import { toEarlyMs, toUsedUntilMs } from '../../core/gcra.ts'

/** Bounds of one socket and of all sockets of a node. */
export type RealtimeLimits = {
  topicLengthMax: number
  payloadBytesMax: number
  messagesPerSecond: number
  messagesBurst: number
  /** Estimated size of a socket's messages, attachments included. */
  bytesPerSecond: number
  bytesBurst: number
  subscriptionsMax: number
  /** Burst of invalid messages before the socket is disconnected. The rate is one a second. */
  strikesMax: number
  socketsMax: number
  /** Send buffer of one socket. */
  bufferedBytesMax: number
  /** Send buffers of all sockets together. */
  bufferedBytesTotalMax: number
  /**
   * A client that sends heartbeats sends one every 30 s. It is disconnected after three missed
   * ones.
   */
  heartbeatMsMax: number
  /**
   * Interval of the sweep over all sockets. A message with an expired token is rejected before
   * that.
   */
  sweepMs: number
}

const mib = 1024 * 1024

export const defaultLimits: RealtimeLimits = {
  topicLengthMax: 256,
  payloadBytesMax: mib,
  messagesPerSecond: 100,
  messagesBurst: 200,
  bytesPerSecond: mib,
  bytesBurst: 4 * mib,
  subscriptionsMax: 200,
  strikesMax: 100,
  socketsMax: 50_000,
  bufferedBytesMax: 4 * mib,
  bufferedBytesTotalMax: 256 * mib,
  heartbeatMsMax: 90_000,
  sweepMs: 500,
}

/**
 * A websocket frame or a polling body. Larger than `payloadBytesMax`: a payload between both bounds
 * gets the reply `invalid_message`, and only a larger one closes the connection.
 */
export const frameBytesMax = 2 * mib

/**
 * Packets of any kind, also those that are no message. A message may have ten attachments, each a
 * packet.
 */
const packetsPerSecond = 1200
export const packetsBurst = 2400

/**
 * A connection may send this much before it is authenticated: a token, and what clients send while it
 * is verified.
 */
export const earlyBytesMax = 32 * 1024
export const earlyPacketsMax = 20

/**
 * Messages above the first bound are handled one an event-loop iteration: parsing and sending a MiB
 * takes some 30 ms. The second bounds those that wait, over all connections.
 */
export const pacedBytesMin = 64 * 1024
const pacedBytesMax = 64 * mib
/** How long one iteration may handle small messages. */
const handleMsMax = 10

/** Bodies of polling requests that are read at the same time, as announced. */
export const bodiesBytesMax = 64 * mib
export const bodyMsMax = 10_000

/**
 * Parameters in the query of a handshake, and its length. Socket.IO copies them to an object whose
 * names a sender could make collide. Socket.IO itself needs four.
 */
export const queryNamesMax = 20
export const urlLengthMax = 4096

/** Takes `cost` tokens, or 1; false and takes none if fewer are left. */
export type Bucket = (nowMs: number, cost?: number) => boolean

/** Allows `burst` at once and `perSecond` on average. */
export function createBucket({ perSecond, burst }: { perSecond: number; burst: number }): Bucket {
  const intervalMs = 1000 / perSecond
  const burstMs = burst * intervalMs
  let startMs: number | undefined
  let usedUntilMs = 0
  return (nowMs, cost = 1) => {
    startMs ??= nowMs
    const sinceMs = nowMs - startMs
    // A clock that goes back costs at most one burst: do not wait until the old time is reached
    // again.
    usedUntilMs = Math.min(usedUntilMs, sinceMs + burstMs)
    const untilMs = toUsedUntilMs(usedUntilMs, sinceMs, cost * intervalMs)
    if (toEarlyMs(untilMs, sinceMs, burstMs) > 0) return false
    usedUntilMs = untilMs
    return true
  }
}

/** The counts of what a connection has sent. */
export type Intake = {
  /** Counts one packet; false if it is too much. */
  take(bytes: number): boolean
  /** True until `admit`. */
  isEarly(): boolean
  admit(): void
  startUpgrade(): boolean
}

/**
 * A member's messages are limited by `dispatch`, with an error for the client. The bounds here are
 * twice as high, because they end the connection.
 */
export function createIntake(
  { bytesPerSecond, bytesBurst }: Pick<RealtimeLimits, 'bytesPerSecond' | 'bytesBurst'>,
  now: Clock,
): Intake {
  const takePacket = createBucket({ perSecond: packetsPerSecond, burst: packetsBurst })
  const takeBytes = createBucket({ perSecond: 2 * bytesPerSecond, burst: 2 * bytesBurst })
  let early: { packets: number; bytes: number } | undefined = { packets: 0, bytes: 0 }
  let hasUpgrade = false
  return {
    take(bytes) {
      if (!early) return takePacket(now()) && takeBytes(now(), bytes)
      early.packets += 1
      early.bytes += bytes
      return early.packets <= earlyPacketsMax && early.bytes <= earlyBytesMax
    },
    isEarly: () => early !== undefined,
    admit() {
      early = undefined
    },
    startUpgrade() {
      const isFirst = !hasUpgrade
      hasUpgrade = true
      return isFirst
    },
  }
}

/**
 * Builds a function that tells whether more than `msMax` have passed in this event-loop iteration
 * since the first call in it.
 */
export function createIterationTime(msMax: number): () => boolean {
  let startMs: number | undefined
  return () => {
    if (startMs !== undefined) return performance.now() - startMs >= msMax
    startMs = performance.now()
    setImmediate(() => {
      startMs = undefined
    })
    return false
  }
}

type Message = string | Buffer

/** Memory of a message that waits, beside its own bytes. It bounds how many empty ones may wait. */
const waitingEntryBytes = 128
/** Entries that were handled are removed from the list together. */
const handledMax = 1024

const toWaitingBytes = (message: Message) => message.length + waitingEntryBytes

/**
 * Handles small messages at once, as long as the iteration has time. The others wait: an iteration
 * handles one large message, or small ones as long as it has time, so that other requests are served
 * between them. The messages of a websocket keep their order.
 */
export function createPace<Socket extends { readonly readyState: number }>({
  handle,
  end,
  ownBytesMax,
}: {
  handle: (ws: Socket, message: Message) => void
  end: (ws: Socket) => void
  /** Messages of one websocket that may wait. */
  ownBytesMax: number
}): (ws: Socket, message: Message) => void {
  type Waiting = { ws: Socket; message: Message }
  /** Entries before `first` are handled. */
  let queue: Waiting[] = []
  let first = 0
  let isScheduled = false
  const waitingBytes = new Map<Socket, number>()
  const isTimeUsed = createIterationTime(handleMsMax)
  let bytes = 0

  function add(ws: Socket, change: number): void {
    bytes += change
    const own = (waitingBytes.get(ws) ?? 0) + change
    if (own > 0) waitingBytes.set(ws, own)
    else waitingBytes.delete(ws)
  }

  function schedule(): void {
    if (isScheduled || first === queue.length) return
    isScheduled = true
    setImmediate(handleSome)
  }

  function handleSome(): void {
    isScheduled = false
    isTimeUsed() // Its clock starts before the first message.
    try {
      do handleFirst()
      while (first < queue.length && isLight(queue[first]!) && !isTimeUsed())
    } finally {
      schedule()
    }
  }

  const isLight = ({ ws, message }: Waiting) =>
    message.length < pacedBytesMin || ws.readyState !== WebSocket.OPEN

  function handleFirst(): void {
    const { ws, message } = queue[first]!
    first += 1
    if (first === queue.length || first > handledMax) {
      queue = queue.slice(first)
      first = 0
    }
    add(ws, -toWaitingBytes(message))
    if (ws.readyState === WebSocket.OPEN) handle(ws, message)
  }

  return (ws, message) => {
    const own = waitingBytes.get(ws)
    if (own === undefined && message.length < pacedBytesMin && !isTimeUsed())
      return handle(ws, message)
    const more = toWaitingBytes(message)
    if ((own ?? 0) + more > ownBytesMax || bytes + more > pacedBytesMax) return end(ws)
    add(ws, more)
    queue.push({ ws, message })
    schedule()
  }
}
