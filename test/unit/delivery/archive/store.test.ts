import { describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { S3Client } from 'bun'
import { parseArchiveSettings } from '../../../../src/delivery/archive/settings.ts'
import { createFolderStore, createS3Store } from '../../../../src/delivery/archive/store.ts'
import { temporaryFolder } from '../../../support/folder.ts'

async function namesOf(list: AsyncGenerator<string>): Promise<string[]> {
  const names: string[] = []
  for await (const name of list) names.push(name)
  return names
}

describe('an archive in a folder', () => {
  test('gives back what it got, and lists a range of days', async () => {
    using folder = temporaryFolder()
    const store = createFolderStore(folder.path)
    for (const name of ['2026-11-28/b', '2026-11-29/a', '2026-11-29/c', '2026-11-30/a'])
      await store.put(name, Buffer.from(name))
    expect((await store.get('2026-11-29/c')).toString()).toBe('2026-11-29/c')
    const of = (from: string, before: string) => namesOf(store.list({ from, before }))
    expect(await of('2026-11-29/', '2026-11-29/~')).toEqual(['2026-11-29/a', '2026-11-29/c'])
    expect(await of('2026-11-28/', '2026-11-29/~')).toHaveLength(3)
    expect(await of('', '~')).toHaveLength(4)
  })

  test('replaces an object as a whole, and ignores drafts and other files', async () => {
    using folder = temporaryFolder()
    const store = createFolderStore(folder.path)
    await store.put('2026-11-29/a', Buffer.from('one'))
    await store.put('2026-11-29/a', Buffer.from('two'))
    writeFileSync(join(folder.path, '2026-11-29', '.draft-1'), 'half')
    writeFileSync(join(folder.path, 'notes.txt'), 'mine')
    expect(await namesOf(store.list({ from: '', before: '~' }))).toEqual(['2026-11-29/a'])
    expect((await store.get('2026-11-29/a')).toString()).toBe('two')
  })

  test('replaces the draft that a crash left of an object', async () => {
    using folder = temporaryFolder()
    const store = createFolderStore(folder.path)
    mkdirSync(join(folder.path, '2026-11-29'))
    writeFileSync(join(folder.path, '2026-11-29', '.draft-a'), 'half of it, and longer')
    await store.put('2026-11-29/a', Buffer.from('whole'))
    expect(readdirSync(join(folder.path, '2026-11-29'))).toEqual(['a'])
    expect((await store.get('2026-11-29/a')).toString()).toBe('whole')
  })

  test('does not make a missing folder: it may be a disk that is not mounted', async () => {
    using folder = temporaryFolder()
    const missing = join(folder.path, 'missing')
    const store = createFolderStore(missing)
    await expect(store.check()).rejects.toThrow('does not exist; create it')
    await expect(store.put('2026-11-29/a', Buffer.from('x'))).rejects.toThrow('no such file')
    expect(existsSync(missing)).toBe(false)
  })

  test('refuses a file in place of a folder', async () => {
    using folder = temporaryFolder()
    const path = join(folder.path, 'file')
    writeFileSync(path, '', { mode: 0o755 })
    await expect(createFolderStore(path).check()).rejects.toThrow(`${path} is not a folder`)
  })

  test('leaves no draft when it fails', async () => {
    using folder = temporaryFolder()
    const store = createFolderStore(folder.path)
    mkdirSync(join(folder.path, '2026-11-29', 'a'), { recursive: true })
    await expect(store.put('2026-11-29/a', Buffer.from('x'))).rejects.toThrow()
    expect(readdirSync(join(folder.path, '2026-11-29'))).toEqual(['a'])
  })
})

test('an S3 server that accepts and does not answer is given up after the time limit', async () => {
  const server = createServer(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const client = new S3Client({
    ...{ bucket: 'b', accessKeyId: 'k', secretAccessKey: 's' },
    endpoint: `http://127.0.0.1:${port}`,
  })
  const store = createS3Store({ bucket: 'b', prefix: 'p/' }, { client, msMax: 50 })
  const fault = 'cannot write to s3://b/p/: no answer within 50 ms'
  await expect(store.put('x', Buffer.from('x'))).rejects.toThrow(fault)
  server.close()
})

test.each([
  ['s3://bucket', { bucket: 'bucket', prefix: '' }],
  ['s3://bucket/', { bucket: 'bucket', prefix: '' }],
  ['s3://my.bucket-1/a/b//', { bucket: 'my.bucket-1', prefix: 'a/b/' }],
  ['/mnt/archive', { folder: '/mnt/archive' }],
])('ARCHIVE=%s', (text, place) => {
  const settings = { ARCHIVE: text, ARCHIVE_FLUSH_MS: 5 }
  expect(parseArchiveSettings(settings)).toEqual({ place, flushMs: 5 })
})
