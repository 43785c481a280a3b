import { type MessagePort, parentPort, workerData } from 'node:worker_threads'

/**
 * A thread with many sockets that subscribe to one topic. It posts `ready`, and for each `read` the
 * number of messages that all of them have got, and how many of them got a message out of order.
 */
export type Received = { messages: number; disordered: number }

type Options = { url: string; token: string; topic: string; count: number }

/** Concurrent handshakes. */
const dialsMax = 100

async function run(port: MessagePort, { url, token, topic, count }: Options): Promise<void> {
  const received: Received = { messages: 0, disordered: 0 }

  function connect(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const socket = new WebSocket(
      `${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`,
    )
    let last = -1
    socket.onmessage = ({ data }) => {
      const text = String(data)
      if (text.startsWith('0')) socket.send(`40${JSON.stringify({ token })}`)
      else if (text.startsWith('40'))
        socket.send(`42${JSON.stringify(['subscribe', { topic, messageId: 's' }])}`)
      else if (text.startsWith('42["ack"')) resolve()
      else if (text.startsWith('42["message"')) {
        received.messages += 1
        const number = JSON.parse(text.slice(2))[1].payload.number
        if (number <= last) received.disordered += 1
        last = number
      } else if (text === '2') socket.send('3')
    }
    socket.onclose = () => reject(new Error('a subscriber was disconnected'))
    return promise
  }

  port.on('message', () => port.postMessage(received))
  for (let from = 0; from < count; from += dialsMax)
    await Promise.all(Array.from({ length: Math.min(dialsMax, count - from) }, connect))
  port.postMessage('ready')
}

if (parentPort) await run(parentPort, workerData)
