/** The brokers to begin with. kafkajs asks before each dial, and dials the first that it is given. */
export type BrokerList = {
  /** Those that are not known to be away, beginning anywhere; all of them once each one is. */
  toDial(): string[]
  dialing(host: string, port: number): void
  reached(host: string, port: number): void
}

export function createBrokerList(brokers: readonly string[]): BrokerList {
  /** Dialled, and not reached since. */
  const away = new Set<string>()
  return {
    toDial() {
      if (brokers.every((broker) => away.has(broker))) away.clear()
      return toShuffled(brokers.filter((broker) => !away.has(broker)))
    },
    dialing(host, port) {
      away.add(`${host}:${port}`)
    },
    reached(host, port) {
      away.delete(`${host}:${port}`)
    },
  }
}

function toShuffled(brokers: readonly string[]): string[] {
  const start = Math.floor(Math.random() * brokers.length)
  return [...brokers.slice(start), ...brokers.slice(0, start)]
}
