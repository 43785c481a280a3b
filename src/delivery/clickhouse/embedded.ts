import { type Log, silentLog } from '../../core/log.ts'
import {
  createWriteWatch,
  type WriteWatch,
  writeFailuresStatement,
} from '../../embedded/chdb/write-failures.ts'
import { createBufferPool, toChunks } from './body.ts'
import {
  type ClickHouse,
  type ClientOptions,
  createVendorClient,
  type Insert,
  insertSettings,
  toStatements,
  withFailures,
} from './client.ts'
import { ClickHouseFailure } from './failure.ts'
import { createInserter } from './inserter.ts'
import { tableOf } from './tables.ts'

type VendorConnection = NonNullable<ClientOptions['connection']>
type Vendor = Pick<typeof import('chdb/connection'), 'createChdbConnection'>

/**
 * Loads chDB's library (50 ms). Rejects, in words for the operator, if it cannot be loaded: chDB is
 * an optional dependency and does not exist for every platform.
 */
export async function loadChdb(load = () => import('chdb/connection')): Promise<Vendor> {
  try {
    return await load()
  } catch (error) {
    throw new Error(
      `The embedded ClickHouse cannot be loaded (${toText(error)}): ` +
        'set CLICKHOUSE_URL to use a server instead.',
    )
  }
}

/**
 * The embedded ClickHouse on a folder of its own. Within this process any number of connections and
 * threads may share the folder, each running one statement at a time; a second process may not open
 * it. Rows are inserted by a thread of its own, as a stream of chunks.
 */
export function openEmbeddedClickHouse(
  vendor: Vendor,
  path: string,
  log: Log = silentLog,
): ClickHouse {
  const connection = vendor.createChdbConnection({ path })
  // The chdb package is typed against its own duplicate of the client's interfaces.
  const client = createVendorClient({ connection: connection as unknown as VendorConnection })
  const statements = toStatements(client)
  const writes = createOwnTablesWatch(statements, log)
  const running = new Set<Promise<unknown>>()

  const pool = createBufferPool({ bytesMin: chunkBytes, keptMax: chunksKept })
  const inserter = createInserter({ path, onFree: (buffer) => pool.release(Buffer.from(buffer)) })
  const chunks = { bytesMax: chunkBytes, allocate: pool.take }

  /** A failed insert may have left broken parts, and a part broken by a merge fails every read. */
  async function settleAndThrow(error: unknown): Promise<never> {
    await writes.settle()
    throw error
  }

  async function insert({ table, token, lines }: Insert) {
    const failuresBefore = writes.failures
    const inserting = inserter.insert(toInsert(table, token), toChunks(lines, chunks))
    const failures = await inserting.catch(settleAndThrow)
    if (failures !== failuresBefore) await writes.settle()
    if (writes.failures !== failuresBefore) throw createWriteFailure()
  }

  /** The copies of a migration must be complete before it drops a table. */
  async function command(sql: string): Promise<void> {
    const failuresBefore = await writes.settle()
    await statements.command(sql)
    if ((await writes.settle()) !== failuresBefore) throw createWriteFailure()
  }

  /**
   * chDB cannot be interrupted, and ending the thread while it works would end the process. So
   * every call runs to its end, and `close` waits for it.
   */
  function runToEnd<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(createAbortFailure())
    const outcome = withFailures(call)
    running.add(outcome)
    const forget = () => running.delete(outcome)
    outcome.then(forget, forget)
    return outcome
  }

  const checking = setInterval(() => void runToEnd(writes.settle).catch(() => {}), checkMs)
  checking.unref()
  return {
    query: <Row>(sql: string, signal?: AbortSignal) =>
      runToEnd(() => statements.query<Row>(sql).catch(settleAndThrow), signal),
    command: (sql, signal) => runToEnd(() => command(sql), signal),
    insert: (rows, signal) => runToEnd(() => insert(rows), signal),
    async close() {
      clearInterval(checking)
      await Promise.allSettled(running)
      inserter.close()
      await client.close()
    },
  }
}

/** Watches the tables of this server only: other tables may belong to the operator. */
function createOwnTablesWatch({ query, command }: Statements, log: Log): WriteWatch {
  const count = async () => {
    const [row] = await query<{ failures: string | number }>(writeFailuresStatement)
    return Number(row?.failures ?? 0)
  }
  return createWriteWatch({
    // The rest of a reply that broke off arrives with the next reply, which then cannot be parsed.
    countFailures: () => count().catch(count),
    tables: async () => Object.values(tableOf),
    run: command,
    onFailures: (failures) =>
      log.error({ failures }, 'the embedded ClickHouse cannot write: the disk is full or faulty'),
    failures: 0,
  })
}

type Statements = Pick<ClickHouse, 'query' | 'command'>

/** Neither the table's name nor the token contains a quote: both are ours. */
export function toInsert(table: string, token: string): string {
  const settings = { ...insertSettings, insert_deduplication_token: token }
  const pairs = Object.entries(settings).map(([name, value]) => `${name} = '${value}'`)
  return `INSERT INTO ${table} SETTINGS ${pairs.join(', ')}`
}

/** Some 1,500 rows, which chDB parses in 7 ms. */
const chunkBytes = 1024 * 1024
/** As many as an insert uses at once. */
const chunksKept = 5

/** Shorter than the eight minutes for which chDB keeps the source parts of a broken merge. */
const checkMs = 60_000

/** Code 75 is CANNOT_WRITE_TO_FILE_DESCRIPTOR, which a ClickHouse server would report. */
const createWriteFailure = () =>
  new ClickHouseFailure(
    'the embedded ClickHouse could not write to its disk, but reported success',
    {
      ...{ kind: 'busy', code: 75, reason: 'cannot_write' },
    },
  )

const createAbortFailure = () =>
  new ClickHouseFailure('the call was aborted', { reason: 'aborted' })
const toText = (error: unknown) => (error instanceof Error ? error.message.split('\n')[0] : error)
