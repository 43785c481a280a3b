import { basename, join } from 'node:path'
import type { Log } from '../core/log.ts'
import { type FileSystem, isCode } from './file-system.ts'

/**
 * Damaged segments kept for inspection; a disk that spoils more than this needs replacing, not
 * archiving.
 */
const keptMax = 16

export type Damage = {
  path: string
  /** Where in the file. */
  position: number
  what: string
  /** Records that can no longer be read, where that is known. */
  fromOffset?: number
  endOffset?: number
}

/**
 * Tells of each damage once, and keeps the file aside. Never throws: reading goes on with what is
 * sound.
 */
export type DamageReporter = { report(damage: Damage): Promise<void>; readonly count: number }

/**
 * Spoiled segments get a second name in `dir/damaged`, which takes no room until the journal drops
 * the first.
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
      log.error({ path, error: String(error) }, 'a damaged segment could not be kept aside')
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
      log.error({ ...damage, keptAs }, 'the journal is damaged; what is sound goes on')
    },
  }
}
