import { createServer, type Server } from 'node:net'

/**
 * Below the range of ephemeral ports: an outgoing connection could otherwise take the port before the server listens,
 * or while the server is restarted.
 */
const portMin = 10_000
const portMax = 32_000
const attemptsMax = 100

const randomPort = () => portMin + Math.floor(Math.random() * (portMax - portMin))

/** A port of 127.0.0.1 that is free at this moment. */
export function freePort(): number {
  for (let attempt = 1; ; attempt += 1) {
    const port = randomPort()
    try {
      Bun.listen({ hostname: '127.0.0.1', port, socket: { data() {} } }).stop(true)
      return port
    } catch (error) {
      if (attempt === attemptsMax) throw error
    }
  }
}

/** Different free ports of 127.0.0.1. All are held until the last one is found. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listen))
  const ports = servers.map(toPort)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

async function listen(): Promise<Server> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await listenOn(randomPort())
    } catch (error) {
      if (attempt === attemptsMax) throw error
    }
  }
}

function listenOn(port: number): Promise<Server> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

function toPort(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}
