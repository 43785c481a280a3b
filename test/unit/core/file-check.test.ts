import { expect, test } from 'bun:test'
import { appendFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createFileCheck, toMark } from '../../../src/core/file-check.ts'
import { temporaryFolder } from '../../support/folder.ts'

function watch(folder: string) {
  const path = join(folder, 'file')
  writeFileSync(path, 'before')
  const texts: string[] = []
  const errors: unknown[] = []
  const check = createFileCheck({
    path,
    seen: toMark(statSync(path)),
    read: (file) => readFile(file, 'utf8'),
    onContent: (text) => void texts.push(text),
    onError: (error) => errors.push(error),
  })
  return { path, check, texts, errors }
}

test('does not read an unchanged file', async () => {
  using folder = temporaryFolder()
  const { check, texts } = watch(folder.path)
  for (let count = 0; count < 3; count += 1) await check()
  expect(texts).toEqual([])
})

test('does not read a file while it is being written', async () => {
  using folder = temporaryFolder()
  const { path, check, texts } = watch(folder.path)
  writeFileSync(path, '')
  await check()
  for (const piece of ['half ', 'and ', 'whole']) {
    appendFileSync(path, piece)
    await check()
  }
  expect(texts).toEqual([])
  await check()
  await check()
  expect(texts).toEqual(['half and whole'])
})

test('reads a file that returns, and reports each absence once', async () => {
  using folder = temporaryFolder()
  const { path, check, texts, errors } = watch(folder.path)
  for (const text of ['first', 'second']) {
    rmSync(path)
    for (let count = 0; count < 3; count += 1) await check()
    writeFileSync(path, text)
    for (let count = 0; count < 3; count += 1) await check()
  }
  expect(texts).toEqual(['first', 'second'])
  expect(errors).toHaveLength(2)
})

test('never checks the file twice at the same time', async () => {
  using folder = temporaryFolder()
  const { path, check, texts } = watch(folder.path)
  writeFileSync(path, 'after!')
  await check()
  await Promise.all([check(), check(), check()])
  expect(texts).toEqual(['after!'])
})
