import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, settingsSchema } from './config.ts'

/** What the bounds of a node bound for all of its processes together. */
const divided = [
  'JOURNAL_MAX_BYTES',
  'INTAKE_BYTES_MAX',
  'INFLIGHT_REQUESTS_MAX',
  'DEDUP_BYTES_MAX',
] as const

/** One worker's settings: a folder of its own, and its part of the node's room, down to what one process needs. */
export function toShare(config: Config, index: number): Config {
  const share = { ...config, dataDir: join(config.dataDir, `worker-${index}`) }
  for (const name of divided) {
    const { minimum = 1 } = settingsSchema.properties[name] as { minimum?: number }
    share[name] = Math.max(Math.floor(config[name] / config.WORKERS), minimum)
  }
  return share
}

/**
 * Folders of processes that WORKERS no longer asks for: workers beyond that number, and, where there are workers, the
 * folder itself, in which a process without them keeps its journal.
 */
export function findOrphanedJournals(dataDir: string, workers: number): string[] {
  if (!existsSync(dataDir)) return []
  const kept = workers > 1 ? workers : 0
  const left = readdirSync(dataDir).filter((name) => toIndex(name) >= kept)
  const folders = left.sort((a, b) => toIndex(a) - toIndex(b)).map((name) => join(dataDir, name))
  return workers > 1 && existsSync(join(dataDir, 'journal')) ? [dataDir, ...folders] : folders
}

const toIndex = (name: string) => Number(/^worker-(\d{1,3})$/.exec(name)?.[1] ?? -1)
