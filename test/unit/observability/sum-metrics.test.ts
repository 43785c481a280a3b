import { expect, test } from 'bun:test'
import {
  onlyTotals,
  parseMetrics,
  sumMetrics,
  toMetricsText,
} from '../../../src/observability/sum-metrics.ts'

const toText = (values: Record<string, number>) => `# HELP events_total Events, by "contract"
# TYPE events_total counter
events_total{contract="capture"} ${values.capture}
events_total{contract="a b \\"c\\""} ${values.odd}
# HELP waiting_records Waiting
# TYPE waiting_records gauge
waiting_records ${values.waiting}
# HELP spillway_journal_oldest_seconds Age
# TYPE spillway_journal_oldest_seconds gauge
spillway_journal_oldest_seconds ${values.oldest}
# HELP spillway_durable Durable
# TYPE spillway_durable gauge
spillway_durable ${values.durable}
# HELP took_seconds Time
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} ${values.bucket}
took_seconds_bucket{le="+Inf"} ${values.bucket}
took_seconds_sum ${values.bucket}
took_seconds_count ${values.bucket}
`

const first = { capture: 3, odd: 1, waiting: 5, oldest: 2.5, durable: 1, bucket: 7 }
const second = { capture: 4, odd: 0, waiting: 6, oldest: 9, durable: 0, bucket: 1e21 }

test('writes the metrics of one process unchanged', () => {
  expect(toMetricsText(parseMetrics(toText(first)))).toBe(toText(first))
})

test('adds counters, takes the largest age, and is durable only if all processes are', () => {
  const both = sumMetrics([parseMetrics(toText(first)), parseMetrics(toText(second))])
  const sum = { capture: 7, odd: 1, waiting: 11, oldest: 9, durable: 0, bucket: 1e21 + 7 }
  expect(toMetricsText(both)).toBe(toText(sum))
})

test('keeps only the totals of an ended process', () => {
  const ended = onlyTotals(parseMetrics(toText(first)))
  const sum = sumMetrics([ended, parseMetrics(toText(second))])
  expect(sum.values.get('events_total{contract="capture"}')?.value).toBe(7)
  expect(sum.values.get('waiting_records')?.value).toBe(6)
})

test('counts the disk that processes share once', () => {
  const toDisk = (bytes: number) =>
    parseMetrics(`# TYPE spillway_disk_free_bytes gauge\nspillway_disk_free_bytes ${bytes}\n`)
  const sum = sumMetrics([toDisk(300), toDisk(299)])
  expect(sum.values.get('spillway_disk_free_bytes')?.value).toBe(299)
})
