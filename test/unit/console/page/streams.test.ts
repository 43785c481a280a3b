import { expect, test } from 'bun:test'
import { readJsonLines, readMessages, readText } from '../../../../src/console/page/streams.ts'

/** A reply whose body arrives in these pieces. */
function toResponse(pieces: readonly (string | Uint8Array)[]): Response {
  const encoder = new TextEncoder()
  return new Response(
    new ReadableStream({
      start(controller) {
        for (const piece of pieces)
          controller.enqueue(typeof piece === 'string' ? encoder.encode(piece) : piece)
        controller.close()
      },
    }),
  )
}

const list = async <T>(values: AsyncIterable<T>) => await Array.fromAsync(values)

test('reads messages that are cut anywhere, also within a character', async () => {
  const bytes = new TextEncoder().encode(
    'event: events\ndata: {"name":"Zoë 🚀"}\n\n: a comment\n\nevent: idle\ndata: {"at_ms":1}\n\n',
  )
  for (let cut = 1; cut < bytes.length; cut += 1) {
    const pieces = [bytes.slice(0, cut), bytes.slice(cut)]
    expect(await list(readMessages(toResponse(pieces)))).toEqual([
      { event: 'events', data: { name: 'Zoë 🚀' } },
      { event: 'idle', data: { at_ms: 1 } },
    ])
  }
})

test('reads JSON lines as they arrive, the last one without its line end', async () => {
  const reply = toResponse(['{"type":"progress"}\n{"ty', 'pe":"end"}'])
  expect(await list(readJsonLines(reply))).toEqual([{ type: 'progress' }, { type: 'end' }])
})

test('a stream without a body has no messages', async () => {
  expect(await list(readMessages(new Response(null)))).toEqual([])
})

test('reads a text up to its bound', async () => {
  expect(await readText(toResponse(['Zoë ', '🚀']), 9)).toBe('Zoë 🚀')
  expect(await readText(toResponse(['Zoë ', '🚀']), 8)).toBeUndefined()
})
