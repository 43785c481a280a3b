import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

/** Events of one request, like a server SDK. */
export const eventsPerBatch = 50
const bodiesDefault = 100_000
/** All bodies have nearly the same size. */
const bodyBytesMin = 2400
const folder = join(import.meta.dir, '.pool')
const path = join(folder, 'batch-gzip.bin')

/**
 * `bun run bench:pool [--bodies N]` writes distinct gzip batches, each after its length (4 bytes,
 * little endian). wrk's Lua cannot compress, and a repeated body would be measured as fifty
 * duplicates.
 */
export async function writePool(bodies: number, report: (done: number) => void): Promise<string> {
  mkdirSync(folder, { recursive: true })
  // A new file: the writer would not truncate a longer old one.
  const draft = `${path}.${process.pid}`
  const writer = Bun.file(draft).writer({ highWaterMark: 4 * 1024 * 1024 })
  for (let body = 0; body < bodies; body += 1) {
    const packed = gzipSync(toBatch(), { level: 6 })
    const size = Buffer.alloc(4)
    size.writeUInt32LE(packed.byteLength)
    writer.write(size)
    writer.write(packed)
    if (body % 5000 === 4999) {
      await writer.flush()
      report(body + 1)
    }
  }
  await writer.end()
  renameSync(draft, path)
  return path
}

/** A third more than a server with two cores accepts. */
const batchesPerSecondMax = 4000

/** Enough bodies for a run of so many seconds. The warm-up uses a third of them, the run the others. */
export async function requirePool(seconds: number): Promise<void> {
  const bodies = Math.ceil(1.5 * batchesPerSecondMax * seconds)
  if (poolHas(bodies)) return
  console.error('creating the pool of distinct gzip batches once (bun run bench:pool)')
  await writePool(bodies, (done) => console.error(`${done} of ${bodies} bodies`))
}

function poolHas(bodies: number): boolean {
  return existsSync(path) && statSync(path).size >= bodies * bodyBytesMin
}

export function toBatch(): string {
  const batch = Array.from({ length: eventsPerBatch }, (_, index) => ({
    event: index % 5 === 0 ? 'purchase_completed' : '$pageview',
    uuid: Bun.randomUUIDv7(),
    distinct_id: `user-${Math.floor(Math.random() * 1e6)}`,
    timestamp: new Date().toISOString(),
    properties: {
      $current_url: `https://app.example.com/projects/${index}/dashboard?tab=overview&range=7d`,
      $browser: 'Chrome',
      $browser_version: 126,
      $os: 'Mac OS X',
      $screen_height: 1080,
      $screen_width: 1920,
      $lib: 'web',
      $lib_version: '1.200.0',
      $session_id: Bun.randomUUIDv7(),
      $referrer: 'https://www.example.com/',
      title: 'Dashboard',
      plan: 'scale',
      amount: 25.5 + index,
      experiment: 'checkout-v2',
    },
  }))
  const sent_at = new Date().toISOString()
  return JSON.stringify({ api_key: 'phc_bench_project_token_0000000000001', batch, sent_at })
}

if (import.meta.main) {
  const flag = process.argv.indexOf('--bodies')
  const bodies = flag > 0 ? Number(process.argv[flag + 1]) : bodiesDefault
  const path = await writePool(bodies, (done) => console.error(`${done} of ${bodies} bodies`))
  console.error(`wrote ${path}`)
}
