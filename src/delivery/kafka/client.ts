import type { Admin } from 'kafkajs'
import { type Connection, type ConnectionOptions, openConnection } from './connection.ts'
import { type SendFault, toSendFault } from './fault.ts'
import { type ProducerStamp, type RecordSet, sealRecordSet } from './record-set.ts'

/**
 * Sends through one connection at a time. A broken connection is replaced; sends that still use it
 * may finish.
 */
export type KafkaClient = {
  /**
   * Resolves with undefined when the broker has stored the set, else with the fault. Never rejects.
   * A partition has one send at a time.
   */
  send(topic: string, partition: number, encode: () => RecordSet): Promise<SendFault | undefined>
  withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T>
  /** Cuts the connections after a second. */
  close(): Promise<void>
}

/** kafkajs recovers from most faults by itself. After this many in a row, replace the connection. */
const faultsInRowMax = 5
const closeMs = 1000

export function createKafkaClient(
  options: ConnectionOptions,
  open: (options: ConnectionOptions) => Connection = openConnection,
): KafkaClient {
  const uses = new Set<Use>()
  const sequences = createSequences()
  let current: Use | undefined
  let isClosed = false

  function acquire(): Use {
    current ??= { connection: open(options), inflight: 0, faults: 0 }
    uses.add(current)
    current.inflight += 1
    return current
  }

  function retire(use: Use): void {
    if (current === use) current = undefined
    use.isRetired = true
  }

  /** Closes a retired connection after its last send. Each send has its own deadline. */
  async function release(use: Use): Promise<void> {
    use.inflight -= 1
    if (!use.isRetired || use.inflight > 0) return
    uses.delete(use)
    await use.connection.close(closeMs)
  }

  async function send(topic: string, partition: number, encode: () => RecordSet) {
    if (isClosed) return closed
    const place = `${topic}/${partition}`
    const use = acquire()
    let stamp: ProducerStamp | undefined
    let isOver = false
    try {
      const set = encode()
      const isConfirmed = await use.connection.send(topic, partition, {
        bytes: set.bytes.length,
        seal(producer) {
          // kafkajs may still hold a request of a send that has timed out. Never send it: the retry
          // has overtaken it, and the next set would have its number.
          if (isOver) throw new Error('the send has ended before its request was sent')
          stamp = sequences.next(place, producer)
          sealRecordSet(set, stamp)
          return set.bytes
        },
      })
      use.faults = 0
      if (!isConfirmed) return unconfirmed
      sequences.stored(place, set.count)
      return undefined
    } catch (error) {
      const { isPoisoned, needsProducer, ...fault } = toSendFault(error)
      if (needsProducer && stamp) sequences.reject(stamp)
      // The sets of one request may share their error.
      if (error !== use.lastError) use.faults += 1
      use.lastError = error
      if (isPoisoned || use.faults >= faultsInRowMax) retire(use)
      return fault
    } finally {
      isOver = true
      void release(use)
    }
  }

  return {
    send,
    async withAdmin(work) {
      if (isClosed) throw new Error(closed.message)
      const use = acquire()
      try {
        return await use.connection.withAdmin(work)
      } finally {
        void release(use)
      }
    },
    async close() {
      isClosed = true
      await Promise.all([...uses].map(({ connection }) => connection.close(closeMs)))
    },
  }
}

/** More than are offered at once: each loss retires a connection, and its sends have a time limit. */
const rejectedMax = 100

/** The identity that a broker gave to an idempotent producer. It is good for all connections. */
export type ProducerId = Pick<ProducerStamp, 'id' | 'epoch'>

/**
 * Numbers the records of each partition, so that the brokers recognise a set that is sent again. A set
 * whose outcome is unknown keeps its number at the next attempt, also through another connection.
 */
function createSequences() {
  const stamps = new Map<string, ProducerStamp>()
  let producer: ProducerId | undefined
  /**
   * The brokers no longer accept these. A retired connection may still offer one: its numbers would
   * begin at 0 again, and a broker would take a new set for one that it has.
   */
  const rejected: ProducerId[] = []
  const isSame = (one: ProducerId, other: ProducerId) => Buffer.compare(one.id, other.id) === 0
  const isRejected = (offered: ProducerId) => rejected.some((one) => isSame(one, offered))

  return {
    /** Undefined when the producer is not idempotent. */
    next(place: string, offered: ProducerId | undefined): ProducerStamp | undefined {
      if (!producer && (!offered || isRejected(offered))) return undefined
      producer ??= offered!
      const stamp = stamps.get(place) ?? { ...producer, sequence: 0 }
      stamps.set(place, stamp)
      return stamp
    },
    stored(place: string, count: number): void {
      const stamp = stamps.get(place)
      if (stamp) stamps.set(place, { ...stamp, sequence: (stamp.sequence + count) % 2 ** 31 })
    },
    /** Several sets in flight may tell of the same loss, also after another identity was taken. */
    reject(lost: ProducerId): void {
      if (isRejected(lost)) return
      rejected.push(lost)
      if (rejected.length > rejectedMax) rejected.shift()
      producer = undefined
      stamps.clear()
    },
  }
}

type Use = {
  connection: Connection
  inflight: number
  faults: number
  lastError?: unknown
  isRetired?: boolean
}

const closed: SendFault = { kind: 'retry', reason: 'closed', message: 'the Kafka sink is closed' }
const unconfirmed: SendFault = {
  kind: 'no_partition',
  reason: 'unconfirmed',
  message: 'the broker did not confirm the partition',
}
