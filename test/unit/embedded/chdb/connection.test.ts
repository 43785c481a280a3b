import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type ChdbConnection, openConnection } from '../../../../src/embedded/chdb/connection.ts'
import { loadNative, type Native } from '../../../../src/embedded/chdb/native.ts'
import { temporaryFolder } from '../../../support/folder.ts'

describe('openInsert', () => {
  let folder: ReturnType<typeof temporaryFolder>
  let native: Native
  let connection: ChdbConnection
  beforeAll(async () => {
    folder = temporaryFolder()
    native = await loadNative()
    connection = openConnection(native, folder.path)
    connection.query('CREATE TABLE numbers (n UInt32) ENGINE = MergeTree ORDER BY n')
  })
  afterAll(() => {
    connection.close()
    folder[Symbol.dispose]()
  })

  const rowsOf = (text: string) => new TextEncoder().encode(text)
  const stored = () =>
    new TextDecoder().decode(connection.query('SELECT n FROM numbers ORDER BY n').bytes)
  const emptied = () => connection.query('TRUNCATE TABLE numbers')

  test('stores the rows of all chunks, which may end anywhere', () => {
    emptied()
    const stream = connection.openInsert('INSERT INTO numbers', 'JSONEachRow')
    for (const piece of ['{"n":1}\n{"n', '":2', '', '}\n']) stream.append(rowsOf(piece))
    expect(stream.finish().summary.writtenRows).toBe(2)
    expect(stored()).toBe('1\n2\n')
  })

  test('names the bad row, and stores none', () => {
    emptied()
    const stream = connection.openInsert('INSERT INTO numbers', 'JSONEachRow')
    stream.append(rowsOf('{"n":1}\n{"n":"x"}\n'))
    expect(() => stream.finish()).toThrow('at row 2')
    expect(stored()).toBe('')
  })

  test('fails if rows were rejected although chDB reports success', () => {
    emptied()
    const refusing = { ...native, chdb_stream_append: () => 1 } as unknown as Native
    const deaf = openConnection(refusing, folder.path)
    const stream = deaf.openInsert('INSERT INTO numbers', 'JSONEachRow')
    expect(stream.append(rowsOf('{"n":1}\n'))).toBe(false)
    expect(() => stream.finish()).toThrow('rejected rows')
    deaf.close()
  })

  test('stores nothing when it is cancelled', () => {
    emptied()
    const stream = connection.openInsert('INSERT INTO numbers', 'JSONEachRow')
    stream.append(rowsOf('{"n":1}\n'))
    stream.cancel()
    expect(stored()).toBe('')
  })
})
