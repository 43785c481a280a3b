import { Database } from 'bun:sqlite'
import { timingSafeEqual } from 'node:crypto'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Family, RefreshStore, Rotated, Rotation } from './refresh.ts'

/** A family takes about 300 bytes, so the file has at most 300 MB; a revocation takes about 50. */
const familiesMaxDefault = 1_000_000
/** Deleting 1000 rows blocks the HTTP thread for about 1 ms. */
const purgeRowsMax = 1000

/**
 * Refresh families in a SQLite file that only this process uses. Every step is synchronous and
 * therefore atomic. When the store is full, the families that expire first are deleted.
 */
export function createSqliteRefreshStore({
  folder,
  familiesMax = familiesMaxDefault,
}: {
  folder: string
  familiesMax?: number
}): RefreshStore {
  const database = openDatabase(folder)
  const statements = prepare(database)
  let count = statements.count.get()?.count ?? 0

  function evictWhenFull(): void {
    if (count < familiesMax) return
    count -= statements.evict.run(Math.max(1, Math.ceil(familiesMax / purgeRowsMax))).changes
  }

  function rotate(rotation: Rotation): Rotated {
    const row = statements.find.get(rotation.id)
    if (!row || row.expires_at <= rotation.nowMs) return { outcome: 'unknown' }
    if ((rotation.clientId ?? row.client_id) !== row.client_id) return { outcome: 'unknown' }
    if (row.revoked === 1 || !isSame(row.token_hash, rotation.presentedHash)) {
      revoke(rotation.id, rotation.accessUntilMs)
      return { outcome: 'reused' }
    }
    const expiresAtMs = Math.min(rotation.expiresAtMs, row.ends_at)
    statements.replace.run(rotation.nextHash, expiresAtMs, rotation.id)
    return { outcome: 'rotated', family: toFamily(row) }
  }

  /** A revocation outlives its family if access tokens may, also when the store is full. */
  function revoke(id: string, untilMs: number): void {
    statements.revoke.run(id)
    statements.addRevocation.run(id, untilMs)
  }

  return {
    async create(family) {
      evictWhenFull()
      statements.insert.run(...toRow(family))
      count += 1
    },
    rotate: async (rotation) => rotate(rotation),
    clientOf: async (id) => statements.find.get(id)?.client_id,
    revoke: async (id, untilMs) => revoke(id, untilMs),
    isRevoked: async (id) =>
      statements.findRevocation.get(id) !== null || statements.find.get(id)?.revoked === 1,
    async purge(nowMs) {
      statements.purgeRevocations.run(nowMs, purgeRowsMax)
      count -= statements.purge.run(nowMs, purgeRowsMax).changes
    },
    close: () => database.close(),
  }
}

type Row = {
  id: string
  token_hash: string
  client_id: string
  kind: Family['kind']
  subject: string
  generation: string
  permissions: string
  expires_at: number
  ends_at: number
  revoked: 0 | 1
}

function openDatabase(folder: string): Database {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'refresh.sqlite')
  const database = new Database(path, { create: true, strict: true })
  chmodSync(path, 0o600)
  // NORMAL does not sync each commit: a power cut may lose the last logins, a killed process loses
  // none. A sync would block the HTTP thread.
  database.run('PRAGMA journal_mode = WAL')
  database.run('PRAGMA synchronous = NORMAL')
  migrate(database)
  return database
}

/**
 * Version 0 had families without a generation, which no secret could end: they are dropped, and their
 * holders log in again.
 */
const schemaVersion = 1

function migrate(database: Database): void {
  const found = database.query<{ user_version: number }, []>('PRAGMA user_version').get()
  database.transaction(() => {
    if (found?.user_version !== schemaVersion) database.run('DROP TABLE IF EXISTS families')
    database.run(`CREATE TABLE IF NOT EXISTS families (
      id TEXT PRIMARY KEY, token_hash TEXT NOT NULL, client_id TEXT NOT NULL, kind TEXT NOT NULL,
      subject TEXT NOT NULL, generation TEXT NOT NULL, permissions TEXT NOT NULL,
      expires_at INTEGER NOT NULL, ends_at INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID`)
    database.run('CREATE INDEX IF NOT EXISTS families_by_expiry ON families (expires_at)')
    database.run(`CREATE TABLE IF NOT EXISTS revocations (
      id TEXT PRIMARY KEY, until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID`)
    database.run('CREATE INDEX IF NOT EXISTS revocations_by_end ON revocations (until)')
    database.run(`PRAGMA user_version = ${schemaVersion}`)
  })()
}

function prepare(database: Database) {
  const earliest = 'SELECT id FROM families ORDER BY expires_at'
  const expired = 'SELECT id FROM families WHERE expires_at <= ? ORDER BY expires_at'
  return {
    count: database.query<{ count: number }, []>('SELECT count(*) AS count FROM families'),
    find: database.query<Row, [string]>('SELECT * FROM families WHERE id = ?'),
    insert: database.query<unknown, ReturnType<typeof toRow>>(
      `INSERT INTO families (id, token_hash, client_id, kind, subject, generation, permissions,
         expires_at, ends_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    replace: database.query<unknown, [string, number, string]>(
      'UPDATE families SET token_hash = ?, expires_at = ? WHERE id = ?',
    ),
    revoke: database.query<unknown, [string]>('UPDATE families SET revoked = 1 WHERE id = ?'),
    addRevocation: database.query<unknown, [string, number]>(
      `INSERT INTO revocations (id, until) VALUES (?, ?)
       ON CONFLICT (id) DO UPDATE SET until = max(until, excluded.until)`,
    ),
    findRevocation: database.query<{ id: string }, [string]>(
      'SELECT id FROM revocations WHERE id = ?',
    ),
    purgeRevocations: database.query<unknown, [number, number]>(
      `DELETE FROM revocations WHERE id IN
       (SELECT id FROM revocations WHERE until <= ? ORDER BY until LIMIT ?)`,
    ),
    evict: database.query<unknown, [number]>(
      `DELETE FROM families WHERE id IN (${earliest} LIMIT ?)`,
    ),
    purge: database.query<unknown, [number, number]>(
      `DELETE FROM families WHERE id IN (${expired} LIMIT ?)`,
    ),
  }
}

type Values = [string, string, string, Family['kind'], string, string, string, number, number]

function toRow({ permissions, ...family }: Family): Values {
  const { id, tokenHash, clientId, kind, subject, generation, expiresAtMs, endsAtMs } = family
  const list = JSON.stringify(permissions)
  return [id, tokenHash, clientId, kind, subject, generation, list, expiresAtMs, endsAtMs]
}

function toFamily(row: Row): Family {
  return {
    id: row.id,
    tokenHash: row.token_hash,
    clientId: row.client_id,
    kind: row.kind,
    subject: row.subject,
    generation: row.generation,
    permissions: JSON.parse(row.permissions) as string[],
    expiresAtMs: row.expires_at,
    endsAtMs: row.ends_at,
  }
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
