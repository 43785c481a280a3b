import { join } from 'node:path'

export type WrkResult = {
  requests: number
  seconds: number
  errors: number
  p50_ms: number
  p95_ms: number
  p99_ms: number
  passed: boolean
}

export type Load = {
  url: string
  script: string
  seconds: number
  connections: number
  /** Bodies of the pool that an earlier run of `once` has used. */
  skipBodies?: number
}

/**
 * How a run uses the pool of gzip bodies. `wrap`: starts again at its end, for the baseline, which
 * does not detect duplicates. `tail`: uses the last third, for a warm-up. `once`: uses each body
 * once.
 */
export type PoolUse = 'wrap' | 'tail' | 'once'

/** Runs one script against one URL. */
export async function runWrk(
  { url, script, seconds, connections, skipBodies = 0 }: Load,
  pool: PoolUse,
): Promise<WrkResult> {
  const path = join(import.meta.dir, 'wrk', script)
  const command = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', path, url]
  const environment = {
    ...process.env,
    [`BENCH_POOL_${pool.toUpperCase()}`]: '1',
    BENCH_POOL_SKIP: String(skipBodies),
  }
  const child = Bun.spawn(command, { env: environment, stdout: 'pipe', stderr: 'inherit' })
  const text = await new Response(child.stdout).text()
  const line = text.split('\n').find((line) => line.startsWith('{'))
  if (!line) throw new Error(`wrk printed no result line:\n${text}`)
  return { ...JSON.parse(line), passed: text.includes('\nPASS') }
}

export function requireWrk(): void {
  if (Bun.which('wrk')) return
  console.error(
    'wrk is missing; install it: apt-get install wrk (Debian, Ubuntu) or brew install wrk (macOS)',
  )
  process.exit(2)
}
