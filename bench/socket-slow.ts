import { silentSubscriber } from '../test/support/silent-subscriber.ts'
import { readRssBytes } from './cpu.ts'
import { topic } from './socket-audience.ts'
import { connect, type Pace, sendPaced, subscribe, type Target } from './socket-clients.ts'

/** Result for a subscriber that reads nothing, and the server's memory. */
export type SlowReport = {
  /** From the first message to the disconnect. Undefined if the server kept the subscriber. */
  disconnectedAfterSeconds: number | undefined
  /**
   * Bytes published to it by then: in the kernel's socket buffers, and in the server's send buffer.
   */
  offeredBytes: number
  rssBytes: { before: number; atDisconnect: number; after: number }
  /** Messages that another subscriber of the same topic, which reads, did not receive. */
  neighbourMissing: number
}

const bulkTopic = 'public:bench-bulk'
/**
 * Large, because small messages would take minutes to fill the kernel's and the server's buffers.
 */
const bulk = 'x'.repeat(128 * 1024)
/**
 * Not more often: a request of /metrics takes the server some milliseconds, which delay deliveries.
 */
const pollMs = 500
/** Time for the last messages to arrive and for a late disconnect to be seen. */
const graceMs = 2000

/**
 * Subscribes to the audience's topic and to a topic of large messages, which has another
 * subscriber, and then reads nothing. Runs while other things are measured.
 */
export async function measureSlow(server: Target, token: string, pace: Pace): Promise<SlowReport> {
  const [publisher, neighbour] = await connect(server.url, token, 2)
  let received = 0
  neighbour!.on('message', () => {
    received += 1
  })
  await subscribe(neighbour!, bulkTopic)
  const slow = await silentSubscriber(server.url, { token, topics: [topic, bulkTopic] })
  const before = readRssBytes(server.pid)
  let offeredBytes = 0
  const watch = watchForDisconnect(server, () => offeredBytes)
  await watch.started
  await sendPaced(pace, () => {
    offeredBytes += bulk.length
    publisher!.emit('publish', { topic: bulkTopic, payload: bulk })
  })
  await Bun.sleep(graceMs)
  const disconnect = await watch.stop()
  const after = readRssBytes(server.pid)
  for (const socket of [publisher!, neighbour!]) socket.disconnect()
  slow.close()
  return {
    disconnectedAfterSeconds: disconnect?.afterSeconds,
    offeredBytes: disconnect?.offeredBytes ?? offeredBytes,
    rssBytes: { before, atDisconnect: disconnect?.rssBytes ?? after, after },
    neighbourMissing: pace.messages - received,
  }
}

type Disconnect = { afterSeconds: number; offeredBytes: number; rssBytes: number }

/** A paused socket does not notice its disconnect, so this reads the server's count of sockets. */
function watchForDisconnect(server: Target, readOffered: () => number) {
  const started = Promise.withResolvers<void>()
  let isOver = false
  async function watch(): Promise<Disconnect | undefined> {
    const atFirst = await readSockets(server.url)
    started.resolve()
    const startMs = performance.now()
    while (!isOver) {
      await Bun.sleep(pollMs)
      if ((await readSockets(server.url)) >= atFirst) continue
      const afterSeconds = (performance.now() - startMs) / 1000
      return { afterSeconds, offeredBytes: readOffered(), rssBytes: readRssBytes(server.pid) }
    }
    return
  }
  const watching = watch()
  return {
    started: started.promise,
    stop() {
      isOver = true
      return watching
    },
  }
}

async function readSockets(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^spillway_sockets (\d+)$/m.exec(text)?.[1])
}
