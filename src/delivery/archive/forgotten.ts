import type { StoredRecord } from '../../core/record.ts'
import type { Person } from '../../core/sink.ts'
import type { ArchiveStore } from './store.ts'

/** Objects are written once, so the archive remembers whom a replay leaves out. */
type Marker = { project: string; distinct_id: string; before_ms: number }

const folder = 'forgotten'

/** A replay leaves out what was received of the person until now. */
export async function markForgotten(store: ArchiveStore, person: Person): Promise<void> {
  const { project, distinctId } = person
  const marker: Marker = { project, distinct_id: distinctId, before_ms: Date.now() }
  const hash = Bun.hash.xxHash64(toKey(project, distinctId)).toString(16)
  await store.put(`${folder}/${hash}.json`, Buffer.from(JSON.stringify(marker)))
}

export type IsForgotten = (record: StoredRecord) => boolean

async function readMarkers(store: ArchiveStore): Promise<Marker[]> {
  const markers: Marker[] = []
  for await (const name of store.list({ from: `${folder}/`, before: `${folder}/~` }))
    markers.push(JSON.parse((await store.get(name)).toString()))
  return markers
}

/** The persons that were forgotten at `fromMs` or later. */
export async function findForgottenSince(store: ArchiveStore, fromMs: number): Promise<Person[]> {
  const markers = await readMarkers(store)
  return markers
    .filter((one) => one.before_ms >= fromMs)
    .map((one) => ({ project: one.project, distinctId: one.distinct_id }))
}

export async function loadForgotten(store: ArchiveStore): Promise<IsForgotten> {
  const markers = await readMarkers(store)
  if (markers.length === 0) return () => false
  const beforeMs = new Map(
    markers.map((one) => [toKey(one.project, one.distinct_id), one.before_ms]),
  )
  const isOf = (project: unknown, id: unknown, receivedMs: number) =>
    receivedMs <= (beforeMs.get(toKey(String(project), String(id))) ?? Number.NEGATIVE_INFINITY)
  return ({ kind, receivedMs, line }) => {
    const row = JSON.parse(decoder.decode(line)) as Record<string, unknown>
    if (kind === 'link')
      return [row.visitor_id, row.user_id].some((id) => isOf(row.project_id, id, receivedMs))
    if (kind !== 'dead_letter') return isOf(row.project, row.distinct_id, receivedMs)
    const ofProject = markers.filter((one) => one.project === row.project)
    return ofProject.some(
      (one) =>
        receivedMs <= one.before_ms && String(row.raw).includes(JSON.stringify(one.distinct_id)),
    )
  }
}

const decoder = new TextDecoder()
const toKey = (project: string, id: string) => `${project}\n${id}`
