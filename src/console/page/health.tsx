import type { OverviewView, SinkView } from './data.ts'
import { toAgo, toBytes, toCount, toDuration } from './format.ts'
import { Empty, Facts, Panel, Status, Table } from './parts.tsx'

/** Sinks, journal, disk, memory and connections. */
export function Health({ overview }: { overview: OverviewView }) {
  const { journal, disk, memory, connections, processes, redis } = overview
  return (
    <>
      <Panel title="Sinks">
        <Sinks sinks={overview.sinks} />
      </Panel>
      <Panel title="Machine">
        <div class="meters">
          <Meter
            name="Journal"
            value={journal.bytes}
            max={journal.bytes_max}
            text={`${toBytes(journal.bytes)} of ${toBytes(journal.bytes_max)}`}
          />
          <Meter
            name="Disk"
            value={disk.bytes - disk.free_bytes}
            max={disk.bytes}
            text={`${toBytes(disk.free_bytes)} free of ${toBytes(disk.bytes)}`}
          />
        </div>
        <Facts
          facts={[
            ['Journal state', <JournalState key="journal" journal={journal} />],
            ['Durability', journal.durability],
            ['Oldest in the journal', toDuration(journal.oldest_seconds * 1000)],
            ['Memory of the process', toBytes(memory.rss_bytes)],
            [
              'Bodies in flight',
              `${toBytes(memory.intake_bytes)} of ${toCount(memory.intake_requests)} requests`,
            ],
            ['Requests in flight', toCount(connections.requests_in_flight)],
            ['Sockets of realtime', toCount(connections.sockets)],
            [
              'Processes',
              `${toCount(processes.ready)}, restarted ${toCount(processes.restarts)} times`,
            ],
            ['Redis', <Status key="redis" name={redis} />],
          ]}
        />
      </Panel>
    </>
  )
}

/** In one line: whether somebody has to do something. */
export function State({ overview: { sinks, journal, redis } }: { overview: OverviewView }) {
  return (
    <ul class="state">
      <li>
        journal <JournalState journal={journal} />
      </li>
      {sinks.map(({ name, state }) => (
        <li key={name}>
          {name} <Status name={state} />
        </li>
      ))}
      {redis !== 'off' && (
        <li>
          redis <Status name={redis} />
        </li>
      )}
    </ul>
  )
}

function JournalState({ journal }: Pick<OverviewView, 'journal'>) {
  if (journal.failing) return <Status name="failed" label="its disk fails" />
  if (journal.full) return <Status name="failed" label="full" />
  return <Status name="healthy" />
}

function Meter({ name, value, max, text }: MeterProps) {
  const share = max > 0 ? Math.min(1, value / max) : 0
  const tone = share > 0.95 ? 'bad' : share > 0.8 ? 'warn' : 'good'
  return (
    <div class="meter">
      <span>{name}</span>
      <span class="muted">{text}</span>
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        <rect width="100" height="6" rx="1" fill="var(--line)" />
        <rect width={Math.max(0.5, share * 100)} height="6" rx="1" fill={`var(--${tone})`} />
      </svg>
    </div>
  )
}

type MeterProps = { name: string; value: number; max: number; text: string }

function Sinks({ sinks }: { sinks: SinkView[] }) {
  if (sinks.length === 0) return <Empty title="Events are not delivered anywhere: set SINKS." />
  return (
    <>
      <Table label="Sinks">
        <thead>
          <tr>
            <th scope="col">Sink</th>
            <th scope="col">State</th>
            {['Waiting', 'Shipped', 'Dead letters', 'Retries', 'Oldest'].map((name) => (
              <th scope="col" class="number" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sinks.map((sink) => (
            <tr key={sink.name}>
              <th scope="row">{sink.name}</th>
              <td>
                <Status name={sink.state} />
              </td>
              <td class="number">{toCount(sink.waiting_events)}</td>
              <td class="number">{toCount(sink.shipped_events)}</td>
              <td class="number">{toCount(sink.dead_lettered_events)}</td>
              <td class="number">{toCount(sink.retries)}</td>
              <td class="number">{sink.oldest_ms === null ? '–' : toAgo(sink.oldest_ms)}</td>
            </tr>
          ))}
        </tbody>
      </Table>
      {sinks.map(
        ({ name, last_error }) =>
          last_error !== null && (
            <p class="note bad" key={name}>
              {name}: {last_error}
            </p>
          ),
      )}
    </>
  )
}
