import { sleep } from '../../core/async.ts'
import type { StoredRecord } from '../../core/record.ts'
import type { SendFault } from './fault.ts'
import type { KafkaMessage } from './message.ts'

/** A message that the broker has not confirmed yet. */
export type PendingMessage = {
  record: StoredRecord
  message: KafkaMessage
  batch: PendingBatch
}

/**
 * The messages of one partition. One send at a time, retried until it succeeds: this keeps the order.
 */
export type PartitionQueue = { add(pending: PendingMessage): void }

export type PartitionQueueOptions = {
  linger: Linger
  /** The largest record set that the topic accepts. */
  bytesMax(): number
  send(messages: readonly PendingMessage[]): Promise<SendFault | undefined>
  onDelivered(messages: readonly PendingMessage[]): void
  /** The broker rejects this message at every attempt. */
  onRejected(pending: PendingMessage, fault: SendFault): void
  /** Called before each retry. False when the partition no longer exists; `onGone` gets the rest then. */
  canRetry(fault: SendFault, attempt: number): Promise<boolean>
  onGone(messages: readonly PendingMessage[]): void
}

const messagesPerSendMax = 500
const bytesPerSendMax = 1024 * 1024
/** Send without the linger from this size on: the fixed cost of a send is small beside it. */
const messagesWorthSending = 200
const bytesWorthSending = 128 * 1024

export function createPartitionQueue(options: PartitionQueueOptions): PartitionQueue {
  const queue = createQueue(() => Math.min(bytesPerSendMax, options.bytesMax()))
  let isBusy = false

  function add(pending: PendingMessage): void {
    queue.push(pending)
    if (isBusy) return
    if (isWorthSending()) void run()
    else options.linger.wait(run)
  }
  const isWorthSending = () =>
    queue.count() >= messagesWorthSending || queue.bytes() >= bytesWorthSending

  async function run(): Promise<void> {
    options.linger.leave(run)
    isBusy = true
    do {
      const isThere = await deliver(queue.take())
      if (!isThere) options.onGone(queue.takeAll())
    } while (isWorthSending())
    isBusy = false
    if (queue.count() > 0) options.linger.wait(run)
  }

  /** False when the partition no longer exists; `onGone` has the messages then. */
  async function deliver(messages: readonly PendingMessage[]): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      const live = messages.filter(({ batch }) => !batch.isOver())
      if (live.length === 0) return true
      const fault = await options.send(live)
      if (!fault) {
        options.onDelivered(live)
        return true
      }
      if (fault.kind === 'too_large' || fault.kind === 'rejected') return bisect(live, fault)
      if (!(await options.canRetry(fault, attempt))) {
        options.onGone(live)
        return false
      }
    }
  }

  /** The broker rejects the whole send for one message and does not say which. */
  async function bisect(messages: readonly PendingMessage[], fault: SendFault): Promise<boolean> {
    const [first, ...others] = messages
    if (first && others.length === 0) {
      options.onRejected(first, fault)
      return true
    }
    const middle = Math.ceil(messages.length / 2)
    const [head, tail] = [messages.slice(0, middle), messages.slice(middle)]
    if (await deliver(head)) return deliver(tail)
    options.onGone(tail)
    return false
  }
  return { add }
}

/**
 * One timer for all partition queues. A send costs as much as the encoding of 50 records, so queues that
 * wait send together when the first of them is due: their sets share a request.
 */
export type Linger = {
  wait(run: () => void): void
  leave(run: () => void): void
}

export function createLinger(ms: number): Linger {
  const waiting = new Set<() => void>()
  let timer: ReturnType<typeof setTimeout> | undefined
  function sendAll(): void {
    timer = undefined
    const due = [...waiting]
    waiting.clear()
    for (const run of due) run()
  }
  return {
    wait(run) {
      waiting.add(run)
      if (timer === undefined) timer = setTimeout(sendAll, ms)
    },
    leave: (run) => void waiting.delete(run),
  }
}

/** First in, first out. A take is bounded in count and bytes; a larger message goes alone. */
function createQueue(bytesPerTakeMax: () => number) {
  let messages: PendingMessage[] = []
  let bytes = 0

  function take(): PendingMessage[] {
    const bytesTakenMax = bytesPerTakeMax()
    let count = 0
    let taken = 0
    while (count < messages.length && count < messagesPerSendMax) {
      const more = messages[count]!.message.bytesMax
      if (count > 0 && taken + more > bytesTakenMax) break
      taken += more
      count += 1
    }
    bytes -= taken
    return messages.splice(0, count)
  }
  function takeAll(): PendingMessage[] {
    const all = messages
    messages = []
    bytes = 0
    return all
  }
  function push(pending: PendingMessage): void {
    messages.push(pending)
    bytes += pending.message.bytesMax
  }
  return { push, take, takeAll, count: () => messages.length, bytes: () => bytes }
}

/** A batch in flight. It is over when every record has arrived, or when its shipper aborts it. */
export type PendingBatch = { arrived(): void; isOver(): boolean }

/** `done` resolves when `count` records have arrived. It rejects with the reason of the first abort. */
export function createPendingBatch(
  count: number,
  signals: readonly AbortSignal[],
): { batch: PendingBatch; done: Promise<void> } {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const signal = AbortSignal.any([...signals])
  let left = count
  let isOver = false

  function end(settle: () => void): void {
    isOver = true
    signal.removeEventListener('abort', abort)
    settle()
  }
  const abort = () => end(() => reject(signal.reason))
  const arrived = () => {
    left -= 1
    if (left <= 0 && !isOver) end(resolve)
  }
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort)
  if (count === 0 && !isOver) end(resolve)
  return { batch: { arrived, isOver: () => isOver }, done: promise }
}

/** The shutdown of the sink: ends pauses and retry loops. */
export type Closing = {
  signal: AbortSignal
  /** Resolves after `ms`, or at once when the sink closes. */
  pause(ms: number): Promise<void>
  close(): void
}

export function createClosing(): Closing {
  const controller = new AbortController()
  const { signal } = controller
  return {
    signal,
    pause: (ms) => sleep(ms, signal).catch(() => {}),
    close: () => controller.abort(new Error('the Kafka sink is closed')),
  }
}
