import { join } from 'node:path'
import type { Subprocess } from 'bun'

export type Launched = { pid: number; url: string; stop(): Promise<void> }

/**
 * The command of `bun run start`. With a script as argument it runs that script instead of the
 * server.
 */
export const startCommand = ['sh', join(import.meta.dir, '../src/start.sh')]

/**
 * Starts a server and waits for the JSON line with its port. Its log goes to a file, as in
 * production.
 */
export async function launch(
  command: string[],
  environment: Record<string, string>,
  logPath: string,
): Promise<Launched> {
  await Bun.write(logPath, '')
  const child = Bun.spawn(command, {
    env: { ...process.env, ...environment },
    stdout: Bun.file(logPath),
    stderr: 'inherit',
  })
  const url = `http://127.0.0.1:${await portOf(child, logPath)}`
  await until(async () => (await fetch(url)).ok, 'readiness')
  return {
    pid: child.pid,
    url,
    stop: async () => {
      child.kill('SIGTERM')
      await child.exited
    },
  }
}

const startMsMax = 20_000

async function portOf(child: Subprocess, logPath: string): Promise<number> {
  return await until(async () => {
    const text = await Bun.file(logPath).text()
    if (child.exitCode !== null)
      throw new Error(`the server exited with ${child.exitCode}: ${text}`)
    const line = text.split('\n').find((line) => line.includes('"port":'))
    return line && JSON.parse(line).port
  }, 'port')
}

export async function until<T>(
  probe: () => T | undefined | false | '' | Promise<T | undefined | false | ''>,
  what: string,
): Promise<T> {
  const deadlineMs = performance.now() + startMsMax
  while (performance.now() < deadlineMs) {
    const value = await probe()
    if (value) return value
    await Bun.sleep(20)
  }
  throw new Error(`no ${what} within ${startMsMax} ms`)
}
