import type { Spillway } from './spillway.ts'

const logLinesMax = 40

/** Runs `check`. If it fails, the error contains the server's readiness and last log lines. */
export async function explained<T>(
  server: Pick<Spillway, 'url' | 'log'>,
  check: () => Promise<T>,
): Promise<T> {
  try {
    return await check()
  } catch (error) {
    const health = await fetch(`${server.url}/_readiness`).then((reply) => reply.text(), String)
    const lines = server.log().split('\n')
    const relevant = lines.filter((line) => line !== '' && !line.includes('"msg":"request"'))
    const log = relevant.slice(-logLinesMax).join('\n')
    const message = error instanceof Error ? error.message : String(error)
    throw new Error(`${message}\nreadiness: ${health}\nlog:\n${log}`, { cause: error })
  }
}
