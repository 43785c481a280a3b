import { useEffect, useState } from 'preact/hooks'
import { AlteredNote } from './altered.tsx'
import type { RefusalView, Stage, TracedEvent, TraceView } from './data.ts'
import { toAgo, toBytes, toDateTime, toDuration, toTime, toWords } from './format.ts'
import {
  Code,
  Copy,
  Empty,
  Facts,
  Failure,
  Notes,
  Panel,
  Sentence,
  Status,
  Table,
  toPrettyJson,
  toText,
} from './parts.tsx'
import { usePolled } from './poll.ts'
import { toHash } from './route.ts'

/** Everything the server knows about an id. It asks again while an event is on its way. */
export function Trace({ id }: { id: string }) {
  const [everyMs, setEveryMs] = useState<number | undefined>(undefined)
  const { data, error, reload } = usePolled<TraceView>('trace', { values: { id }, everyMs })
  useEffect(() => setEveryMs(data && toPause(data)), [data])
  if (!data && error) return <Failure error={error} retry={reload} />
  if (!data) return <p class="muted">Looking …</p>
  return <Found trace={data} />
}

/** Every second while an event is on its way, and less often if a sink has been waiting for long. */
function toPause({ events }: TraceView): number | undefined {
  const waiting = events.flatMap(({ stages }) => stages.filter(({ state }) => state === 'waiting'))
  if (waiting.length === 0) return undefined
  return waiting.every(({ since_ms }) => (since_ms ?? 0) > 30_000) ? 5000 : 1000
}

function Found({ trace }: { trace: TraceView }) {
  return (
    <>
      <Notes notes={trace.notes} />
      {!trace.found && (
        <Empty title="Nothing is known about this id.">
          <p>
            Look for spaces and missing characters. Requests are remembered until they are displaced
            by newer ones, or the server restarts; stored events are found as long as they exist.
          </p>
        </Empty>
      )}
      {trace.events.map((event) => (
        <EventCard key={`${event.kind} ${event.uuid} ${event.outcome}`} event={event} />
      ))}
      {trace.refusals.map((refusal) => (
        <RefusalCard key={`${refusal.request_id} ${refusal.reason}`} refusal={refusal} />
      ))}
      <Searched searched={trace.searched} />
    </>
  )
}

function Searched({ searched }: Pick<TraceView, 'searched'>) {
  return (
    <details class="searched">
      <summary>Where the server looked</summary>
      <ul>
        {searched.map(({ place, complete, detail }) => (
          <li key={place}>
            <Status name={complete ? 'done' : 'waiting'} label={toWords(place)} /> {detail}
          </li>
        ))}
      </ul>
    </details>
  )
}

function EventCard({ event }: { event: TracedEvent }) {
  const columns = event.row?.columns ?? event.line
  return (
    <Panel title={event.event || toWords(event.kind)} actions={<Status name={event.outcome} />}>
      {event.reason && (
        <div class={`note ${event.outcome === 'rejected' ? 'bad' : ''}`}>
          <p>
            <code>{event.reason}</code>
            {event.message && <>: {event.message}</>}
          </p>
          {event.hint && (
            <p>
              <Sentence text={event.hint} />
            </p>
          )}
          {event.dead_letter_uuid && (
            <p>
              <a href={toHash('dead-letters', { uuid: event.dead_letter_uuid })}>
                Open the dead letter to repair it
              </a>
            </p>
          )}
        </div>
      )}
      <AlteredNote event={event} />
      <Stages stages={event.stages} outcome={event.outcome} />
      <Facts facts={toFacts(event)} />
      {columns && <Columns table={event.row?.table} columns={columns} />}
    </Panel>
  )
}

function toFacts(event: TracedEvent) {
  const { request, duplicate_of: first, kafka } = event
  const facts: [string, preact.ComponentChildren][] = [
    ['uuid', <Id key="uuid" id={event.uuid} />],
    ['Contract', event.contract],
    ['Project', event.project],
    ['distinct_id', <Id key="distinct" id={event.distinct_id} />],
    ['Received', toDateTime(event.received_ms)],
  ]
  if (request)
    facts.push(
      ['Request', <Id key="request" id={request.id} />],
      ['From', `${request.client_ip}, ${request.method} ${request.path}`],
    )
  else facts.push(['Request', 'not in memory any more'])
  if (request?.client_id) facts.push(['Client’s request id', request.client_id])
  if (first)
    facts.push([
      'Duplicate of',
      <>
        <Id key="first" id={first.uuid} />, received {toDateTime(first.received_ms)}
      </>,
    ])
  if (kafka)
    facts.push([
      'Kafka',
      kafka.partition === null ? kafka.topic : `${kafka.topic}, partition ${kafka.partition}`,
    ])
  return facts.filter(([, value]) => value !== '')
}

function Id({ id }: { id: string }) {
  if (!id) return <>–</>
  return (
    <a href={toHash('find', { id })}>
      <code>{id}</code>
    </a>
  )
}

/** The way of an event, one step below the other, with the time between steps. */
function Stages({ stages, outcome }: Pick<TracedEvent, 'stages' | 'outcome'>) {
  const startMs = stages.find(({ at_ms }) => at_ms !== null)?.at_ms ?? null
  return (
    <ol class="stages">
      {stages.map((stage) => (
        <li
          key={stage.name}
          class={outcome === 'duplicate' && stage.state === 'failed' ? 'skipped' : stage.state}
        >
          <b>{toWords(stage.name)}</b>
          <StageStatus state={stage.state} outcome={outcome} />
          <span class="muted">{toStageTime(stage, startMs)}</span>
          <span class="detail">{stage.detail}</span>
        </li>
      ))}
    </ol>
  )
}

/** A duplicate goes no further, which is no failure. */
function StageStatus({ state, outcome }: { state: string; outcome: string }) {
  const isHarmless = state === 'failed' && outcome === 'duplicate'
  return isHarmless ? <Status name="skipped" label="not needed" /> : <Status name={state} />
}

function toStageTime({ at_ms, since_ms, state }: Stage, startMs: number | null): string {
  if (state === 'waiting' && since_ms !== null) return `for ${toDuration(since_ms)}`
  if (at_ms === null) return ''
  if (startMs === null || at_ms === startMs) return toTime(at_ms)
  return `${toTime(at_ms)} (+${toDuration(at_ms - startMs)})`
}

type ColumnsProps = { table: string | undefined; columns: Record<string, unknown> }

function Columns({ table, columns }: ColumnsProps) {
  return (
    <details open>
      <summary>
        {table === undefined ? 'As it stands in the journal' : `As stored in ${table}`}
      </summary>
      <Table label="Columns" className="columns-table">
        <tbody>
          {Object.entries(columns).map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="value">{isJson(value) ? toPrettyJson(value) : toText(value)}</td>
            </tr>
          ))}
        </tbody>
      </Table>
      <Copy text={JSON.stringify(columns, null, 2)} label="Copy as JSON" />
    </details>
  )
}

const isJson = (value: unknown) =>
  (typeof value === 'string' && /^[[{]/.test(value)) ||
  (typeof value === 'object' && value !== null)

/** A request that was refused as a whole, with the beginning of its body. */
export function RefusalCard({ refusal }: { refusal: RefusalView }) {
  const { body, method, path, status } = refusal
  return (
    <Panel
      title={`${method} ${path}`}
      actions={<Status name="refused" label={`refused with ${status}`} />}
    >
      <div class="note bad">
        <p>
          <code>{refusal.reason}</code>: {refusal.message}
        </p>
        <p>
          <Sentence text={refusal.hint} />
        </p>
      </div>
      <Facts
        facts={[
          ['Request', <Id key="request" id={refusal.request_id} />],
          ['Client’s request id', refusal.client_id ?? '–'],
          ['Received', `${toDateTime(refusal.at_ms)}, ${toAgo(refusal.at_ms)}`],
          ['From', refusal.client_ip],
          ['Contract', refusal.contract],
          ['Body', body ? `${toBytes(body.bytes)}, ${body.encoding}` : 'not kept'],
        ]}
      />
      {body && body.text !== '' && (
        <details open>
          <summary>{body.cut ? 'The beginning of its body' : 'Its body'}</summary>
          <Code text={body.text} />
        </details>
      )}
    </Panel>
  )
}
