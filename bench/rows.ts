/** A port nobody listens on at this moment. */
export function freePort(): number {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  return port
}

const pauseMs = 500
const settleMsMax = 120_000

/** Rows of `events` once their number no longer moves: what was really stored. */
export async function settledRows(queryPort: number): Promise<number> {
  const deadlineMs = performance.now() + settleMsMax
  let rows = -1
  while (performance.now() < deadlineMs) {
    await Bun.sleep(3 * pauseMs)
    const now = await countRows(queryPort)
    if (now === rows && now > 0) return now
    rows = now
  }
  return rows
}

async function countRows(queryPort: number): Promise<number> {
  const query = encodeURIComponent('SELECT count() FROM events')
  const response = await fetch(`http://127.0.0.1:${queryPort}/?query=${query}`)
  return Number(await response.text())
}
