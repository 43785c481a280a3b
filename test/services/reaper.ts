import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'

/**
 * Registers a process and its folder with a watcher process that outlives this one. When this process ends, also by
 * SIGKILL, the watcher kills the registered process and removes its folder. Returns a function that unregisters it.
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

/** A line of the watcher's input: with a folder it registers the process, without one it unregisters it. */
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
  // Ctrl-C reaches the whole process group. The watcher must end last, so it ignores the signal.
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

/** A process that was just killed may still be writing into its folder, so retry. */
const removal = { recursive: true, force: true, maxRetries: 20, retryDelay: 100 } as const

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has already ended.
  }
}

if (import.meta.main) await watch()
