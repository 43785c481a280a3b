import { expect, spyOn, test } from 'bun:test'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { silentLog } from '../../../src/core/log.ts'
import { diskFileSystem } from '../../../src/journal/file-system.ts'
import { openJournal } from '../../../src/journal/journal.ts'
import { temporaryFolder } from '../../support/folder.ts'

const journalModule = join(import.meta.dir, '../../../src/journal/journal.ts')

function open(dir: string) {
  return openJournal({
    dir,
    segmentBytes: 4096,
    bytesMax: 1024 * 1024,
    durability: 'disk',
    now: Date.now,
    log: silentLog,
    onCommitted() {},
  })
}

/** Another process that holds the journal of `dir`. */
async function startHolder(dir: string) {
  const script = `
    const { openJournal } = await import(${JSON.stringify(journalModule)})
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const sizes = { segmentBytes: 4096, bytesMax: 1024 * 1024 }
    const rest = { durability: 'disk', now: Date.now, log, onCommitted() {} }
    await openJournal({ dir: ${JSON.stringify(dir)}, ...sizes, ...rest })
    Bun.gc(true) // The journal is not referenced here; its lock must hold nevertheless.
    console.log('held')
    setInterval(() => {}, 1000)`
  const child = Bun.spawn([process.execPath, '-e', script], { stdout: 'pipe' })
  const { value } = await child.stdout.getReader().read()
  expect(new TextDecoder().decode(value)).toContain('held')
  return child
}

test('refuses a second journal on a folder in the same process until the first is closed', async () => {
  using folder = temporaryFolder()
  const first = await open(folder.path)
  await expect(open(folder.path)).rejects.toThrow(
    `another server uses the journal in ${folder.path}: stop it, or set another DATA_DIR`,
  )
  await first.close()
  await (await open(folder.path)).close()
})

test('refuses a second process while the first lives, and opens at once after its kill -9', async () => {
  using folder = temporaryFolder()
  const holder = await startHolder(folder.path)
  try {
    await expect(open(folder.path)).rejects.toThrow('another server uses the journal')
  } finally {
    holder.kill('SIGKILL')
  }
  await holder.exited
  await (await open(folder.path)).close()
})

test('closes both descriptors of a file when closing the first one fails', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'file')
  const file = await diskFileSystem.open(path, 'create')
  await file.writeThrough(Buffer.from('a'), 0) // Opens the second descriptor.
  const closed: number[] = []
  const { close } = fs
  const failFirst = (descriptor: number, done: (error: Error | null) => void) =>
    close(descriptor, (error) => done(closed.push(descriptor) === 1 ? new Error('EIO') : error))
  using _ = spyOn(fs, 'close').mockImplementation(failFirst as typeof fs.close)
  await expect(file.close()).rejects.toThrow('EIO')
  expect(new Set(closed).size).toBe(2)
})
