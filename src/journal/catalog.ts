/** The segment files of a running journal, oldest first, and the room they take. */
export type CatalogEntry = {
  number: number
  path: string
  /** Offset of its first record; it ends where the next one begins. */
  firstOffset: number
  /** Length of the file, zeros that wait for frames included. */
  bytes: number
  /** Whether its header is known to be on disk, so that it carries the journal's position on. */
  isDurable: boolean
}

export type Catalog = {
  readonly bytes: number
  readonly count: number
  readonly firstOffset: number | undefined
  add(entry: CatalogEntry): void
  remove(entry: CatalogEntry): void
  /**
   * Those that hold nothing from `offset` on, oldest first. Never the last durable one: without its
   * header a restart would not know where the journal stands.
   */
  below(offset: number): CatalogEntry[]
  /** Those that hold no record at all, though a durable one follows. */
  hollow(): CatalogEntry[]
}

export function createCatalog(): Catalog {
  let entries: CatalogEntry[] = []
  const endOf = (index: number) => entries[index + 1]?.firstOffset ?? Number.POSITIVE_INFINITY
  const lastDurable = () => entries.findLastIndex((entry) => entry.isDurable)

  return {
    get bytes() {
      return entries.reduce((sum, entry) => sum + entry.bytes, 0)
    },
    get count() {
      return entries.length
    },
    get firstOffset() {
      return entries[0]?.firstOffset
    },
    add(entry) {
      entries.push(entry)
    },
    remove(entry) {
      entries = entries.filter((other) => other !== entry)
    },
    below(offset) {
      const droppable = entries.slice(0, Math.max(0, lastDurable()))
      const kept = droppable.findIndex((_, index) => endOf(index) > offset)
      return kept === -1 ? droppable : droppable.slice(0, kept)
    },
    hollow() {
      const droppable = entries.slice(0, Math.max(0, lastDurable()))
      return droppable.filter((entry, index) => entry.firstOffset === endOf(index))
    },
  }
}
