import type { Admin, Message } from 'kafkajs'
import { type Connection, type ConnectionOptions, openConnection } from './connection.ts'
import { type SendFault, toSendFault } from './fault.ts'

/**
 * Sends through one connection at a time. A broken connection is replaced; sends that still use it
 * may finish.
 */
export type KafkaClient = {
  /** Resolves with undefined when the broker has stored all messages, else with the fault. Never rejects. */
  send(topic: string, partition: number, messages: Message[]): Promise<SendFault | undefined>
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

  async function send(topic: string, partition: number, messages: Message[]) {
    if (isClosed) return closed
    const use = acquire()
    try {
      const confirmed = await use.connection.send(topic, messages)
      use.faults = 0
      // kafkajs silently drops messages for a partition that it does not know.
      if (!confirmed.includes(partition)) return unconfirmed
      return undefined
    } catch (error) {
      const { isPoisoned, ...fault } = toSendFault(error)
      use.faults += 1
      if (isPoisoned || use.faults >= faultsInRowMax) retire(use)
      return fault
    } finally {
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

type Use = { connection: Connection; inflight: number; faults: number; isRetired?: boolean }

const closed: SendFault = { kind: 'retry', reason: 'closed', message: 'the Kafka sink is closed' }
const unconfirmed: SendFault = {
  kind: 'no_partition',
  reason: 'unconfirmed',
  message: 'the broker did not confirm the partition',
}
