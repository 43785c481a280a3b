import type { CpuUse } from './cpu.ts'
import type { WrkResult } from './wrk.ts'

type Measured = WrkResult & CpuUse & { rssBytes: number }

export type Row = {
  name: string
  eventsPerRequest: number
  baseline: Measured
  spillway: Measured & { stored: number }
}

const head = [
  'scenario',
  'baseline req/s',
  'req/s',
  'ratio',
  'events/s',
  'P50 ms',
  'P95 ms',
  'P99 ms',
  'CPU µs/event HTTP thread',
  'CPU µs/event all',
  'RSS MiB',
  'errors',
  'stored rows',
  'verdict',
]

/** A Markdown table; the ratio to the baseline is what travels between machines. */
export function toTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => `| ${toCells(row).join(' | ')} |`)
  return [`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...lines].join('\n')
}

function toCells({ name, eventsPerRequest, baseline, spillway }: Row): string[] {
  const rate = ({ requests, seconds }: WrkResult) => requests / seconds
  const events = spillway.requests * eventsPerRequest
  return [
    name,
    rate(baseline).toFixed(0),
    rate(spillway).toFixed(0),
    (rate(spillway) / rate(baseline)).toFixed(2),
    (rate(spillway) * eventsPerRequest).toFixed(0),
    spillway.p50_ms.toFixed(2),
    spillway.p95_ms.toFixed(2),
    spillway.p99_ms.toFixed(2),
    (spillway.httpUs / events).toFixed(1),
    (spillway.allUs / events).toFixed(1),
    (spillway.rssBytes / 1024 ** 2).toFixed(0),
    String(spillway.errors),
    String(spillway.stored),
    spillway.passed ? 'PASS' : 'FAIL',
  ]
}
