import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from './folder.ts'

/** A tmpfs of a few megabytes that a test can fill. */
export type TinyDisk = {
  path: string
  /** Fills the disk to the last byte. */
  fill(): void
  /** Frees the bytes that `fill` used. */
  empty(): void
  [Symbol.dispose](): void
}

/** Mounting needs root. */
export const canMount = process.platform === 'linux' && process.getuid?.() === 0

/** Mounts at `at`, an existing folder, or at a new temporary folder. */
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
      // Lazy unmount: a process may still have files open.
      run(['umount', '-l', path])
      folder?.[Symbol.dispose]()
    },
  }
}

/** Large pieces first, then the last bytes. */
const pieces = [1024 * 1024, 4096, 1].map((bytes) => Buffer.alloc(bytes, 1))

function fill(path: string): void {
  const fd = openSync(path, 'a')
  try {
    for (const piece of pieces) while (writeWhole(fd, piece));
  } finally {
    closeSync(fd)
  }
}

function writeWhole(fd: number, piece: Buffer): boolean {
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
