import type { StoredRecord } from '../../core/record.ts'
import { loadForgotten } from '../archive/forgotten.ts'
import { type ArchivedRecords, readObject } from '../archive/object.ts'
import { type ObjectName, parseObjectName, toDay } from '../archive/object-name.ts'
import type { ArchiveStore } from '../archive/store.ts'
import { splitRecords } from '../split-records.ts'
import type { ReplayTarget } from './targets.ts'

/** Records received from `fromMs` to before `toMs`; of one project, if there is one. */
type ReplayRange = { fromMs: number; toMs: number; project: string | undefined }

export type ReplayOptions = {
  store: ArchiveStore
  range: ReplayRange
  targets: readonly ReplayTarget[]
  /** Names of the objects that an interrupted run has sent. */
  done: ReadonlySet<string>
  /** Called when every target has an object. */
  onDone(name: string): void
  onProgress(progress: ReplayProgress): void
  signal: AbortSignal
}

export type ReplayProgress = {
  objects: number
  objectsDone: number
  /** In the range, in the objects that this run has read. */
  records: number
  /** By target. */
  sent: Readonly<Record<string, number>>
  /** Objects that cannot be read, with the reason. */
  damaged: readonly { name: string; reason: string }[]
}

/**
 * Sends archived records again, object by object in the order of receipt, and of one journal in its order.
 * An object that cannot be read is skipped and reported.
 */
export async function replay(options: ReplayOptions): Promise<ReplayProgress> {
  const { store, range, targets, done, onDone, onProgress, signal } = options
  const objects = await findObjects(store, range)
  const isForgotten = await loadForgotten(store)
  const sent = Object.fromEntries(targets.map(({ name }) => [name, 0]))
  const damaged: { name: string; reason: string }[] = []
  const progress = { objects: objects.length, objectsDone: 0, records: 0, sent, damaged }

  async function send({ journalId, records: archived }: ArchivedRecords): Promise<void> {
    const inRange = archived.filter((record) => isInRange(record, range))
    const records = inRange.filter((record) => !isForgotten(record))
    progress.records += records.length
    for (const target of targets)
      for (const part of splitRecords(records, target.limits)) {
        sent[target.name]! += await target.send(journalId, part, signal)
        onProgress(progress)
      }
  }

  for (const { name } of objects) {
    if (!done.has(name)) {
      const content = await load(store, name)
      if ('reason' in content) damaged.push({ name, reason: content.reason })
      else {
        await send(content)
        onDone(name)
      }
    }
    progress.objectsDone += 1
    onProgress(progress)
  }
  return progress
}

/** By day, and within a day by journal and offset. */
async function findObjects(store: ArchiveStore, range: ReplayRange): Promise<ObjectName[]> {
  const { fromMs, toMs } = range
  const found: ObjectName[] = []
  const days = { from: `${toDay(fromMs)}/`, before: `${toDay(toMs)}/~` }
  for await (const name of store.list(days)) {
    const object = parseObjectName(name)
    if (object && object.toMs >= fromMs && object.fromMs < toMs) found.push(object)
  }
  return found.sort(
    (a, b) =>
      compare(a.day, b.day) ||
      compare(a.journalId, b.journalId) ||
      a.firstOffset - b.firstOffset ||
      compare(a.name, b.name),
  )
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

/** A store that cannot be reached ends the replay; an object with other content does not. */
async function load(store: ArchiveStore, name: string) {
  const bytes = await store.get(name)
  return await readObject(bytes).catch((error: Error) => ({ reason: error.message }))
}

function isInRange(record: StoredRecord, { fromMs, toMs, project }: ReplayRange): boolean {
  const { receivedMs } = record
  if (receivedMs < fromMs || receivedMs >= toMs) return false
  return project === undefined || isOfProject(record, project)
}

function isOfProject({ line }: StoredRecord, project: string): boolean {
  const text = Buffer.from(line.buffer, line.byteOffset, line.byteLength)
  // Most lines of other projects do not contain the name at all.
  if (!text.includes(JSON.stringify(project))) return false
  const row = JSON.parse(text.toString()) as { project?: unknown; project_id?: unknown }
  return (row.project ?? row.project_id) === project
}
