import type { Admin, Message } from 'kafkajs'
import { type Connection, type ConnectionOptions, openConnection } from './connection.ts'
import { type SendFault, toSendFault } from './fault.ts'

/** The way to the brokers. It replaces a connection that has gone bad, while others still use it. */
export type KafkaClient = {
  /** Undefined once the broker has stored them all; else what went wrong. Never rejects. */
  send(topic: string, partition: number, messages: Message[]): Promise<SendFault | undefined>
  withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T>
  /** Cuts off what is still under way after a second. */
  close(): Promise<void>
}

/** kafkajs recovers from most faults by itself; after this many in a row it is not believed. */
const faultsInRowMax = 5
const closeMs = 1000

export function createKafkaClient(
  options: ConnectionOptions,
  open: (options: ConnectionOptions) => Connection = openConnection,
): KafkaClient {
  const uses = new Set<Use>()
  let current: Use | undefined
  let isClosed = false

  function use(): Use {
    current ??= { connection: open(options), inflight: 0, faults: 0 }
    uses.add(current)
    return current
  }

  function retire(used: Use): void {
    if (current === used) current = undefined
    used.isRetired = true
  }
  /** What is still under way on a retired connection may finish; each send has its own deadline. */
  async function leave(used: Use): Promise<void> {
    used.inflight -= 1
    if (!used.isRetired || used.inflight > 0) return
    uses.delete(used)
    await used.connection.close(closeMs)
  }

  async function send(topic: string, partition: number, messages: Message[]) {
    if (isClosed) return closed
    const used = use()
    used.inflight += 1
    try {
      const confirmed = await used.connection.send(topic, messages)
      used.faults = 0
      // kafkajs leaves out, without a word, what is for a partition that it does not know.
      if (!confirmed.includes(partition)) return unconfirmed
      return undefined
    } catch (error) {
      const { isPoisoned, ...fault } = toSendFault(error)
      used.faults += 1
      if (isPoisoned || used.faults >= faultsInRowMax) retire(used)
      return fault
    } finally {
      void leave(used)
    }
  }

  return {
    send,
    async withAdmin(work) {
      if (isClosed) throw new Error(closed.message)
      const used = use()
      used.inflight += 1
      try {
        return await used.connection.withAdmin(work)
      } finally {
        void leave(used)
      }
    },
    async close() {
      isClosed = true
      await Promise.all([...uses].map(({ connection }) => connection.close(closeMs)))
    },
  }
}

type Use = { connection: Connection; inflight: number; faults: number; isRetired?: boolean }

const closed: SendFault = { kind: 'retry', reason: 'closed', message: 'the sink is closed' }
const unconfirmed: SendFault = {
  kind: 'no_partition',
  reason: 'unconfirmed',
  message: 'the broker did not confirm the partition',
}
