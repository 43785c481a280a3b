import { serveRequests } from '../../../../src/core/worker-thread.ts'
import type { BodyReply, BodyRequest } from '../../../../src/ingest/large-bodies/thread.ts'

/** A body thread that ends with the work on a body which starts with `crash`. */
serveRequests<BodyRequest, BodyReply>((request) => {
  if (request.step === 'thread') return { schedstat: '' }
  if (request.step === 'unwrap' && new TextDecoder().decode(request.body).startsWith('crash')) {
    process.exit(1)
  }
  return { size: { decodedBytes: 1, workBytes: 2 } }
})
