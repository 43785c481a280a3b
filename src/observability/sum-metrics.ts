/** The metrics of one process, or the sum over several. Parsed from Prometheus' text format. */
export type Samples = {
  /** HELP and TYPE lines by family, in the order of their first appearance. */
  heads: Map<string, string[]>
  types: Map<string, string>
  /** By name and labels, as text. */
  values: Map<string, { family: string; value: number }>
}

export const noSamples = (): Samples => ({ heads: new Map(), types: new Map(), values: new Map() })

/**
 * Metrics that are not added up. The sum takes the largest age and lag and the earliest start; it is durable only if all
 * processes are; and the processes share one disk.
 */
const combineBy: readonly [RegExp, (a: number, b: number) => number][] = [
  [
    /^spillway_durable$|^spillway_sink_(?:up|last_success_timestamp_seconds)$|^spillway_geoip_built_timestamp_seconds$|^spillway_disk_|^(?:process_start|spillway_metrics)_time_seconds$/,
    Math.min,
  ],
  [
    /_oldest_seconds$|_lag_seconds$|^spillway_build_info$|^nodejs_eventloop_lag|^nodejs_version_info$|_fds$/,
    Math.max,
  ],
]

export function parseMetrics(text: string): Samples {
  const samples = noSamples()
  let family = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('# ')) {
      const [, word, name = '', type = ''] = line.split(' ')
      family = name
      const head = samples.heads.get(name) ?? []
      samples.heads.set(name, [...head, line])
      if (word === 'TYPE') samples.types.set(name, type)
    } else if (line !== '') {
      const at = line.lastIndexOf(' ')
      samples.values.set(line.slice(0, at), { family, value: Number(line.slice(at + 1)) })
    }
  }
  return samples
}

export function sumMetrics(all: readonly Samples[]): Samples {
  const sum = noSamples()
  for (const { heads, types, values } of all) {
    for (const [family, head] of heads) if (!sum.heads.has(family)) sum.heads.set(family, head)
    for (const [family, type] of types) sum.types.set(family, type)
    for (const [name, { family, value }] of values) {
      const before = sum.values.get(name)
      sum.values.set(name, { family, value: before ? combine(family, before.value, value) : value })
    }
  }
  return sum
}

/** Counters and histograms of an ended process. They stay in the sum: if a total fell, rates would jump. */
export function onlyTotals({ heads, types, values }: Samples): Samples {
  const isTotal = (family: string) => ['counter', 'histogram'].includes(types.get(family) ?? '')
  return {
    heads,
    types,
    values: new Map([...values].filter(([, { family }]) => isTotal(family))),
  }
}

export function toMetricsText({ heads, values }: Samples): string {
  const lines = new Map<string, string[]>()
  for (const [name, { family, value }] of values) {
    const written = lines.get(family) ?? [...(heads.get(family) ?? [])]
    written.push(`${name} ${toWritten(value)}`)
    lines.set(family, written)
  }
  return `${[...lines.values()].flat().join('\n')}\n`
}

function combine(family: string, a: number, b: number): number {
  const [, by] = combineBy.find(([names]) => names.test(family)) ?? [undefined, undefined]
  return by ? by(a, b) : a + b
}

const toWritten = (value: number) =>
  value === Number.POSITIVE_INFINITY ? '+Inf' : Number.isNaN(value) ? 'Nan' : String(value)
