/**
 * Below the range from which the system takes the ports of outgoing connections: a server that is away for a moment
 * must find its port free again.
 */
const portMin = 10_000
const portMax = 32_000
const triesMax = 100

/** A port nobody listens on at this moment. */
export function freePort(): number {
  for (let tries = 1; ; tries += 1) {
    const port = portMin + Math.floor(Math.random() * (portMax - portMin))
    try {
      Bun.listen({ hostname: '127.0.0.1', port, socket: { data() {} } }).stop(true)
      return port
    } catch (error) {
      if (tries === triesMax) throw error
    }
  }
}
