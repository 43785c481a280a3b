import type { StoredRecord } from '../../core/record.ts'
import type { Delivery } from './delivery.ts'
import type { SendFault } from './fault.ts'
import type { KafkaMessage } from './message.ts'

/** A message on its way, with the batch that waits for it. */
export type PendingMessage = {
  record: StoredRecord
  message: KafkaMessage
  /** An upper bound of what it takes in a record set. */
  bytesMax: number
  delivery: Delivery
}

/** The way to one partition: one send at a time, tried until it succeeds, so that order holds. */
export type PartitionQueue = { add(parcel: PendingMessage): void }

export type PartitionQueueOptions = {
  lingerMs: number
  /** The largest record set that the topic takes. */
  bytesMax(): number
  send(parcels: readonly PendingMessage[]): Promise<SendFault | undefined>
  onDelivered(parcels: readonly PendingMessage[]): void
  /** A record that the broker will never take. */
  onRefused(parcel: PendingMessage, fault: SendFault): void
  /** Called before each new try; false when the partition is gone, and then `onGone` has the rest. */
  canRetry(fault: SendFault, attempt: number): Promise<boolean>
  onGone(parcels: readonly PendingMessage[]): void
}

/** kafkajs groups in O(n²) per partition: beyond a thousand, a send blocks its thread for long. */
const messagesPerSendMax = 500
const bytesPerSendMax = 1024 * 1024
/** From here on a send is worth its overhead; fewer wait for the linger to be over. */
const messagesWorthSending = 200
const bytesWorthSending = 128 * 1024

export function createPartitionQueue(parts: PartitionQueueOptions): PartitionQueue {
  const queue = createQueue(() => Math.min(bytesPerSendMax, parts.bytesMax()))
  let timer: ReturnType<typeof setTimeout> | undefined
  let isBusy = false

  function add(parcel: PendingMessage): void {
    queue.push(parcel)
    if (isBusy) return
    if (isWorthSending()) void run()
    else timer ??= setTimeout(run, parts.lingerMs)
  }
  const isWorthSending = () =>
    queue.count() >= messagesWorthSending || queue.bytes() >= bytesWorthSending

  async function run(): Promise<void> {
    clearTimeout(timer)
    isBusy = true
    do {
      const isThere = await deliver(queue.take())
      if (!isThere) parts.onGone(queue.takeAll())
    } while (isWorthSending())
    isBusy = false
    timer = queue.count() > 0 ? setTimeout(run, parts.lingerMs) : undefined
  }

  /** False when the partition is gone; the parcels have been handed on then. */
  async function deliver(parcels: readonly PendingMessage[]): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      const live = parcels.filter(({ delivery }) => !delivery.isOver())
      if (live.length === 0) return true
      const fault = await parts.send(live)
      if (!fault) {
        parts.onDelivered(live)
        return true
      }
      if (fault.kind === 'too_large' || fault.kind === 'refused') return bisect(live, fault)
      if (!(await parts.canRetry(fault, attempt))) {
        parts.onGone(live)
        return false
      }
    }
  }

  /** One record spoils a whole send, and the broker does not say which. */
  async function bisect(parcels: readonly PendingMessage[], fault: SendFault): Promise<boolean> {
    const [first, ...others] = parcels
    if (first && others.length === 0) {
      parts.onRefused(first, fault)
      return true
    }
    const middle = Math.ceil(parcels.length / 2)
    const [head, tail] = [parcels.slice(0, middle), parcels.slice(middle)]
    if (await deliver(head)) return deliver(tail)
    parts.onGone(tail)
    return false
  }
  return { add }
}

/** First in, first out, in portions of a bounded count and size; a larger parcel goes alone. */
function createQueue(bytesPerTakeMax: () => number) {
  let parcels: PendingMessage[] = []
  let bytes = 0

  function take(): PendingMessage[] {
    const bytesTakenMax = bytesPerTakeMax()
    let count = 0
    let taken = 0
    while (count < parcels.length && count < messagesPerSendMax) {
      const more = parcels[count]!.bytesMax
      if (count > 0 && taken + more > bytesTakenMax) break
      taken += more
      count += 1
    }
    bytes -= taken
    return parcels.splice(0, count)
  }
  function takeAll(): PendingMessage[] {
    const all = parcels
    parcels = []
    bytes = 0
    return all
  }
  function push(parcel: PendingMessage): void {
    parcels.push(parcel)
    bytes += parcel.bytesMax
  }
  return { push, take, takeAll, count: () => parcels.length, bytes: () => bytes }
}
