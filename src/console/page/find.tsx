import { useState } from 'preact/hooks'
import type { RefusalView } from './data.ts'
import { toAgo, toCount, toTime } from './format.ts'
import { Dialog, Empty, Failure, Notes, Panel, Sentence, Table } from './parts.tsx'
import { usePolled } from './poll.ts'
import { openPage, route, toHash } from './route.ts'
import { RefusalCard, Trace } from './trace.tsx'

/** Where an event is, by any id that a person may have; and the last requests that were refused. */
export function Find() {
  const { id = '', reason, contract } = route.value.values
  return (
    <>
      <form
        class="find"
        onSubmit={(event) => {
          event.preventDefault()
          const text = String(new FormData(event.currentTarget).get('id')).trim()
          openPage('find', { id: text })
        }}
      >
        <input
          key={id}
          name="id"
          type="search"
          defaultValue={id}
          autocomplete="off"
          spellcheck={false}
          aria-label="uuid, distinct_id, request id, or the client’s own request id"
          placeholder="uuid, distinct_id, request id, or the client’s own request id"
        />
        <button type="submit" class="primary">
          Find
        </button>
      </form>
      <p class="muted">
        Every reply names its request in the header <code>X-Request-Id</code>.
      </p>
      {id !== '' && <Trace id={id} key={id} />}
      <Refusals reason={reason} contract={contract} isOpen={id === ''} />
    </>
  )
}

type RefusalsView = {
  refusals: RefusalView[]
  by_reason: { contract: string; reason: string; requests: number; hint: string }[]
  notes: string[]
}

type RefusalsProps = { reason: string | undefined; contract: string | undefined; isOpen: boolean }

function Refusals({ reason, contract, isOpen }: RefusalsProps) {
  const { data, error, reload } = usePolled<RefusalsView>(isOpen ? 'refusals' : undefined, {
    values: { reason, contract },
    everyMs: 3000,
  })
  const [opened, setOpened] = useState<RefusalView | undefined>(undefined)
  if (!isOpen)
    return (
      <p>
        <a href={toHash('find')}>Show the last refused requests</a>
      </p>
    )
  if (!data) return <Failure error={error} retry={reload} />
  return (
    <>
      <Notes notes={data.notes} />
      <Panel title="Refused requests by reason, since the start">
        {data.by_reason.length === 0 ? (
          <Empty title="No request has been refused." />
        ) : (
          <ReasonTable reasons={data.by_reason} />
        )}
      </Panel>
      {data.refusals.length > 0 && (
        <Panel
          title="The last refused requests"
          actions={reason && <a href={toHash('find')}>Show all reasons</a>}
        >
          <RefusalTable refusals={data.refusals} open={setOpened} />
        </Panel>
      )}
      {opened && (
        <Dialog title="Refused request" close={() => setOpened(undefined)}>
          <RefusalCard refusal={opened} />
        </Dialog>
      )}
    </>
  )
}

function ReasonTable({ reasons }: { reasons: RefusalsView['by_reason'] }) {
  return (
    <Table label="Refused requests by reason">
      <thead>
        <tr>
          <th scope="col">Contract</th>
          <th scope="col">Reason</th>
          <th scope="col" class="number">
            Requests
          </th>
          <th scope="col">What to do</th>
        </tr>
      </thead>
      <tbody>
        {reasons.map(({ contract, reason, requests, hint }) => (
          <tr key={`${contract} ${reason}`}>
            <td>{contract}</td>
            <td>
              <a href={toHash('find', { contract, reason })}>
                <code>{reason}</code>
              </a>
            </td>
            <td class="number">{toCount(requests)}</td>
            <td class="text">
              <Sentence text={hint} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  )
}

type RefusalTableProps = { refusals: readonly RefusalView[]; open(refusal: RefusalView): void }

function RefusalTable({ refusals, open }: RefusalTableProps) {
  return (
    <Table label="The last refused requests" className="tall">
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col">Request</th>
          <th scope="col">Status</th>
          <th scope="col">Reason</th>
          <th scope="col">From</th>
          <th scope="col">Message</th>
        </tr>
      </thead>
      <tbody>
        {refusals.map((refusal) => (
          <tr key={refusal.request_id}>
            <td class="time" title={toAgo(refusal.at_ms)}>
              {toTime(refusal.at_ms)}
            </td>
            <td>
              <button type="button" class="link" onClick={() => open(refusal)}>
                {refusal.method} {refusal.path}
              </button>
            </td>
            <td>{refusal.status}</td>
            <td class="bad">
              <code>{refusal.reason}</code>
            </td>
            <td>{refusal.client_ip}</td>
            <td class="text">{refusal.message}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  )
}
