import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { createContracts } from '../../contracts/registry.ts'
import { IngestError } from '../../core/errors.ts'
import { serveRequests } from '../../core/worker-thread.ts'
import { createEnrichCounts, takeCounts } from '../enrich/counts.ts'
import { createEnricher, type Enricher, largeMisses } from '../enrich/enrich.ts'
import type { BodyReply, BodyRequest, RequestHead } from './thread.ts'
import { type BodyWork, createBodyWork } from './work.ts'

/** On a saturated machine the serving thread comes first. Elsewhere than on Linux it is the process. */
const niceness = 5
if (process.platform === 'linux') setPriority(0, niceness)

const counts = createEnrichCounts()
let work: BodyWork | undefined
let isGarbage = false

serveRequests<BodyRequest, BodyReply>(answer, (reply) =>
  'slice' in reply ? [reply.slice.lines.buffer] : [],
)

function answer(request: BodyRequest): BodyReply {
  try {
    return run(request)
  } catch (error) {
    if (!(error instanceof IngestError)) {
      return { fault: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    }
    const { code, message, details } = error
    return { refused: { code, message, details } }
  }
}

function run(request: BodyRequest): BodyReply {
  switch (request.step) {
    case 'thread':
      return { schedstat: toSchedstat() }
    case 'unwrap': {
      collect()
      const { contract, limits, head, body } = request
      work = createBodyWork(createContracts(limits)[contract], toRequest(head), body)
      isGarbage = true
      return { size: work.unwrap() }
    }
    case 'parse':
      return { submission: work!.parse() }
    case 'normalise':
      return normalise(request)
    case 'next':
      return { slice: work!.next() }
    case 'reply':
      return { reply: work!.reply(request.stored) }
    case 'end':
      work = undefined
      collect()
      return { size: { decodedBytes: 0, workBytes: 0 } }
  }
}

let enricher: Enricher | undefined

function normalise({ context, enrichment }: Extract<BodyRequest, { step: 'normalise' }>) {
  if (enrichment === undefined) return { slice: work!.normalise(context) }
  const { defaults, geo } = enrichment
  enricher ??= createEnricher({ defaults, counts, misses: largeMisses })
  enricher.useGeo(geo)
  const slice = work!.normalise(context, enricher.enrich)
  return { slice, enriched: takeCounts(counts) }
}

/** The file with the CPU time of this thread; empty if there is none. */
function toSchedstat(): string {
  try {
    return `/proc/${readlinkSync('/proc/thread-self')}/schedstat`
  } catch {
    return ''
  }
}

/** A body of 20 MB leaves 150 MB: it must be free before the next one. Interned texts go, too. */
function collect(): void {
  if (isGarbage) Bun.gc(true)
  isGarbage = false
}

function toRequest({ query, headers, ...head }: RequestHead) {
  return { ...head, query: new URLSearchParams(query), headers: new Headers(headers) }
}
