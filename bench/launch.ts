import type { Subprocess } from 'bun'

export type Launched = { pid: number; url: string; stop(): Promise<void> }

/** Starts a Bun script and waits for the JSON line that tells its port. Its log goes to a file, as in production. */
export async function launch(
  script: string,
  environment: Record<string, string>,
  logPath: string,
): Promise<Launched> {
  const log = Bun.file(logPath)
  const child = Bun.spawn(['bun', script], {
    env: { ...process.env, ...environment },
    stdout: log,
    stderr: 'inherit',
  })
  const port = await portOf(child, logPath)
  return {
    pid: child.pid,
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      child.kill('SIGTERM')
      await child.exited
    },
  }
}

const startMsMax = 20_000

async function portOf(child: Subprocess, logPath: string): Promise<number> {
  const deadlineMs = performance.now() + startMsMax
  while (performance.now() < deadlineMs) {
    const text = await Bun.file(logPath).text()
    const line = text.split('\n').find((line) => line.includes('"port":'))
    if (line) return JSON.parse(line).port
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${text}`)
    await Bun.sleep(20)
  }
  throw new Error(`no port within ${startMsMax} ms`)
}
