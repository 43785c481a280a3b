import { basename, join } from 'node:path'
import type { Log } from '../core/log.ts'
import { type FileSystem, isCode } from './file-system.ts'

/** Damaged segments kept for inspection. A disk that damages more needs to be replaced first. */
const keptMax = 16

type Damage = {
  path: string
  /** Byte position in the file. */
  position: number
  what: string
  /** Records that can no longer be read, where that is known. */
  fromOffset?: number
  endOffset?: number
}

/** Logs each damage once and keeps the file. Never throws: reading continues after the damage. */
export type DamageReporter = { report(damage: Damage): Promise<void>; readonly count: number }

/**
 * A damaged segment gets a second name (hard link) in `dir/damaged`. It takes no disk space until
 * the journal removes the first name.
 */
export function createDamageReporter({
  fileSystem,
  dir,
  log,
}: {
  fileSystem: FileSystem
  dir: string
  log: Log
}): DamageReporter {
  const reported = new Set<string>()
  const asideDir = join(dir, 'damaged')

  async function keepAside(path: string): Promise<string | undefined> {
    const aside = join(asideDir, basename(path))
    try {
      await fileSystem.makeFolder(asideDir)
      const kept = await fileSystem.list(asideDir)
      if (kept.includes(basename(path))) return aside
      if (kept.length >= keptMax) return undefined
      await fileSystem.link(path, aside)
      await fileSystem.syncFolder(asideDir)
      return aside
    } catch (error) {
      if (isCode(error, 'EEXIST')) return aside
      log.error({ path, error: String(error) }, 'cannot keep a copy of a damaged segment')
      return undefined
    }
  }

  return {
    get count() {
      return reported.size
    },
    async report(damage) {
      const place = `${damage.path}:${damage.position}`
      if (reported.has(place)) return
      reported.add(place)
      const keptAs = await keepAside(damage.path)
      log.error(
        { ...damage, keptAs },
        'the journal is damaged; all valid commits are still delivered',
      )
    },
  }
}
