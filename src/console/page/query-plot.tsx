import type { QueryReply } from './data.ts'
import { toShortCount } from './format.ts'
import { Empty } from './parts.tsx'
import { Plot } from './plot.tsx'

/**
 * A plot of a result. A column of times gives lines; else the first column names the bars, and the
 * first column of numbers their length.
 */
export function QueryPlot({ reply }: { reply: QueryReply }) {
  const times = reply.meta.find(({ type }) => /^(?:Nullable\()?Date/.test(type))
  const numbers = reply.meta.filter(({ type }) => isNumeric(type))
  const names = reply.meta.find(({ type, name }) => !isNumeric(type) && name !== times?.name)
  const [first] = numbers
  if (!first || reply.data.length === 0)
    return <Empty title="A plot needs a column of numbers, and a column of times or names." />
  if (!times) return <Bars reply={reply} name={names?.name} value={first.name} />
  const groups = names ? toGroups(reply, names.name) : undefined
  const at = [...new Set(reply.data.map((row) => toMs(row[times.name])))].sort((a, b) => a - b)
  const lines = groups
    ? groups.map((group) => ({
        label: group,
        values: toLine(reply, at, {
          times: times.name,
          value: first.name,
          name: names?.name,
          group,
        }),
      }))
    : numbers.map(({ name }) => ({
        label: name,
        values: toLine(reply, at, { times: times.name, value: name }),
      }))
  const series = lines
    .slice(0, linesMax)
    .map((line, index) => ({ ...line, color: `series-${(index % colors) + 1}` }))
  return <Plot title={first.name} atMs={at} series={series} format={toShortCount} />
}

const linesMax = 8
const colors = 6
const barsMax = 30

const isNumeric = (type: string) => /^(?:Nullable\()?(?:U?Int|Float|Decimal)/.test(type)

const toGroups = (reply: QueryReply, name: string) => [
  ...new Set(reply.data.map((row) => String(row[name]))),
]

/** ClickHouse writes times in UTC, without a zone. */
const toMs = (value: unknown) => {
  const text = String(value)
  return Date.parse(text.length > 10 ? `${text.replace(' ', 'T')}Z` : `${text}T00:00:00Z`)
}

type LineOptions = { times: string; value: string; name?: string | undefined; group?: string }

function toLine(reply: QueryReply, at: readonly number[], options: LineOptions) {
  const { times, value, name, group } = options
  const byTime = new Map<number, number>()
  for (const row of reply.data)
    if (name === undefined || String(row[name]) === group)
      byTime.set(toMs(row[times]), Number(row[value]))
  return at.map((ms) => byTime.get(ms) ?? null)
}

type BarsProps = { reply: QueryReply; name: string | undefined; value: string }

function Bars({ reply, name, value }: BarsProps) {
  const rows = reply.data.slice(0, barsMax).map((row, at) => ({
    label: name === undefined ? `row ${at + 1}` : String(row[name]) || '(empty)',
    value: Number(row[value]),
  }))
  const most = Math.max(...rows.map((row) => row.value), 1e-9)
  return (
    <table class="bars">
      <caption>
        {value}
        {name !== undefined && ` by ${name}`}
      </caption>
      <tbody>
        {rows.map((row, at) => (
          <tr key={`${at} ${row.label}`}>
            <th scope="row">{row.label}</th>
            <td class="number">{toShortCount(row.value)}</td>
            <td class="bar-cell">
              <svg aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none">
                <rect width={Math.max(0, (row.value / most) * 100)} height="10" />
              </svg>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
