import { createServer, type Server } from 'node:net'

/**
 * Below the range from which the system takes the ports of outgoing connections: one of those could be taken by
 * somebody's connection before the service listens, or while it is away.
 */
const portMin = 10_000
const portMax = 32_000
const triesMax = 100

/** Ports of 127.0.0.1 that nobody listens on. They are held until all are found, so they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listen))
  const ports = servers.map(toPort)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1)
  return port!
}

async function listen(): Promise<Server> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await listenOn(portMin + Math.floor(Math.random() * (portMax - portMin)))
    } catch (error) {
      if (tries === triesMax) throw error
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
  if (address === null || typeof address === 'string') throw new Error('no port was given')
  return address.port
}
