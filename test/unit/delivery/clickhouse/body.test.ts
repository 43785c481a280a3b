import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { toStoredLine } from '../../../../src/core/record.ts'
import { createBufferPool, toChunks } from '../../../../src/delivery/clickhouse/body.ts'

const toBytes = (texts: readonly string[]) => Buffer.from(texts.map((text) => `${text}\n`).join(''))
const toLines = (texts: readonly string[]) =>
  texts.map((text) => toStoredLine(Buffer.from(`${text}\n`)))
const anyLines = fc.array(fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text)))

describe('toChunks', () => {
  test('splits the body into chunks of whole lines', () => {
    fc.assert(
      fc.property(anyLines, (texts) => {
        const chunks = [...toChunks(toLines(texts))]
        expect(Buffer.concat(chunks)).toEqual(toBytes(texts))
        expect(chunks.every((chunk) => chunk.at(-1) === 0x0a)).toBe(true)
      }),
    )
  })

  test('keeps chunks below 256 KiB, except for a larger line', () => {
    const sizes = [
      ...toChunks(toLines(['x'.repeat(3_000_000), ...Array(600).fill('y'.repeat(999))])),
    ]
    expect(sizes.map(({ length }) => length)).toEqual([3_000_001, 262_000, 262_000, 76_000])
  })

  test('takes the memory of its chunks from the caller, when it needs it', () => {
    const taken: number[] = []
    const allocate = (bytes: number) => {
      taken.push(bytes)
      return Buffer.alloc(bytes)
    }
    const chunks = toChunks(toLines(['aaa', 'bbb', 'ccc']), { bytesMax: 8, allocate })
    expect(chunks.next().value?.toString()).toBe('aaa\nbbb\n')
    expect(taken).toEqual([8])
    expect(chunks.next().value?.toString()).toBe('ccc\n')
  })
})

describe('a pool of buffers', () => {
  test('reuses released buffers, and no buffer in use', () => {
    const pool = createBufferPool({ bytesMin: 100, keptMax: 2 })
    const [first, second] = [pool.take(10), pool.take(100)]
    expect([first.length, second.length]).toEqual([10, 100])
    expect(second.buffer).not.toBe(first.buffer)
    pool.release(first)
    const third = pool.take(50)
    expect([third.length, third.buffer]).toEqual([50, first.buffer])
  })

  test('keeps a bounded number of buffers, and none of another size', () => {
    const pool = createBufferPool({ bytesMin: 100, keptMax: 1 })
    const [small, other, large] = [pool.take(1), pool.take(1), pool.take(101)]
    for (const buffer of [large, small, other]) pool.release(buffer)
    const taken = [pool.take(1), pool.take(1), pool.take(101)].map(({ buffer }) => buffer)
    expect(taken.indexOf(small.buffer)).toBe(0)
    expect(taken).not.toContain(other.buffer)
    expect(taken).not.toContain(large.buffer)
  })
})
