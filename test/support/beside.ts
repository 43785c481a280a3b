import type { Spillway } from './spillway.ts'
import { until } from './until.ts'

/** Small events of an honest sender, one after the other, beside an attack. */
export type Beside = {
  /** Ends the sender. Resolves with its waits, when every acknowledged event is stored. */
  end(): Promise<{ acknowledged: number; slowestMs: number; failures: string[] }>
}

const storedMsMax = 5000

/** Over one connection, as a server's SDK sends. A new connection is made when the server closes it. */
export function sendBeside(server: Spillway, token = 'phc_beside'): Beside {
  let isOver = false
  const failures: string[] = []
  let acknowledged = 0
  let slowestMs = 0
  async function run(): Promise<void> {
    while (!isOver) {
      const startedMs = performance.now()
      const properties = { number: acknowledged }
      const event = { event: 'beside', distinct_id: 'u', properties, uuid: crypto.randomUUID() }
      try {
        const body = JSON.stringify({ api_key: token, batch: [event] })
        const response = await fetch(`${server.url}/batch/`, { method: 'POST', body })
        const text = await response.text()
        if (response.status === 200) acknowledged += 1
        else failures.push(text)
      } catch (error) {
        failures.push(String(error))
      }
      slowestMs = Math.max(slowestMs, performance.now() - startedMs)
      await Bun.sleep(5)
    }
  }
  const running = run()
  return {
    async end() {
      isOver = true
      await running
      const sql = `SELECT toUInt32(uniqExact(uuid)) AS n FROM events WHERE project = '${token}'`
      const count = async () => (await server.query<{ n: number }>(sql))[0]?.n ?? 0
      const isStored = async () => (await count()) >= acknowledged
      await until(isStored, { timeoutMs: storedMsMax, what: 'every acknowledged event' })
      return { acknowledged, slowestMs, failures }
    },
  }
}

/**
 * TCP connections that send nothing. Another process holds them, so that their events do not delay
 * those of the honest sender.
 */
export async function openIdle(url: string, count: number) {
  const child = Bun.spawn(
    [process.execPath, '-e', holdConnections, new URL(url).port, `${count}`],
    {
      stdin: 'ignore',
      stderr: 'inherit',
    },
  )
  await child.stdout.getReader().read()
  return {
    [Symbol.dispose]() {
      child.kill('SIGKILL')
    },
  }
}

/** Writes a byte once every connection is open, or refused by the kernel. */
const holdConnections = `
  const { connect } = require('node:net')
  const [port, count] = process.argv.slice(-2).map(Number)
  const sockets = Array.from({ length: count }, () => connect(port, '127.0.0.1'))
  for (const socket of sockets) socket.on('error', () => {})
  setInterval(() => sockets.every(({ connecting }) => !connecting) && process.stdout.write('.'), 20)
`
