import { expect, test } from 'bun:test'
import { explainSettingFile, readSettingFile } from '../../../src/config/setting-file.ts'

test('reads the file', () => {
  expect(readSettingFile('A_FILE', import.meta.path)).toContain('reads the file')
})

test('names setting and file if the file is missing or a folder', () => {
  expect(() => readSettingFile('A_FILE', '/none')).toThrow('A_FILE /none cannot be read: ENOENT')
  expect(() => readSettingFile('A_FILE', '/tmp')).toThrow('A_FILE /tmp cannot be read: EISDIR')
})

test('names them for any access', () => {
  const fail = () => {
    throw new Error('no')
  }
  expect(() => explainSettingFile('A_FILE', '/a', fail)).toThrow('A_FILE /a cannot be read: no')
})
