import { Database } from 'bun:sqlite'

/** Held until released or until the process ends, however it ends. */
export type Lock = { release(): void }

/** A lock whose object nobody refers to is still held: collected, it would be dropped. */
const held = new Set<Database>()

/**
 * Undefined where somebody else, in this process or another, holds it. SQLite's file locks do the
 * work: the kernel drops them with the process, `kill -9` included, and no library beyond Bun's own
 * is loaded.
 */
export function lockFile(path: string): Lock | undefined {
  const database = new Database(path, { create: true })
  try {
    // No rollback file and no waiting: nothing is ever written here.
    database.run('PRAGMA journal_mode = MEMORY')
    database.run('PRAGMA busy_timeout = 0')
    database.run('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (isBusy(error)) return undefined
    throw error
  }
  held.add(database)
  return {
    release() {
      held.delete(database)
      database.close()
    },
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && (error as { code?: string }).code === 'SQLITE_BUSY'
}
