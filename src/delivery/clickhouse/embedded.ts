import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Log, silentLog } from '../../core/log.ts'
import { createBufferPool, toBuffer } from './body.ts'
import {
  type ClickHouse,
  type ClientOptions,
  createVendorClient,
  type Insert,
  insertSettings,
  toStatements,
  worded,
} from './client.ts'
import { ClickHouseFailure } from './failure.ts'
import { createInserter } from './inserter.ts'
import { createWriteWatch } from './write-watch.ts'

type VendorConnection = NonNullable<ClientOptions['connection']>
type Vendor = Pick<typeof import('chdb/connection'), 'createChdbConnection'>

/**
 * Loads the engine's library, 50 ms. Rejects with a sentence for the operator where it cannot be
 * loaded: it is an optional dependency, and does not exist for every platform.
 */
export async function loadEngine(load = () => import('chdb/connection')): Promise<Vendor> {
  try {
    return await load()
  } catch (error) {
    throw new Error(
      `The embedded ClickHouse cannot be loaded here (${toText(error)}): ` +
        'set CLICKHOUSE_URL to use a server instead.',
    )
  }
}

/** Told before anything is accepted; whether the engine can be loaded shows once its thread tries. */
export function assertEngineInstalled(): void {
  try {
    Bun.resolveSync('chdb/connection', import.meta.dir)
  } catch {
    throw new Error(
      'The embedded ClickHouse is not installed here: set CLICKHOUSE_URL to use a server instead.',
    )
  }
}

/**
 * The engine in this process, on a folder of its own. Any number of connections and threads may
 * share the folder within the process, each running one statement at a time; a second process may
 * not. Rows go in as one buffer by a thread of their own.
 */
export function openEmbeddedClickHouse(
  vendor: Vendor,
  path: string,
  log: Log = silentLog,
): ClickHouse {
  const connection = vendor.createChdbConnection({ path })
  // The engine's package is typed against a copy of its own of the client's interfaces.
  const client = createVendorClient({ connection: connection as unknown as VendorConnection })
  const statements = toStatements(client)
  const writes = createWriteWatch({ engine: statements, log })
  const underWay = new Set<Promise<unknown>>()

  const staged = new WeakMap<Insert['lines'], Promise<Buffer>>()
  const pool = createBufferPool(bodies)
  const inserter = createInserter({ path, onFree: (room) => pool.giveBack(Buffer.from(room)) })
  const toBody = (lines: Insert['lines']) => toBuffer(lines, nextTurn, pool.take)

  /** The engine is at another insert meanwhile: this costs it nothing. */
  function stage(lines: Insert['lines']): void {
    const values = toBody(lines)
    values.catch(() => {}) // Whoever inserts it hears of it.
    staged.set(lines, values)
  }

  /** Of an insert's parts, those before may be broken; and a part that a merge has just broken fails every read. */
  async function settled(error: unknown): Promise<never> {
    await writes.settle()
    throw error
  }

  async function insert({ table, token, lines }: Insert) {
    const values = await (staged.get(lines) ?? toBody(lines))
    staged.delete(lines)
    const failuresBefore = writes.failures
    const failures = await inserter.insert(toInsert(table, token), values).catch(settled)
    if (failures !== failuresBefore) await writes.settle()
    if (writes.failures !== failuresBefore) throw unwritten()
  }

  /**
   * The engine cannot be interrupted, and to leave it while it works ends the process: calls are
   * seen through.
   */
  function seenThrough<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(aborted())
    const running = worded(call)
    underWay.add(running)
    const forget = () => underWay.delete(running)
    running.then(forget, forget)
    return running
  }

  const looking = setInterval(() => void seenThrough(writes.settle).catch(() => {}), lookMs)
  looking.unref()
  return {
    stage,
    query: <Row>(sql: string, signal?: AbortSignal) =>
      seenThrough(() => statements.query<Row>(sql).catch(settled), signal),
    command: (sql, signal) => seenThrough(() => statements.command(sql), signal),
    insert: (rows, signal) => seenThrough(() => insert(rows), signal),
    async close() {
      clearInterval(looking)
      await Promise.allSettled(underWay)
      inserter.close()
      await client.close()
    },
  }
}

/** The table's name and the token are ours: neither holds a quote. */
export function toInsert(table: string, token: string): string {
  const settings = { ...insertSettings, insert_deduplication_token: token }
  const pairs = Object.entries(settings).map(([name, value]) => `${name} = '${value}'`)
  return `INSERT INTO ${table} SETTINGS ${pairs.join(', ')}`
}

/** One is filled while another is inserted; a batch of `embeddedBytesMax` ends with the row that crosses it. */
const bodies = { bytesMin: 44 * 1024 * 1024, keptMax: 2 }

/** What a broken merge was made from is kept for eight minutes. */
const lookMs = 60_000

/** CANNOT_WRITE_TO_FILE_DESCRIPTOR: what a ClickHouse that minds would have said. */
const unwritten = () =>
  new ClickHouseFailure('the engine could not write to its disk, and said OK', {
    ...{ kind: 'busy', code: 75, reason: 'cannot_write' },
  })

const aborted = () => new ClickHouseFailure('the call was aborted', { reason: 'aborted' })
const toText = (error: unknown) => (error instanceof Error ? error.message.split('\n')[0] : error)
