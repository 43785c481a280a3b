/**
 * The name of an archived object says what it holds: the day and the times of receipt, the journal, the
 * range of offsets, and a hash of its content. An object holds records of one day (UTC).
 * `2026-11-29/20261129T180712123Z_20261129T180812001Z_<journal>_1200-1999_<hash>.segment.zst`
 */
export type ObjectName = {
  name: string
  /** `2026-11-29` */
  day: string
  fromMs: number
  toMs: number
  journalId: string
  firstOffset: number
  lastOffset: number
}

export const toDay = (ms: number) => new Date(ms).toISOString().slice(0, 10)

/**
 * Equal content has an equal name, so a batch that is archived twice is stored once. Other content
 * under the same range, from a journal that was restored from a backup, has another name.
 */
export function toObjectName(held: Omit<ObjectName, 'name' | 'day'>, hash: string): string {
  const { fromMs, toMs, journalId, firstOffset, lastOffset } = held
  const times = `${toStamp(fromMs)}_${toStamp(toMs)}`
  return `${toDay(fromMs)}/${times}_${journalId}_${firstOffset}-${lastOffset}_${hash}.segment.zst`
}

/** Undefined for the name of another object. */
export function parseObjectName(name: string): ObjectName | undefined {
  const { day, from, to, journal, first, last } = shape.exec(name)?.groups ?? {}
  if (day === undefined) return undefined
  return {
    ...{ name, day, journalId: journal! },
    ...{ fromMs: fromStamp(from!), toMs: fromStamp(to!) },
    ...{ firstOffset: Number(first), lastOffset: Number(last) },
  }
}

const shape =
  /^(?<day>\d{4}-\d\d-\d\d)\/(?<from>\d{8}T\d{9}Z)_(?<to>\d{8}T\d{9}Z)_(?<journal>[\da-f-]{36})_(?<first>\d+)-(?<last>\d+)_[\da-f]+\.segment\.zst$/

const toStamp = (ms: number) => new Date(ms).toISOString().replace(/[-:.]/g, '')

const fromStamp = (text: string) =>
  Date.parse(text.replace(/^(....)(..)(..)T(..)(..)(..)(...)Z$/, '$1-$2-$3T$4:$5:$6.$7Z'))
