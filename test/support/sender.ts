import { type MessagePort, parentPort, workerData } from 'node:worker_threads'

/**
 * The thread of `sendBeside`. The attack is prepared and sent by the thread of the test, which would
 * otherwise count as a wait. Events go over one connection, as a server's SDK sends them; a new
 * connection is made when the server closes it.
 */
export type Sent = {
  acknowledged: number
  slowestMs: number
  /** The longest delay of this thread itself, by its pauses: the machine was busy. */
  lateMs: number
  failures: string[]
}

/** Between two events. */
const pauseMs = 5

async function run(port: MessagePort, { url, token }: { url: string; token: string }) {
  const sent: Sent = { acknowledged: 0, slowestMs: 0, lateMs: 0, failures: [] }
  async function send(): Promise<void> {
    const properties = { number: sent.acknowledged }
    const event = { event: 'beside', distinct_id: 'u', properties, uuid: crypto.randomUUID() }
    try {
      const body = JSON.stringify({ api_key: token, batch: [event] })
      const response = await fetch(`${url}/batch/`, { method: 'POST', body })
      const text = await response.text()
      if (response.status === 200) sent.acknowledged += 1
      else sent.failures.push(text)
    } catch (error) {
      sent.failures.push(String(error))
    }
  }
  let isOver = false
  port.on('message', (message) => {
    if (message === 'end') isOver = true
    else port.postMessage(sent)
  })
  await send()
  port.postMessage(sent)
  while (!isOver) {
    const startedMs = performance.now()
    await send()
    const endedMs = performance.now()
    sent.slowestMs = Math.max(sent.slowestMs, endedMs - startedMs)
    await Bun.sleep(pauseMs)
    sent.lateMs = Math.max(sent.lateMs, performance.now() - endedMs - pauseMs)
  }
  port.postMessage(sent)
  port.close()
}

if (parentPort) await run(parentPort, workerData)
