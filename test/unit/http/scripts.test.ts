import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createScripts } from '../../../src/http/scripts.ts'
import { temporaryFolder } from '../../support/folder.ts'

let folder: ReturnType<typeof temporaryFolder>
let dist: string
beforeAll(() => {
  folder = temporaryFolder()
  dist = join(folder.path, 'dist')
  mkdirSync(join(dist, 'inner'), { recursive: true })
  writeFileSync(
    join(folder.path, 'package.json'),
    JSON.stringify({ name: 'posthog-js', version: '1.2.3' }),
  )
  writeFileSync(join(folder.path, 'secret.js'), 'secret')
  writeFileSync(join(dist, 'array.js'), 'main()')
  writeFileSync(join(dist, 'array.js.map'), '{}')
  writeFileSync(join(dist, 'notes.txt'), 'notes')
  writeFileSync(join(dist, 'inner', 'array.js'), 'inner()')
  symlinkSync(join(folder.path, 'secret.js'), join(dist, 'link.js'))
})
afterAll(() => folder[Symbol.dispose]())

const get = (path: string, headers: Record<string, string> = {}) =>
  createScripts(dist).respond(new Request(`http://host/static/${path}`, { headers }), path)

describe('scripts', () => {
  test.each([
    ['array.js', 'public, max-age=3600'],
    ['1.2.3/array.js', 'public, max-age=31536000, immutable'],
    ['1.2.4/array.js', 'public, max-age=3600'],
  ])('serves %s for %s', async (path, cached) => {
    const response = get(path)
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('main()')
    expect(response.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
    expect(response.headers.get('cache-control')).toBe(cached)
  })

  test('include the one that records only if the folder has it', () => {
    expect(createScripts(dist).canRecord).toBe(false)
    writeFileSync(join(dist, 'lazy-recorder.js'), 'record()')
    expect(createScripts(dist).canRecord).toBe(true)
  })

  test('answers 304 to a client that has the file', () => {
    const etag = get('array.js').headers.get('etag')!
    expect(get('array.js', { 'if-none-match': etag }).status).toBe(304)
    expect(get('array.js', { 'if-none-match': '"other"' }).status).toBe(200)
  })

  test.each([
    '',
    'none.js',
    'notes.txt',
    'link.js',
    'inner/array.js',
    '../secret.js',
    '1.2.3/../secret.js',
    '..%2fsecret.js',
    '1.2.3/1.2.3/array.js',
    '/array.js',
    'array.js/',
    'array.js\u0000',
    '__proto__',
  ])('answers 404 to %j', (path) => {
    expect(get(path).status).toBe(404)
  })
})
