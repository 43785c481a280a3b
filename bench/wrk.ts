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

export type Load = { url: string; script: string; seconds: number; connections: number }

/** Runs one script against one address. `wrap` lets the pool start anew: only where copies do no harm. */
export async function runWrk(
  { url, script, seconds, connections }: Load,
  wrap: boolean,
): Promise<WrkResult> {
  const path = join(import.meta.dir, 'wrk', script)
  const command = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', path, url]
  const environment = { ...process.env, ...(wrap ? { BENCH_POOL_WRAP: '1' } : {}) }
  const child = Bun.spawn(command, { env: environment, stdout: 'pipe', stderr: 'inherit' })
  const text = await new Response(child.stdout).text()
  const line = text.split('\n').find((line) => line.startsWith('{'))
  if (!line) throw new Error(`wrk said nothing to read:\n${text}`)
  return { ...JSON.parse(line), passed: text.includes('\nPASS') }
}

export function requireWrk(): void {
  if (Bun.which('wrk')) return
  console.error('wrk is missing. Debian and Ubuntu: apt-get install wrk. macOS: brew install wrk.')
  process.exit(2)
}
