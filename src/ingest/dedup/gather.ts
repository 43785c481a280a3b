/**
 * Joins the calls of one turn of the event loop into one, and gives each caller the replies to its own items. A call
 * costs 15 µs whatever it holds, so requests of one event gain most. `send` must not reject.
 */
export function createGather<T, R>(
  send: (items: readonly T[]) => Promise<readonly R[]>,
): (items: readonly T[]) => Promise<readonly R[]> {
  let waiting: T[] = []
  let replies: Promise<readonly R[]> | undefined

  function sendSoon(): Promise<readonly R[]> {
    const { promise, resolve } = Promise.withResolvers<readonly R[]>()
    setImmediate(() => {
      const items = waiting
      waiting = []
      replies = undefined
      resolve(send(items))
    })
    return promise
  }

  return async (items) => {
    const start = waiting.length
    for (const item of items) waiting.push(item)
    replies ??= sendSoon()
    return (await replies).slice(start, start + items.length)
  }
}
