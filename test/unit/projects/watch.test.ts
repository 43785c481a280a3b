import { expect, test } from 'bun:test'
import { appendFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLook, toMark } from '../../../src/projects/watch.ts'
import { temporaryFolder } from '../../support/folder.ts'

function watch(folder: string) {
  const path = join(folder, 'file')
  writeFileSync(path, 'before')
  const texts: string[] = []
  const errors: unknown[] = []
  const look = createLook({
    path,
    seen: toMark(statSync(path)),
    onText: (text) => texts.push(text),
    onError: (error) => errors.push(error),
  })
  return { path, look, texts, errors }
}

test('does not read an unchanged file', async () => {
  using folder = temporaryFolder()
  const { look, texts } = watch(folder.path)
  for (let count = 0; count < 3; count += 1) await look()
  expect(texts).toEqual([])
})

test('does not read a file while it is being written', async () => {
  using folder = temporaryFolder()
  const { path, look, texts } = watch(folder.path)
  writeFileSync(path, '')
  await look()
  for (const piece of ['half ', 'and ', 'whole']) {
    appendFileSync(path, piece)
    await look()
  }
  expect(texts).toEqual([])
  await look()
  await look()
  expect(texts).toEqual(['half and whole'])
})

test('reads a file that returns, and reports each absence once', async () => {
  using folder = temporaryFolder()
  const { path, look, texts, errors } = watch(folder.path)
  for (const text of ['first', 'second']) {
    rmSync(path)
    for (let count = 0; count < 3; count += 1) await look()
    writeFileSync(path, text)
    for (let count = 0; count < 3; count += 1) await look()
  }
  expect(texts).toEqual(['first', 'second'])
  expect(errors).toHaveLength(2)
})

test('never checks the file twice at the same time', async () => {
  using folder = temporaryFolder()
  const { path, look, texts } = watch(folder.path)
  writeFileSync(path, 'after!')
  await look()
  await Promise.all([look(), look(), look()])
  expect(texts).toEqual(['after!'])
})
