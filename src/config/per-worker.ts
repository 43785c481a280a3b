import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, intakeBytesOfLargest, settingsSchema } from './config.ts'

/** Limits of a node, which its processes share. */
const divided = [
  'JOURNAL_MAX_BYTES',
  'INTAKE_BYTES_MAX',
  'INFLIGHT_REQUESTS_MAX',
  'DEDUP_BYTES_MAX',
] as const

/**
 * The settings of one worker: its own folder, and its share of the node's limits, but at least their
 * minimum, and enough memory for the largest body that the node accepts.
 */
export function toShare(config: Config, index: number): Config {
  const share = { ...config, dataDir: join(config.dataDir, `worker-${index}`) }
  for (const name of divided) {
    const { minimum = 1 } = settingsSchema.properties[name] as { minimum?: number }
    const least =
      name === 'INTAKE_BYTES_MAX' ? Math.min(config[name], intakeBytesOfLargest) : minimum
    share[name] = Math.max(Math.floor(config[name] / config.WORKERS), least)
  }
  return share
}

/**
 * Folders of journals whose process no longer runs: workers beyond WORKERS, and, if there are workers, `dataDir` itself,
 * where a single process keeps its journal.
 */
export function findOrphanedJournals(dataDir: string, workers: number): string[] {
  if (!existsSync(dataDir)) return []
  const running = workers > 1 ? workers : 0
  const orphaned = readdirSync(dataDir).filter((name) => toIndex(name) >= running)
  const folders = orphaned
    .sort((a, b) => toIndex(a) - toIndex(b))
    .map((name) => join(dataDir, name))
  return workers > 1 && existsSync(join(dataDir, 'journal')) ? [dataDir, ...folders] : folders
}

const toIndex = (name: string) => Number(/^worker-(\d{1,3})$/.exec(name)?.[1] ?? -1)
