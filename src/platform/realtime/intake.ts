import type { Clock } from '../../core/clock.ts'
import {
  createBucket,
  earlyBytesMax,
  earlyPacketsMax,
  pacedBytesMax,
  pacedBytesMin,
  packetsBurst,
  packetsPerSecond,
  type RealtimeLimits,
} from './limits.ts'

/** What a connection has sent. */
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

type Message = string | Buffer

/**
 * Handles small messages at once, and large ones one an event-loop iteration, so that other requests
 * are served between them. The messages of a websocket keep their order.
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
  const queue: { ws: Socket; message: Message }[] = []
  const waitingBytes = new Map<Socket, number>()
  let bytes = 0

  function add(ws: Socket, change: number): void {
    bytes += change
    const own = (waitingBytes.get(ws) ?? 0) + change
    if (own > 0) waitingBytes.set(ws, own)
    else waitingBytes.delete(ws)
  }

  function handleNext(): void {
    const next = queue.shift()
    if (!next) return
    add(next.ws, -next.message.length)
    if (queue.length > 0) setImmediate(handleNext)
    if (next.ws.readyState === WebSocket.OPEN) handle(next.ws, next.message)
  }

  return (ws, message) => {
    const own = waitingBytes.get(ws)
    if (own === undefined && message.length < pacedBytesMin) return handle(ws, message)
    if ((own ?? 0) + message.length > ownBytesMax || bytes + message.length > pacedBytesMax)
      return end(ws)
    add(ws, message.length)
    if (queue.push({ ws, message }) === 1) setImmediate(handleNext)
  }
}
