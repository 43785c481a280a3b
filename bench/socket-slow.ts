import { silentSubscriber } from '../test/support/silent-subscriber.ts'
import { readRssBytes } from './cpu.ts'
import { topic } from './socket-audience.ts'
import { connect, sendPaced, subscribe, type Target, type TurnScheduler } from './socket-clients.ts'

/** What became of a subscriber that reads nothing, and of the server's memory. */
export type SlowReport = {
  /** From the first message to its end; undefined where the server kept it. */
  cutAfterSeconds: number | undefined
  /** What was published to it by then: what the kernel took for it, and what waited in the server. */
  offeredBytes: number
  rssBytes: { before: number; atCut: number; after: number }
  /** What a subscriber of the same messages, who does read, did not get. */
  neighbourMissing: number
}

const bulkTopic = 'public:bench-bulk'
/** Small messages would take minutes to fill the kernel's buffers and then the server's bound. */
const bulk = 'x'.repeat(128 * 1024)
/** A reading of the metrics costs the server some milliseconds, which deliveries wait for. */
const pollMs = 500
/** The last messages have to arrive, and a late end to be seen. */
const graceMs = 2000

/**
 * Joins the audience's topic and one of large messages, which has another subscriber, and then reads nothing. Runs
 * beside whatever else is measured.
 */
export async function measureSlow(
  server: Target,
  token: string,
  pace: TurnScheduler,
): Promise<SlowReport> {
  const [publisher, neighbour] = await connect(server.url, token, 2)
  let heard = 0
  neighbour!.on('message', () => {
    heard += 1
  })
  await subscribe(neighbour!, bulkTopic)
  const slow = await silentSubscriber(server.url, { token, topics: [topic, bulkTopic] })
  const before = readRssBytes(server.pid)
  let offeredBytes = 0
  const watch = watchForCut(server, () => offeredBytes)
  await watch.started
  await sendPaced(pace, () => {
    offeredBytes += bulk.length
    publisher!.emit('publish', { topic: bulkTopic, payload: bulk })
  })
  await Bun.sleep(graceMs)
  const cut = await watch.stop()
  const after = readRssBytes(server.pid)
  for (const socket of [publisher!, neighbour!]) socket.disconnect()
  slow.close()
  return {
    cutAfterSeconds: cut?.afterSeconds,
    offeredBytes: cut?.offeredBytes ?? offeredBytes,
    rssBytes: { before, atCut: cut?.rssBytes ?? after, after },
    neighbourMissing: pace.messages - heard,
  }
}

type Cut = { afterSeconds: number; offeredBytes: number; rssBytes: number }

/** A paused socket does not see its end: the server's own count of sockets tells. */
function watchForCut(server: Target, readOffered: () => number) {
  const started = Promise.withResolvers<void>()
  let isOver = false
  async function watch(): Promise<Cut | undefined> {
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
