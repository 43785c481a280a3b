import { describe, expect, test } from 'bun:test'
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openProgressFile } from '../../../../src/delivery/replay/progress-file.ts'
import { temporaryFolder } from '../../../support/folder.ts'

describe('the progress of a replay', () => {
  test('continues with the run, the end and the objects of the interrupted one', () => {
    using folder = temporaryFolder()
    const path = join(folder.path, 'replay', 'one')
    const first = openProgressFile(path, 100)
    expect(first.isResumed).toBe(false)
    first.add('2026-11-29/a')
    first.add('2026-11-29/b')
    appendFileSync(path, '2026-11-2') // Cut by a crash.
    const second = openProgressFile(path, 200)
    const { runId, startedMs } = first
    expect(second).toMatchObject({ runId, startedMs, toMs: 100, isResumed: true })
    expect([...second.done]).toEqual(['2026-11-29/a', '2026-11-29/b'])
    second.add('2026-11-29/c')
    second.close(false)
    expect(readFileSync(path, 'utf8').split('\n').slice(1)).toEqual([
      ...['2026-11-29/a', '2026-11-29/b', '2026-11-29/c', ''],
    ])
  })

  test('begins again after a complete run', () => {
    using folder = temporaryFolder()
    const path = join(folder.path, 'one')
    const first = openProgressFile(path, 100)
    first.close(true)
    expect(existsSync(path)).toBe(false)
    expect(openProgressFile(path, 200)).toMatchObject({ toMs: 200, isResumed: false })
  })

  test.each(['', '{"runId":"x"', '{"runId":5}\n', 'text\nmore\n'])(
    'begins again if the header is %j',
    (text) => {
      using folder = temporaryFolder()
      const path = join(folder.path, 'one')
      writeFileSync(path, text)
      const file = openProgressFile(path, 100)
      expect(file).toMatchObject({ isResumed: false, toMs: 100 })
      file.close(false)
      const { runId, toMs, startedMs } = file
      expect(readFileSync(path, 'utf8')).toBe(`${JSON.stringify({ runId, toMs, startedMs })}\n`)
    },
  )
})
