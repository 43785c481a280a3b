import type { RealtimeCounters } from './counters.ts'
import { createIterationTime } from './limits.ts'
import type { Io } from './messages.ts'

/**
 * Spreads the deliveries of a message over event-loop iterations: one takes some 9 µs, so 50,000
 * subscribers would hold the thread for half a second.
 */
export type FanOut = {
  /** True while so much waits that no further message should be taken. */
  isFull(): boolean
  /** Delivers what waits. */
  flush(): void
}

type Delivery = {
  sockets: readonly unknown[]
  /** Of these sockets, the number that have got it. */
  done: number
  bytes: number
  each: (socket: unknown) => void
}

/**
 * Of one message to all sockets of a server, four times as many as it may have. More would wait
 * for over two seconds.
 */
const waitingMax = 200_000
const waitingBytesMax = 64 * 1024 * 1024
/** How long one iteration may deliver. */
const deliverMsMax = 10
/** A look at the clock takes less than a hundredth of so many deliveries. */
const deliveriesPerLook = 16

/**
 * Messages to channels are delivered in the order in which they were sent. Acks, errors and the end
 * of a session concern one socket or session, so they do not wait behind these messages.
 */
export function spreadFanOut(
  io: Io,
  counters: RealtimeCounters,
  isTimeUsed = createIterationTime(deliverMsMax),
): FanOut {
  const adapter = io.sockets.adapter as unknown as Adapter
  const encode = adapter._encode.bind(adapter)
  const apply = adapter.apply.bind(adapter)
  let queue: Delivery[] = []
  let waiting = 0
  let waitingBytes = 0
  let encodedBytes = 0

  // Every packet to a socket passes `apply`, also one that another node sent.
  adapter._encode = (packet, options) => {
    const encoded = encode(packet, options)
    encodedBytes = encoded.reduce((bytes, { length }) => bytes + length, 0)
    return encoded
  }
  adapter.apply = (options, each) => {
    const counted = (socket: unknown) => {
      counters.increment('sent')
      each(socket)
    }
    if (![...options.rooms].some((room) => room.includes(':'))) return apply(options, counted)
    const sockets: unknown[] = []
    apply(options, (socket) => void sockets.push(socket))
    if (sockets.length > 0) add({ sockets, done: 0, bytes: encodedBytes, each: counted })
  }

  function add(delivery: Delivery): void {
    waiting += delivery.sockets.length
    waitingBytes += delivery.bytes
    if (queue.push(delivery) === 1) deliver()
    // Messages of other nodes cannot be refused: twice as many as wait at most are sent at once.
    if (waiting > 2 * waitingMax || waitingBytes > 2 * waitingBytesMax) flush()
  }

  function deliver(): void {
    let finished = 0
    while (finished < queue.length && !isTimeUsed()) {
      const delivery = queue[finished]!
      deliverSome(delivery, deliveriesPerLook)
      if (delivery.done === delivery.sockets.length) finished += 1
    }
    remove(finished)
    if (queue.length > 0) setImmediate(deliver)
  }

  function deliverSome(delivery: Delivery, count: number): void {
    const { sockets, each } = delivery
    const end = Math.min(delivery.done + count, sockets.length)
    waiting -= end - delivery.done
    while (delivery.done < end) {
      delivery.done += 1
      each(sockets[delivery.done - 1])
    }
  }

  function remove(finished: number): void {
    if (finished === 0) return
    for (const { bytes } of queue.slice(0, finished)) waitingBytes -= bytes
    queue = queue.slice(finished)
  }

  function flush(): void {
    for (const delivery of queue) deliverSome(delivery, delivery.sockets.length)
    remove(queue.length)
  }

  return { isFull: () => waiting > waitingMax || waitingBytes > waitingBytesMax, flush }
}

type Adapter = {
  _encode(packet: unknown, options: unknown): { length: number }[]
  apply(options: { rooms: Set<string> }, each: (socket: unknown) => void): void
}
