import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { dirname } from 'node:path'

/** The file that says which objects a replay has sent. The same command continues there after an interruption. */
export type ProgressFile = {
  runId: string
  /** The end of the range, fixed by the first run. */
  toMs: number
  /** When the first run began. */
  startedMs: number
  isResumed: boolean
  done: ReadonlySet<string>
  /** On disk when it returns. */
  add(name: string): void
  /** Closes the file. Removes it if the replay is complete. */
  close(isComplete: boolean): void
}

/** A header and a line for each object. A last line that was cut by a crash counts as absent. */
export function openProgressFile(path: string, toMs: number): ProgressFile {
  fs.mkdirSync(dirname(path), { recursive: true })
  const text = fs.existsSync(path) ? fs.readFileSync(path, 'utf8') : ''
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
  const header = parseHeader(lines.shift() ?? '')
  const isResumed = header !== undefined
  const run = header ?? { runId: randomUUID(), toMs, startedMs: Date.now() }
  const descriptor = fs.openSync(path, isResumed ? 'r+' : 'w')
  let at = isResumed ? Buffer.byteLength(text.slice(0, text.lastIndexOf('\n') + 1)) : 0
  const append = (line: string) => {
    at += fs.writeSync(descriptor, `${line}\n`, at)
    fs.fdatasyncSync(descriptor)
  }
  fs.ftruncateSync(descriptor, at)
  if (!isResumed) append(JSON.stringify(run))
  return {
    ...run,
    isResumed,
    done: new Set(lines.filter((line) => line !== '')),
    add: append,
    close(isComplete) {
      fs.closeSync(descriptor)
      if (isComplete) fs.rmSync(path)
    },
  }
}

type Header = Pick<ProgressFile, 'runId' | 'toMs' | 'startedMs'>

function parseHeader(line: string): Header | undefined {
  try {
    const { runId, toMs, startedMs } = JSON.parse(line)
    const isWhole = [toMs, startedMs].every((ms) => typeof ms === 'number')
    return typeof runId === 'string' && isWhole ? { runId, toMs, startedMs } : undefined
  } catch {
    return undefined
  }
}
