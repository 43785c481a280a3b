import { sleep } from '../core/async.ts'
import { onAbort, safeHeaders } from './exchange.ts'
import { toHint } from './hints.ts'
import type { LiveBatch } from './live-taps.ts'

const pauseMs = 250
/** Proxies close a silent connection, and a silent one cannot tell that its reader has gone. */
const idleMs = 5000

type LiveOptions = {
  /** The events since the last call. */
  take(): Promise<LiveBatch>
  signal: AbortSignal
  now(): number
  /** May be called more than once. */
  onEnd(): void
}

/**
 * Streams what passes as server-sent events. A batch is made only when the reader takes it, so a
 * slow reader costs no memory: it misses events, and `skipped` counts them.
 */
export function toLiveResponse(options: LiveOptions): Response {
  const batches = toBatches(options)
  // A generator that has not begun does not run its `finally`.
  const end = () => {
    void batches.return(undefined)
    options.onEnd()
  }
  onAbort(options.signal, end)
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await batches.next()
      if (done || value === undefined) controller.close()
      else controller.enqueue(new TextEncoder().encode(value))
    },
    async cancel() {
      await batches.return(undefined)
    },
  })
  return new Response(stream, {
    headers: { ...safeHeaders, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' },
  })
}

async function* toBatches({ take, signal, now, onEnd }: LiveOptions): AsyncGenerator<string> {
  const number = createNumbering()
  let lastMs = now()
  try {
    yield toMessage('idle', { at_ms: lastMs })
    while (!signal.aborted) {
      const batch = await take()
      const isQuiet = batch.events.length === 0 && batch.skipped === 0
      if (!isQuiet || now() - lastMs >= idleMs) {
        lastMs = now()
        yield isQuiet ? toMessage('idle', { at_ms: lastMs }) : toMessage('events', number(batch))
      }
      await sleep(pauseMs, signal).catch(() => {})
    }
  } finally {
    onEnd()
  }
}

function createNumbering(): (batch: LiveBatch) => object {
  let seq = 0
  return ({ events, skipped }) => {
    const shown = events.map((event) => {
      seq += 1
      return { seq, ...event, hint: event.reason === null ? null : toHint(event.reason) }
    })
    return { events: shown, skipped }
  }
}

/** JSON has no line ends, so a text of an event cannot begin a message of its own. */
const toMessage = (name: string, data: object) =>
  `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
