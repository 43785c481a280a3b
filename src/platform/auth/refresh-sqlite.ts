import { Database } from 'bun:sqlite'
import { timingSafeEqual } from 'node:crypto'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Family, RefreshStore, Rotated, Rotation } from './refresh.ts'

/** A family takes about 250 bytes, so the file has at most 250 MB. */
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
      statements.revoke.run(rotation.id)
      return { outcome: 'reused' }
    }
    statements.replace.run(rotation.nextHash, rotation.expiresAtMs, rotation.id)
    return { outcome: 'rotated', family: toFamily(row) }
  }

  return {
    async create(family) {
      evictWhenFull()
      statements.insert.run(...toRow(family))
      count += 1
    },
    rotate: async (rotation) => rotate(rotation),
    async revoke(id) {
      statements.revoke.run(id)
    },
    isRevoked: async (id) => statements.find.get(id)?.revoked === 1,
    async purge(nowMs) {
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
  permissions: string
  expires_at: number
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
  database.run(`CREATE TABLE IF NOT EXISTS families (
    id TEXT PRIMARY KEY, token_hash TEXT NOT NULL, client_id TEXT NOT NULL, kind TEXT NOT NULL,
    subject TEXT NOT NULL, permissions TEXT NOT NULL, expires_at INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID`)
  database.run('CREATE INDEX IF NOT EXISTS families_by_expiry ON families (expires_at)')
  return database
}

function prepare(database: Database) {
  const earliest = 'SELECT id FROM families ORDER BY expires_at'
  const expired = 'SELECT id FROM families WHERE expires_at <= ? ORDER BY expires_at'
  return {
    count: database.query<{ count: number }, []>('SELECT count(*) AS count FROM families'),
    find: database.query<Row, [string]>('SELECT * FROM families WHERE id = ?'),
    insert: database.query<unknown, ReturnType<typeof toRow>>(
      `INSERT INTO families (id, token_hash, client_id, kind, subject, permissions, expires_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ),
    replace: database.query<unknown, [string, number, string]>(
      'UPDATE families SET token_hash = ?, expires_at = ? WHERE id = ?',
    ),
    revoke: database.query<unknown, [string]>('UPDATE families SET revoked = 1 WHERE id = ?'),
    evict: database.query<unknown, [number]>(
      `DELETE FROM families WHERE id IN (${earliest} LIMIT ?)`,
    ),
    purge: database.query<unknown, [number, number]>(
      `DELETE FROM families WHERE id IN (${expired} LIMIT ?)`,
    ),
  }
}

function toRow(family: Family): [string, string, string, Family['kind'], string, string, number] {
  const { id, tokenHash, clientId, kind, subject, permissions, expiresAtMs } = family
  return [id, tokenHash, clientId, kind, subject, JSON.stringify(permissions), expiresAtMs]
}

function toFamily(row: Row): Family {
  return {
    id: row.id,
    tokenHash: row.token_hash,
    clientId: row.client_id,
    kind: row.kind,
    subject: row.subject,
    permissions: JSON.parse(row.permissions) as string[],
    expiresAtMs: row.expires_at,
  }
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
