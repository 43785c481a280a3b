import type { VNode } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { LiveItem } from './data.ts'
import { toCount, toTime, toWords } from './format.ts'
import { type LiveState, type ShownItem, useLive } from './live-stream.ts'
import { Dialog, Failure, Field, FirstEvent, Status } from './parts.tsx'
import { replaceValues, route, toHash } from './route.ts'
import { session } from './session.ts'
import { Trace } from './trace.tsx'

const filters = ['project', 'contract', 'event', 'distinct_id', 'outcome'] as const
const outcomes = ['stored', 'duplicate', 'quota_dropped', 'rejected', 'refused']

/** Events as they pass. A click opens one with its stages. */
export function Live() {
  const [isPaused, setPaused] = useState(false)
  const [opened, setOpened] = useState<ShownItem | undefined>(undefined)
  const { values } = route.value
  const state = useLive(values, isPaused)
  return (
    <>
      <Filters />
      <div class="bar">
        <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
          {isPaused ? 'Continue' : 'Pause'}
        </button>
        <LiveSummary state={state} isPaused={isPaused} />
      </div>
      <Failure error={state.error} retry={state.reconnect} />
      {state.items.length === 0 ? (
        <FirstEvent
          title={
            Object.keys(values).length > 0
              ? 'No event has passed that matches the filter.'
              : 'Waiting for the next event.'
          }
          url={session.value?.url ?? location.origin}
        />
      ) : (
        <Items items={state.items} open={setOpened} opened={opened} />
      )}
      {opened && (
        <Dialog title={opened.event || 'Refused request'} close={() => setOpened(undefined)}>
          <Opened item={opened} />
        </Dialog>
      )}
    </>
  )
}

function LiveSummary({ state, isPaused }: { state: LiveState; isPaused: boolean }) {
  const word = isPaused ? 'paused' : state.isOpen ? 'live' : 'connecting'
  return (
    <>
      <Status name={word === 'live' ? 'ok' : 'waiting'} label={word} />
      <span class="muted">
        {toCount(state.seen)} shown
        {state.skipped > 0 && `, ${toCount(state.skipped)} more passed and were left out`}
      </span>
    </>
  )
}

function Filters() {
  const { values } = route.value
  const timer = useRef<number | undefined>(undefined)
  const change = (form: HTMLFormElement) => {
    clearTimeout(timer.current)
    timer.current = setTimeout(() => {
      const entries = [...new FormData(form)].map(([name, value]) => [name, String(value).trim()])
      replaceValues(Object.fromEntries(entries))
    }, 300)
  }
  useEffect(() => () => clearTimeout(timer.current), [])
  return (
    <form
      class="filters"
      aria-label="Filter"
      onSubmit={(event) => event.preventDefault()}
      onInput={(event) => change(event.currentTarget)}
    >
      {filters.map((name) => (
        <Field label={name} key={name}>
          {name === 'contract' || name === 'outcome' ? (
            <select name={name} value={values[name] ?? ''}>
              <option value="">all</option>
              {(name === 'outcome' ? outcomes : (session.value?.contracts ?? [])).map((option) => (
                <option value={option} key={option}>
                  {toWords(option)}
                </option>
              ))}
            </select>
          ) : (
            <input
              name={name}
              defaultValue={values[name] ?? ''}
              autocomplete="off"
              spellcheck={false}
              placeholder={name === 'project' ? 'any' : 'any, or start*'}
            />
          )}
        </Field>
      ))}
    </form>
  )
}

type ItemsProps = {
  items: readonly ShownItem[]
  opened: ShownItem | undefined
  open(item: ShownItem): void
}

function Items({ items, open, opened }: ItemsProps) {
  // A row that was built is used again as it is: with hundreds of events a second it counts.
  const built = useRef(new WeakMap<ShownItem, VNode>())
  const toRow = (item: ShownItem) => {
    if (item.key === opened?.key) return <Item key={item.key} item={item} isOpen open={open} />
    const known = built.current.get(item)
    const row = known ?? <Item key={item.key} item={item} isOpen={false} open={open} />
    if (!known) built.current.set(item, row)
    return row
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard.
    <section class="table-box live" aria-label="Live events" tabIndex={0}>
      <table>
        <colgroup>
          {columns.map(([name, width]) => (
            <col key={name} style={{ width }} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {columns.map(([name]) => (
              <th scope="col" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{items.map(toRow)}</tbody>
      </table>
    </section>
  )
}

/** Fixed widths: a table that measures its cells would be laid out anew with each event. */
const columns = [
  ['Time', '112px'],
  ['Outcome', '116px'],
  ['Event', '168px'],
  ['distinct_id', '130px'],
  ['Project', '132px'],
  ['Contract', '94px'],
  ['Reason and what to do', 'auto'],
] as const

type ItemProps = { item: ShownItem; isOpen: boolean; open(item: ShownItem): void }

function Item({ item, isOpen, open }: ItemProps) {
  const { at_ms, outcome, event, distinct_id, project, contract, reason, hint, message } = item
  return (
    <tr class={`${outcome} ${isOpen ? 'open' : ''}`}>
      <td class="time">{toTime(at_ms)}</td>
      <td>
        <Status name={outcome} />
      </td>
      <td>
        <button type="button" class="link" onClick={() => open(item)}>
          {event || (item.events > 1 ? `${toCount(item.events)} events` : 'request')}
        </button>
        {reason && outcome !== 'duplicate' && <code class="narrow-only bad">{reason}</code>}
      </td>
      <td class="id" title={distinct_id}>
        {distinct_id}
      </td>
      <td class="id" title={project}>
        {project}
      </td>
      <td>{contract}</td>
      <td class="text" title={[message, hint].filter(Boolean).join(' ')}>
        {reason && <code>{reason}</code>} {hint ?? message}
      </td>
    </tr>
  )
}

function Opened({ item }: { item: LiveItem }) {
  const id = item.uuid ?? item.request_id
  return (
    <>
      <p class="muted">
        {item.path} from {item.client_ip}, request{' '}
        <a href={toHash('find', { id: item.request_id })}>
          <code>{item.request_id}</code>
        </a>
      </p>
      <Trace id={id} />
    </>
  )
}
