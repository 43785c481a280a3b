import { until } from './until.ts'

export type RawSocket = {
  send(packet: string | Uint8Array): void
  packets: string[]
  isClosed(): boolean
  close(): void
}

/** A websocket that sends raw Engine.IO packets, also malformed ones. */
export async function rawSocket(url: string): Promise<RawSocket> {
  const ws = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`)
  const packets: string[] = []
  ws.onmessage = ({ data }) => void packets.push(String(data))
  ws.onerror = () => {}
  await until(() => packets.length > 0, { what: 'the open packet' })
  return {
    send: (packet) => ws.send(packet),
    packets,
    isClosed: () => ws.readyState === WebSocket.CLOSED,
    close: () => ws.close(),
  }
}

/** A raw socket that is authenticated. */
export async function rawMember(url: string, token: string): Promise<RawSocket> {
  const socket = await rawSocket(url)
  socket.send(`40${JSON.stringify({ token })}`)
  await until(() => socket.packets.some((packet) => packet.startsWith('40')))
  return socket
}
