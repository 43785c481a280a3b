import type { Log } from '../core/log.ts'
import type { Catalog } from './catalog.ts'
import type { FileSystem } from './file-system.ts'
import { removeSegmentFile } from './segment-file.ts'

/** Unlinks segments that nobody needs any more, one sweep at a time. */
export type Retention = {
  /**
   * Every record below `offset` may go. Resolves once what it frees is freed; a failure waits for
   * the next call.
   */
  release(offset: number): Promise<void>
  readonly releasedOffset: number
}

export function createRetention({
  fileSystem,
  dir,
  catalog,
  log,
  beforeUnlink,
  onUnlinked,
}: {
  fileSystem: FileSystem
  dir: string
  catalog: Catalog
  log: Log
  beforeUnlink(): Promise<void>
  onUnlinked(): void
}): Retention {
  let releasedOffset = 0
  let sweeping: Promise<void> = Promise.resolve()

  async function sweep(): Promise<void> {
    const entries = [...new Set([...catalog.below(releasedOffset), ...catalog.hollow()])]
    if (entries.length === 0) return
    await beforeUnlink()
    for (const entry of entries) {
      await removeSegmentFile(fileSystem, entry.path)
      // One by one: a crash must not leave an older segment behind whose successor is gone.
      await fileSystem.syncFolder(dir)
      catalog.remove(entry)
      onUnlinked()
    }
  }

  return {
    get releasedOffset() {
      return releasedOffset
    },
    release(offset) {
      releasedOffset = Math.max(releasedOffset, offset)
      sweeping = sweeping.then(sweep).catch((error) => {
        log.error({ error: String(error) }, 'delivered segments could not be removed')
      })
      return sweeping
    },
  }
}
