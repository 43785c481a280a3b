import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from './folder.ts'

/** A file system of its own, of a few megabytes, that can be filled up. */
export type TinyDisk = {
  path: string
  /** Somebody else takes all that is left, to the last byte. */
  fill(): void
  /** And gives it back. */
  empty(): void
  [Symbol.dispose](): void
}

/** To mount something takes root. */
export const canMount = process.platform === 'linux' && process.getuid?.() === 0

/** At `at`, a folder that is there, or else at one of its own. */
export function mountTinyDisk(bytes: number, at?: string): TinyDisk {
  const folder = at === undefined ? temporaryFolder('spillway-disk-') : undefined
  const path = at ?? folder!.path
  run(['mount', '-t', 'tmpfs', '-o', `size=${bytes}`, 'spillway-test', path])
  const filler = join(path, 'filler')
  return {
    path,
    fill: () => fill(filler),
    empty: () => rmSync(filler, { force: true }),
    [Symbol.dispose]() {
      // Lazily: whatever still holds a file open loses it when it ends.
      run(['umount', '-l', path])
      folder?.[Symbol.dispose]()
    },
  }
}

/** More at a time first, and then the last few bytes. */
const pieces = [1024 * 1024, 4096, 1].map((bytes) => Buffer.alloc(bytes, 1))

function fill(path: string): void {
  const fd = openSync(path, 'a')
  try {
    for (const piece of pieces) while (takes(fd, piece));
  } finally {
    closeSync(fd)
  }
}

function takes(fd: number, piece: Buffer): boolean {
  try {
    return writeSync(fd, piece) === piece.length
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false
    throw error
  }
}

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command)
  if (exitCode !== 0) throw new Error(`${command.join(' ')}: ${stderr}`)
}
