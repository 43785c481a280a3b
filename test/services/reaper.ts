import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'

/**
 * Names a process and its folder to a watcher that outlives us: however this process ends, killed
 * included, the watcher ends the other one and removes its folder. Answers how to call that off.
 */
export function reapAfterUs(pid: number, folder: string): () => void {
  watcher ??= startWatcher()
  watcher.write(`${JSON.stringify({ pid, folder })}\n`)
  watcher.flush()
  return () => {
    watcher?.write(`${JSON.stringify({ pid })}\n`)
    watcher?.flush()
  }
}

/** A line of the watcher's input: with a folder it is to be watched over, without it is forgotten. */
type Line = { pid: number; folder?: string }

let watcher: Bun.FileSink | undefined

function startWatcher(): Bun.FileSink {
  const child = Bun.spawn([process.execPath, import.meta.path], {
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'ignore',
  })
  child.unref()
  return child.stdin
}

async function watch(): Promise<void> {
  // Ctrl-C reaches the whole group of processes; the watcher has to see the others out.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  const folders = new Map<number, string>()
  for await (const text of createInterface(process.stdin)) {
    const { pid, folder }: Line = JSON.parse(text)
    if (folder === undefined) folders.delete(pid)
    else folders.set(pid, folder)
  }
  for (const pid of folders.keys()) endProcess(pid)
  for (const folder of folders.values()) rmSync(folder, removal)
}

/** A process that was killed a moment ago may still be writing into its folder. */
const removal = { recursive: true, force: true, maxRetries: 20, retryDelay: 100 } as const

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

if (import.meta.main) await watch()
