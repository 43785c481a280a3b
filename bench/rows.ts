/** A port that is free at this moment. */
export function freePort(): number {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  return port
}

const pauseMs = 250
const metricsFreshMs = 1000
const settleMsMax = 300_000

/** Committed events that the slowest sink has not delivered yet. */
export async function readLag(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const lines = text.matchAll(/^spillway_sink_waiting_records\{[^}]*\} (\d+)$/gm)
  return Math.max(0, ...[...lines].map((match) => Number(match[1])))
}

/** Resolves when every sink has delivered all events. */
export async function settle(url: string): Promise<void> {
  const deadlineMs = performance.now() + settleMsMax
  // The delivery thread learns of the last commit a moment later, and requests of one second share a text of metrics.
  await Bun.sleep(metricsFreshMs + pauseMs)
  while ((await readLag(url)) > 0) {
    if (performance.now() > deadlineMs) throw new Error(`the sinks lag after ${settleMsMax} ms`)
    await Bun.sleep(pauseMs)
  }
}

export async function countRows(queryUrl: string, table: string): Promise<number> {
  const query = encodeURIComponent(`SELECT count() FROM ${table}`)
  const response = await fetch(`${queryUrl}/?query=${query}`)
  const text = await response.text()
  // With an external ClickHouse the server creates its tables at the first insert.
  if (!response.ok) return 0
  return Number(text)
}
