import type { Log } from '../core/log.ts'

/** Closes opened parts in reverse order, within one time limit, also when opening fails halfway. */
export type Closer = {
  /** Registers a part right after it was opened. `withinMs` is the rest of the time limit. */
  add(name: string, close: Close): void
  /** Closes one part before its turn, such as the listener before the parts that serve its requests. */
  closeEarly(name: string): Promise<void>
  /** Closes all other parts, the last one first. A part that fails is logged, and the rest is closed nevertheless. */
  close(withinMs: number): Promise<void>
}

type Close = (withinMs: number) => void | Promise<void>

/** `AsyncDisposableStack` has no time limit and hides the message of the first error in a `SuppressedError`. */
export function createCloser(log: Log): Closer {
  const parts: { name: string; close: Close }[] = []
  // In the past: a part that is closed outside of `close` gets no time.
  let deadlineMs = 0

  async function closePart(part: (typeof parts)[number] | undefined): Promise<void> {
    try {
      await part?.close(Math.max(0, deadlineMs - performance.now()))
    } catch (error) {
      log.error({ part: part?.name, error: String(error) }, 'cannot close a part of the server')
    }
  }

  return {
    add: (name, close) => void parts.push({ name, close }),
    async closeEarly(name) {
      const at = parts.findLastIndex((part) => part.name === name)
      if (at >= 0) await closePart(parts.splice(at, 1)[0])
    },
    async close(withinMs) {
      deadlineMs = performance.now() + withinMs
      while (parts.length > 0) await closePart(parts.pop())
    },
  }
}
