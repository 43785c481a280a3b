import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { createClient } from '@clickhouse/client'
import { run } from '../../services/install.ts'
import {
  type QueryServers,
  query,
  startQueryServers,
} from '../../services/query-api/query-servers.ts'
import { requireGoDriver, requireJavaDrivers, requirePythonDriver } from './install.ts'

// The first run downloads the drivers.
setDefaultTimeout(900_000)

let servers: QueryServers
beforeAll(async () => {
  servers = await startQueryServers()
  await query(servers.writable, 'CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a')
  await query(servers.writable, "INSERT INTO t VALUES (1, 'one'), (2, 'two')")
})
afterAll(() => servers.stop())

const ports = () => [new URL(servers.readOnly).port, new URL(servers.writable).port]

async function read(command: string[]): Promise<string[]> {
  const { exitCode, output } = await run([...command, ...ports()])
  if (exitCode !== 0) throw new Error(output)
  return output.trim().split('\n')
}

test('clickhouse-connect reads and inserts at its defaults', async () => {
  expect(await read(await requirePythonDriver())).toEqual([
    "rows [(1, 'one'), (2, 'two')]",
    'large 19999900000 200000',
    "types [(UUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), [1, 2], {'a': 1}, 'x', None, " +
      "datetime.datetime(2026, 1, 2, 3, 4, 5, 678000), (1, 'b'))]",
    `bound [("it's",)]`,
    'command 2',
    'settings [(1,)]',
    'stream 100000',
    'error True',
    "inserted [(1, 'x'), (2, 'y')]",
  ])
})

test('clickhouse-jdbc and client-v2 read at their defaults', async () => {
  expect(await read(await requireJavaDrivers())).toEqual([
    'jdbc rows [1=one, 2=two]',
    'jdbc large 19999900000 9900000',
    'jdbc error true',
    'jdbc prepared two',
    'jdbc table t',
    'jdbc columns [a, s]',
    'jdbc schemas true',
    'client ping true',
    'client rows 2 one',
    'client large 100000',
    'client error true',
    'client schema 2',
  ])
})

test('clickhouse-go reads at its defaults, and with LZ4', async () => {
  const lines = (name: string) => [
    `${name} row 2 two`,
    `${name} large 19999900000 9900000`,
    `${name} types 61f0c404-5cb3-11e7-907b-a6006ad3dba0 [1 2] map[a:1] x true 1767323045678`,
    `${name} empty false true`,
    `${name} error true`,
  ]
  expect(await read(await requireGoDriver())).toEqual([...lines('plain'), ...lines('lz4')])
})

test('@clickhouse/client reads at its defaults, and with a session', async () => {
  const options = { url: servers.readOnly, session_id: 's', role: 'reader' }
  for (const client of [createClient({ url: servers.readOnly }), createClient(options)]) {
    const clickhouse_settings = { max_execution_time: 34 }
    const sql = { query: 'SELECT s FROM t ORDER BY a', format: 'JSONEachRow' as const }
    const rows = await client.query({ ...sql, clickhouse_settings })
    expect(await rows.json<object>()).toEqual([{ s: 'one' }, { s: 'two' }])
    await client.close()
  }
})
