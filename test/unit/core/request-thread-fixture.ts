import { serveRequests } from '../../../src/core/worker-thread.ts'

/** Answers with the request and its number. The first request takes longer than the second. */
let count = 0
serveRequests(async (request: string) => {
  count += 1
  const own = count
  if (request === 'exit') process.exit(0)
  if (own === 1) await new Promise(setImmediate)
  return `${request} ${own}`
})
