import { useMemo } from 'preact/hooks'
import type { HistoryPoint, Latency, OverviewView, Rates } from './data.ts'
import { Flow } from './flow.tsx'
import { toBytes, toCount, toDuration, toRate, toShortCount } from './format.ts'
import { Health, State } from './health.tsx'
import { useHistory } from './history.ts'
import { Failure, FirstEvent, Notes, Panel, Sentence, Table } from './parts.tsx'
import { Plot, type Series } from './plot.tsx'
import { usePolled } from './poll.ts'
import { toHash } from './route.ts'
import { session } from './session.ts'

/** How much comes in, how fast it is answered, and whether all of it gets where it should. */
export function Overview() {
  const overview = usePolled<OverviewView>('overview', { everyMs: 2000 })
  const points = useHistory()
  const { data } = overview
  if (!data) return <Failure error={overview.error} retry={overview.reload} />
  const isUnused = data.flow.nodes.every(({ events }) => events === 0)
  return (
    <>
      <Failure error={overview.error} />
      <Notes notes={data.notes} />
      <State overview={data} />
      <Tiles overview={data} />
      {isUnused && (
        <FirstEvent title="No event has arrived yet." url={session.value?.url ?? location.origin} />
      )}
      {points && <Plots points={points} />}
      <Panel title="Where the events are">
        <Flow flow={data.flow} />
      </Panel>
      <Contracts overview={data} />
      <Health overview={data} />
      <Rejected rejected={data.rejected} />
      <Altered altered={data.altered} />
    </>
  )
}

function Tiles({ overview: { rates, latency, totals } }: { overview: OverviewView }) {
  const now = rates.all
  const sum = (field: string) =>
    Object.values(totals).reduce((total, of) => total + (of[field] ?? 0), 0)
  const p95 = latency.all?.p95_ms
  const tiles = [
    ['Events', toRate(now?.events), 'a second'],
    ['Requests', toRate(now?.requests), 'a second'],
    ['P95', latency.all ? toDuration(p95) : '–', 'time to answer'],
    ['Accepted', toRate(now?.accepted), `${toCount(sum('accepted'))} since the start`],
    ['Duplicate', toRate(now?.duplicate), `${toCount(sum('duplicate'))} since the start`],
    ['Rejected', toRate(now?.rejected), `${toCount(sum('rejected'))} since the start`],
    ['Limited', toRate(now?.limited), `${toCount(sum('limited'))} since the start`],
  ] as const
  return (
    <dl class="tiles">
      {tiles.map(([name, value, note]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class="figure">{value}</dd>
          <dd class="muted">{note}</dd>
        </div>
      ))}
    </dl>
  )
}

const contractColors: Record<string, string> = {
  capture: 'series-1',
  link: 'series-2',
  report: 'series-3',
  telemetry: 'series-4',
}

function Plots({ points }: { points: HistoryPoint[] }) {
  const { atMs, contracts, outcomes, times, waiting, space, connections } = useMemo(
    () => toLines(points),
    [points],
  )
  const shared = { atMs, group: 'history' }
  return (
    <section class="plots" aria-label="The last hour">
      <Plot title="Events a second" series={contracts} format={toShortCount} {...shared} />
      <Plot title="Outcome, a second" series={outcomes} format={toShortCount} {...shared} />
      <Plot title="Time to answer" series={times} format={toDuration} {...shared} />
      <Plot title="Waiting for a sink" series={waiting} format={toShortCount} {...shared} />
      <Plot title="Memory and journal" series={space} format={toBytes} isBytes {...shared} />
      <Plot title="Connections" series={connections} format={toShortCount} {...shared} />
    </section>
  )
}

function toLines(points: HistoryPoint[]) {
  const line = (label: string, color: string, read: (point: HistoryPoint) => number | null) =>
    ({ label, color, values: points.map(read) }) satisfies Series
  const rate = (label: string, color: string, field: keyof Rates) =>
    line(label, color, ({ rates }) => rates.all?.[field] ?? 0)
  const time = (label: string, color: string, field: keyof NonNullable<Latency>) =>
    line(label, color, ({ latency }) => latency.all?.[field] ?? null)
  return {
    atMs: points.map(({ at_ms }) => at_ms),
    contracts: Object.entries(contractColors).map(([name, color]) =>
      line(name, color, ({ rates }) => rates[name]?.events ?? 0),
    ),
    outcomes: [
      rate('accepted', 'good', 'accepted'),
      rate('duplicate', 'series-1', 'duplicate'),
      rate('rejected', 'bad', 'rejected'),
      rate('limited', 'warn', 'limited'),
    ],
    times: [
      time('P50', 'series-4', 'p50_ms'),
      time('P95', 'series-1', 'p95_ms'),
      time('P99', 'series-3', 'p99_ms'),
    ],
    waiting: Object.keys(points.at(-1)?.waiting ?? {}).map((name, at) =>
      line(name, `series-${at + 1}`, (point) => point.waiting[name] ?? null),
    ),
    space: [
      line('memory', 'series-1', ({ rss_bytes }) => rss_bytes),
      line('journal', 'series-2', ({ journal_bytes }) => journal_bytes),
    ],
    connections: [
      line('in flight', 'series-1', ({ requests_in_flight }) => requests_in_flight),
      line('sockets', 'series-2', ({ sockets }) => sockets),
    ],
  }
}

const totalNames = ['received', 'accepted', 'duplicate', 'rejected', 'limited', 'dropped'] as const

function Contracts({ overview: { rates, latency, totals } }: { overview: OverviewView }) {
  const names = Object.keys(rates).filter((name) => name !== 'all')
  return (
    <Panel title="By contract">
      <Table label="Figures by contract">
        <thead>
          <tr>
            <th scope="col">Contract</th>
            <th scope="col" class="number">
              Requests/s
            </th>
            <th scope="col" class="number">
              Events/s
            </th>
            {['P50', 'P95', 'P99', ...totalNames.map(toTitle)].map((name) => (
              <th scope="col" class="number" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.map((name) => (
            <tr key={name}>
              <th scope="row">
                <i
                  class="key"
                  style={{ background: `var(--${contractColors[name] ?? 'muted'})` }}
                  aria-hidden="true"
                />
                {name}
              </th>
              <td class="number">{toRate(rates[name]?.requests)}</td>
              <td class="number">{toRate(rates[name]?.events)}</td>
              {(['p50_ms', 'p95_ms', 'p99_ms'] as const).map((field) => (
                <td class="number" key={field}>
                  {toDuration(latency[name]?.[field])}
                </td>
              ))}
              {totalNames.map((field) => (
                <td class="number" key={field}>
                  {toCount(totals[name]?.[field])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </Table>
    </Panel>
  )
}

const toTitle = (name: string) => `${name[0]?.toUpperCase()}${name.slice(1)}`

function Rejected({ rejected }: Pick<OverviewView, 'rejected'>) {
  if (rejected.length === 0) return null
  return (
    <Panel
      title="Rejected since the start"
      actions={<a href={toHash('dead-letters')}>Repair them in dead letters</a>}
    >
      <Table label="Rejected events by reason">
        <thead>
          <tr>
            <th scope="col">Contract</th>
            <th scope="col">Reason</th>
            <th scope="col" class="number">
              Events
            </th>
            <th scope="col">What to do</th>
          </tr>
        </thead>
        <tbody>
          {rejected.slice(0, 12).map(({ contract, reason, events, hint }) => (
            <tr key={`${contract} ${reason}`}>
              <td>{contract}</td>
              <td class="bad">
                <code>{reason}</code>
              </td>
              <td class="number">{toCount(events)}</td>
              <td class="text">
                <Sentence text={hint} />
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Panel>
  )
}

function Altered({ altered }: Pick<OverviewView, 'altered'>) {
  if (altered.length === 0) return null
  return (
    <Panel
      title="Altered since the start"
      actions={<a href={toHash('queries')}>See fields and values in queries</a>}
    >
      <Table label="Altered events by project">
        <thead>
          <tr>
            <th scope="col">Project</th>
            <th scope="col">Kind</th>
            <th scope="col" class="number">
              Events
            </th>
            <th scope="col">What to do</th>
          </tr>
        </thead>
        <tbody>
          {altered.slice(0, 12).map(({ project, kind, events, hint }) => (
            <tr key={`${project} ${kind}`}>
              <td>{project}</td>
              <td>
                <code>{kind}</code>
              </td>
              <td class="number">{toCount(events)}</td>
              <td class="text">
                <Sentence text={hint} />
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Panel>
  )
}
