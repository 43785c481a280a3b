import { closeSync } from 'node:fs'
import type { Native } from '../chdb/native.ts'

/** Output on its way from an executor: what is not read holds the executor up. */
export type Output = {
  /** The next piece; undefined at the end. */
  read(): Promise<Uint8Array | undefined>
  /** Reads the rest and forgets it, so that nobody waits for room in the pipe. */
  discard(): Promise<void>
}

/** A pipe between threads. The writer closes `writeFd`; the reading end closes itself at the end of the output. */
export function openPipe(native: Native): { writeFd: number; output: Output } {
  const ends = new Int32Array(2)
  if (native.pipe(ends) !== 0) throw new Error('No pipe could be opened: too many open files?')
  const [readFd, writeFd] = [ends[0]!, ends[1]!]
  const reader = Bun.file(readFd).stream().getReader()
  let isOver = false

  async function read(): Promise<Uint8Array | undefined> {
    if (isOver) return undefined
    const { value, done } = await reader.read()
    if (!done) return value
    if (!isOver) closeSync(readFd)
    isOver = true
    return undefined
  }
  async function discard(): Promise<void> {
    while ((await read()) !== undefined);
  }
  return { writeFd, output: { read, discard } }
}
