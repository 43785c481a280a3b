import type { Row } from './measure.ts'
import type { WrkResult } from './wrk.ts'

const columns: Record<string, (row: Row) => string> = {
  scenario: ({ name }) => name,
  'baseline req/s': ({ baseline }) => toRate(baseline).toFixed(0),
  'req/s': ({ spillway }) => toRate(spillway).toFixed(0),
  ratio: ({ baseline, spillway }) => (toRate(spillway) / toRate(baseline)).toFixed(2),
  'events/s': (row) => (toRate(row.spillway) * row.eventsPerRequest).toFixed(0),
  'P50 ms': ({ spillway }) => spillway.p50_ms.toFixed(2),
  'P95 ms': ({ spillway }) => spillway.p95_ms.toFixed(2),
  'P99 ms': ({ spillway }) => spillway.p99_ms.toFixed(2),
  'HTTP thread, CPU µs/event': (row) => perEvent(row, row.spillway.httpUs),
  'all threads, CPU µs/event': (row) => perEvent(row, row.spillway.allUs),
  'RSS MiB': ({ spillway }) => (spillway.rssBytes / 1024 ** 2).toFixed(0),
  'lag at the end': ({ spillway }) => String(spillway.lag),
  errors: ({ spillway }) => String(spillway.errors),
  'acknowledged events': ({ spillway }) => String(spillway.acknowledged),
  'stored rows': ({ spillway }) => String(spillway.stored),
  verdict: ({ passed }) => (passed ? 'PASS' : 'FAIL'),
}

/** A Markdown table. Only the ratio to the baseline can be compared between machines. */
export function toTable(rows: readonly Row[]): string {
  const names = Object.keys(columns)
  const cells = (row: Row) => names.map((name) => columns[name]!(row))
  const lines = rows.map((row) => `| ${cells(row).join(' | ')} |`)
  return [`| ${names.join(' | ')} |`, `|${names.map(() => '---').join('|')}|`, ...lines].join('\n')
}

/** CPU time by thread. Threads with the same name are added. */
export function toThreadTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => `| ${row.name} | ${toThreads(row)} |`)
  return ['| scenario | CPU µs/event by thread |', '|---|---|', ...lines].join('\n')
}

function toThreads(row: Row): string {
  const used = Object.entries(row.spillway.threads).sort((a, b) => b[1] - a[1])
  const shown = used.filter(([, us]) => us > 0).slice(0, 8)
  return shown.map(([name, us]) => `${name} ${perEvent(row, us)}`).join(' · ')
}

function perEvent({ spillway, eventsPerRequest }: Row, us: number): string {
  return (us / (spillway.requests * eventsPerRequest)).toFixed(1)
}

export const toRate = ({ requests, seconds }: WrkResult) => requests / seconds
