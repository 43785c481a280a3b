import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { toStoredLine } from '../../../../src/core/record.ts'
import { createBufferPool, toBuffer, toChunks } from '../../../../src/delivery/clickhouse/body.ts'

const toBytes = (texts: readonly string[]) => Buffer.from(texts.map((text) => `${text}\n`).join(''))
const toLines = (texts: readonly string[]) =>
  texts.map((text) => toStoredLine(Buffer.from(`${text}\n`)))
const anyLines = fc.array(fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text)))

describe('toChunks and toBuffer', () => {
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

  test('joins the lines in one buffer', async () => {
    await fc.assert(
      fc.asyncProperty(anyLines, async (texts) => {
        const whole = await toBuffer(toLines(texts), async () => {})
        expect(whole).toEqual(toBytes(texts))
      }),
    )
  })

  test('yields to the event loop while it fills the buffer', async () => {
    let breaths = 0
    const lines = Array(20).fill(toStoredLine(Buffer.alloc(1024 * 1024, '\n')))
    await toBuffer(lines, async () => {
      breaths += 1
    })
    expect(breaths).toBe(6)
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
