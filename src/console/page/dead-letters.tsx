import { useState } from 'preact/hooks'
import type { Letter, LetterGroup } from './data.ts'
import { toAgo, toCount, toDateTime } from './format.ts'
import { LetterEditor } from './letter-editor.tsx'
import { Dialog, Empty, Failure, Field, Notes, Panel, Sentence, Table } from './parts.tsx'
import { usePolled } from './poll.ts'
import { ResendAll } from './resend-all.tsx'
import { replaceValues, route, toHash } from './route.ts'

/** Lists dead letters by reason and project. An operator can repair each of them and send it again. */
export function DeadLetters() {
  const { uuid, days = '7', ...filter } = route.value.values
  const close = () => replaceValues({ ...filter, days })
  return (
    <>
      {Object.keys(filter).length === 0 ? <Groups days={days} /> : <Letters filter={filter} />}
      {uuid && <ShownLetter uuid={uuid} close={close} />}
    </>
  )
}

function Groups({ days }: { days: string }) {
  const { data, error, reload } = usePolled<{ groups: LetterGroup[]; notes: string[] }>(
    'dead-letters/groups',
    { values: { days }, everyMs: 10_000 },
  )
  const period = (
    <Field label="Received in the last">
      <select value={days} onChange={(event) => replaceValues({ days: event.currentTarget.value })}>
        {['1', '7', '30', '90'].map((value) => (
          <option value={value} key={value}>
            {value === '1' ? '1 day' : `${value} days`}
          </option>
        ))}
      </select>
    </Field>
  )
  if (!data) return <Failure error={error} retry={reload} />
  return (
    <Panel title="By reason and project" actions={period}>
      <Notes notes={data.notes} />
      {data.groups.length === 0 ? (
        <Empty title="There are no dead letters in this time.">
          <p>
            An event that a contract, ClickHouse or Kafka rejects appears here with its reason. You
            can repair it and send it again.
          </p>
        </Empty>
      ) : (
        <GroupTable groups={data.groups} />
      )}
    </Panel>
  )
}

function GroupTable({ groups }: { groups: LetterGroup[] }) {
  return (
    <Table label="Dead letters by reason and project">
      <thead>
        <tr>
          <th scope="col">Reason</th>
          <th scope="col">Project</th>
          <th scope="col">Contract</th>
          <th scope="col">Stage</th>
          <th scope="col" class="number">
            Events
          </th>
          <th scope="col">Last</th>
          <th scope="col">What happened, and what to do</th>
        </tr>
      </thead>
      <tbody>
        {groups.map((group) => {
          const { project, contract, stage, reason, events, last_ms, hint, sample } = group
          return (
            <tr key={`${project} ${contract} ${stage} ${reason}`}>
              <td>
                <a href={toHash('dead-letters', { project, contract, stage, reason })}>
                  <code>{reason}</code>
                </a>
              </td>
              <td class="id">{project}</td>
              <td>{contract}</td>
              <td>{stage}</td>
              <td class="number">{toCount(events)}</td>
              <td class="time" title={toDateTime(last_ms)}>
                {toAgo(last_ms)}
              </td>
              <td class="text">
                {sample.detail}{' '}
                <span class="hint">
                  <Sentence text={hint} />
                </span>
              </td>
            </tr>
          )
        })}
      </tbody>
    </Table>
  )
}

type Page = { letters: Letter[]; next_before_ms: number | null; notes: string[] }

function Letters({ filter }: { filter: Record<string, string> }) {
  const [beforeMs, setBeforeMs] = useState<number | undefined>(undefined)
  const { data, error, reload } = usePolled<Page>('dead-letters', {
    values: { ...filter, before_ms: beforeMs, limit: 50 },
  })
  const words = Object.entries(filter).map(([name, value]) => `${name} ${value}`)
  return (
    <>
      <p>
        <a href={toHash('dead-letters')}>← All dead letters</a>
      </p>
      <ResendAll filter={filter} reload={reload} />
      <Panel title={words.join(', ')}>
        <Failure error={error} retry={reload} />
        <Notes notes={data?.notes} />
        {data?.letters.length === 0 && <Empty title="No dead letter matches." />}
        {data && data.letters.length > 0 && <LetterTable letters={data.letters} filter={filter} />}
        <div class="bar">
          {beforeMs !== undefined && (
            <button type="button" onClick={() => setBeforeMs(undefined)}>
              Newest
            </button>
          )}
          {data && data.next_before_ms !== null && (
            <button type="button" onClick={() => setBeforeMs(data.next_before_ms ?? undefined)}>
              Older
            </button>
          )}
        </div>
      </Panel>
    </>
  )
}

type LetterTableProps = { letters: Letter[]; filter: Record<string, string> }

function LetterTable({ letters, filter }: LetterTableProps) {
  return (
    <Table label="Dead letters">
      <thead>
        <tr>
          <th scope="col">Received</th>
          <th scope="col">What happened</th>
          <th scope="col">Event as sent</th>
          <th scope="col">Can be sent again</th>
        </tr>
      </thead>
      <tbody>
        {letters.map(({ uuid, received_ms, detail, raw, resendable, why_not }) => (
          <tr key={uuid}>
            <td class="time">
              <a href={toHash('dead-letters', { ...filter, uuid })}>{toDateTime(received_ms)}</a>
            </td>
            <td class="text">{detail}</td>
            <td class="raw">{raw.slice(0, 160)}</td>
            <td class="text">{resendable ? 'yes' : `no: ${why_not ?? 'it is not whole'}`}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  )
}

function ShownLetter({ uuid, close }: { uuid: string; close(): void }) {
  const { data, error } = usePolled<{ letter: Letter }>('dead-letters/show', { values: { uuid } })
  return (
    <Dialog title="Dead letter" close={close}>
      <Failure error={error} />
      {data && <LetterEditor letter={data.letter} key={uuid} />}
    </Dialog>
  )
}
