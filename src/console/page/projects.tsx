import { useRef, useState } from 'preact/hooks'
import { type ApiError, post } from './api.ts'
import type { ProjectsView, SettingView } from './data.ts'
import { toDateTime, toWords } from './format.ts'
import { Code, Empty, Failure, Field, Notes, Panel, Sentence, Table, toText } from './parts.tsx'
import { toError, usePolled } from './poll.ts'
import { session } from './session.ts'
import { Trace } from './trace.tsx'

/** How to send events here, which projects there are, and which settings are in force. */
export function Projects() {
  const { data, error, reload } = usePolled<ProjectsView>('projects', { everyMs: 10_000 })
  return (
    <>
      <TestEvent />
      <Failure error={error} retry={reload} />
      {data && (
        <>
          <Snippets snippets={data.snippets} />
          <ProjectList view={data} />
        </>
      )}
      <Settings />
    </>
  )
}

type Sent = { uuid: string; request_id: string; status: number }

/** Sends an event through the pipeline, and follows it to the sinks. */
function TestEvent() {
  const [sent, setSent] = useState<Sent | undefined>(undefined)
  const [error, setError] = useState<ApiError | undefined>(undefined)
  const [isBusy, setBusy] = useState(false)
  const send = async (contract: string) => {
    setBusy(true)
    setSent(undefined)
    setError(undefined)
    try {
      setSent(await post<Sent>('test-event', { contract }))
    } catch (failure) {
      setError(toError(failure))
    }
    setBusy(false)
  }
  return (
    <Panel title="Send a test event">
      <form
        class="bar"
        onSubmit={(event) => {
          event.preventDefault()
          void send(String(new FormData(event.currentTarget).get('contract')))
        }}
      >
        <Field label="Contract">
          <select name="contract">
            {(session.value?.contracts ?? []).map((name) => (
              <option value={name} key={name}>
                {name}
              </option>
            ))}
          </select>
        </Field>
        <button type="submit" class="primary" disabled={isBusy || !session.value}>
          Send a test event
        </button>
        <span class="muted">It takes the way of every event, and is stored.</span>
      </form>
      <Failure error={error} />
      {sent && <Trace id={sent.uuid} key={sent.uuid} />}
    </Panel>
  )
}

function Snippets({ snippets }: Pick<ProjectsView, 'snippets'>) {
  const [chosen, setChosen] = useState(0)
  const tabs = useRef<HTMLDivElement>(null)
  const snippet = snippets[chosen] ?? snippets[0]
  if (!snippet) return null
  const choose = (at: number) => {
    const next = (at + snippets.length) % snippets.length
    setChosen(next)
    tabs.current?.querySelectorAll('button')[next]?.focus()
  }
  return (
    <Panel title="Send events from your code">
      <div
        ref={tabs}
        class="tabs"
        role="tablist"
        aria-label="SDK"
        onKeyDown={({ key }) => {
          if (key === 'ArrowRight') choose(chosen + 1)
          if (key === 'ArrowLeft') choose(chosen - 1)
        }}
      >
        {snippets.map(({ contract, name }, at) => (
          <button
            type="button"
            role="tab"
            id={`tab-${at}`}
            aria-controls="snippet"
            aria-selected={snippets[at] === snippet}
            tabIndex={snippets[at] === snippet ? 0 : -1}
            onClick={() => setChosen(at)}
            key={`${contract} ${name}`}
          >
            {name}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="snippet" aria-labelledby={`tab-${snippets.indexOf(snippet)}`}>
        <Code text={snippet.code} />
      </div>
    </Panel>
  )
}

function ProjectList({ view }: { view: ProjectsView }) {
  const { file, loaded_ms, faults, projects, notes } = view
  return (
    <Panel title="Projects">
      <Notes notes={notes} />
      <p class="muted">
        {file === null
          ? 'Set PROJECTS_FILE to name projects, their tokens, keys, rates and quotas.'
          : `${file}, loaded ${toDateTime(loaded_ms)}`}
      </p>
      {faults.length > 0 && <Faults faults={faults} />}
      {projects.length > 0 && <ProjectTable projects={projects} />}
    </Panel>
  )
}

function Faults({ faults }: Pick<ProjectsView, 'faults'>) {
  return (
    <div class="note bad" role="alert">
      <p>The projects file has faults. The last version without faults is in force.</p>
      <ul>
        {faults.map(({ line, place, message }) => (
          <li key={`${line} ${place} ${message}`}>
            {line !== null && <b>line {line}: </b>}
            <code>{place}</code> {message}
          </li>
        ))}
      </ul>
    </div>
  )
}

function ProjectTable({ projects }: Pick<ProjectsView, 'projects'>) {
  return (
    <Table label="Projects" className="plain">
      <thead>
        <tr>
          {projectColumns.map((name) => (
            <th scope="col" key={name}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {projects.map((project) => (
          <tr key={project.id}>
            <th scope="row">{project.id}</th>
            <td class="value">{project.tokens.join('\n') || '–'}</td>
            <td>{project.requires_key ? `${project.api_keys}, required` : project.api_keys}</td>
            <td class="value">{project.origins?.join('\n') ?? 'any'}</td>
            <td>{toRate(project.rate)}</td>
            <td class="value">{toQuotas(project.quotas)}</td>
            <td class="value">{toEnrichment(project)}</td>
            <td class="value">{toRemoved(project)}</td>
            <td class="value">{project.apps.join('\n') || '–'}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  )
}

const projectColumns = [
  ...['Project', 'Tokens', 'API keys', 'Origins', 'Rate', 'Quotas'],
  ...['Filled in', 'Removed', 'Apps'],
]

type ProjectView = ProjectsView['projects'][number]

const toRate = (rate: ProjectView['rate']) =>
  rate === null ? '–' : `${rate.per_second}/s, burst ${rate.burst}`

const toEnrichment = ({ enrich, bots }: ProjectView) =>
  enrich.map((part) => (part === 'bots' ? `bots: ${bots}` : part)).join('\n') || '–'

const toRemoved = ({ ip, drop_properties: dropped }: ProjectView) =>
  [...(ip === 'keep' ? [] : [`addresses: ${ip}`]), ...dropped].join('\n') || '–'

const toQuotas = (quotas: Record<string, unknown>) =>
  Object.entries(quotas)
    .map(([name, value]) => `${toWords(name)} ${toText(value)}`)
    .join('\n') || '–'

function Settings() {
  const { data, error, reload } = usePolled<{ settings: SettingView[] }>('settings')
  const [text, setText] = useState('')
  const [isChanged, setChanged] = useState(false)
  if (!data) return <Failure error={error} retry={reload} />
  const wanted = text.trim().toLowerCase()
  const shown = data.settings.filter(
    ({ name, description, is_default }) =>
      (!isChanged || !is_default) && `${name} ${description}`.toLowerCase().includes(wanted),
  )
  return (
    <Panel
      title="Settings"
      actions={
        <>
          <label class="check">
            <input
              type="checkbox"
              checked={isChanged}
              onChange={(event) => setChanged(event.currentTarget.checked)}
            />
            Only what differs from the default
          </label>
          <input
            type="search"
            aria-label="Find a setting"
            placeholder="Find a setting"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </>
      }
    >
      {shown.length === 0 ? (
        <Empty title="No setting matches." />
      ) : (
        <SettingTable settings={shown} />
      )}
    </Panel>
  )
}

function SettingTable({ settings }: { settings: SettingView[] }) {
  return (
    <Table label="Settings" className="tall">
      <thead>
        <tr>
          <th scope="col">Setting</th>
          <th scope="col">Value</th>
          <th scope="col">Default</th>
          <th scope="col">Meaning</th>
        </tr>
      </thead>
      <tbody>
        {settings.map(({ name, value, default: usual, is_default, description }) => (
          <tr key={name}>
            <th scope="row">
              <code>{name}</code>
            </th>
            <td class="value">
              {is_default ? toSettingText(value) : <b>{toSettingText(value)}</b>}
            </td>
            <td class="value muted">{toSettingText(usual)}</td>
            <td class="text">
              <Sentence text={description} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  )
}

const toSettingText = (value: unknown) =>
  value === null || value === undefined || (Array.isArray(value) && value.length === 0)
    ? '–'
    : Array.isArray(value)
      ? value.join(', ')
      : toText(value)
