import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, request } from './api.ts'
import type { QueryReply } from './data.ts'
import { toBytes, toCount, toDuration } from './format.ts'
import { Empty, Failure, Field, Panel, Table, toText } from './parts.tsx'
import { toError, usePolled } from './poll.ts'
import { QueryPlot } from './query-plot.tsx'
import { session } from './session.ts'
import { readText } from './streams.ts'

type Ready = { name: string; sql: string }
type Answer = { reply?: QueryReply; error?: ApiError }

const rowsShownMax = 500

/** SQL over the embedded ClickHouse. */
export function Queries() {
  const { data, error, reload } = usePolled<{ queries: Ready[] }>(
    session.value?.can_query ? 'queries' : undefined,
  )
  if (session.value && !session.value.can_query) return <Elsewhere url={session.value.query_url} />
  if (!data) return <Failure error={error} retry={reload} />
  return <Desk ready={data.queries} />
}

function Elsewhere({ url }: { url: string | null }) {
  return (
    <Empty title="Queries run on your own ClickHouse.">
      {url === null ? (
        <p>This server does not know an address for queries. Ask your ClickHouse directly.</p>
      ) : (
        <p>
          Open <a href={url}>{url}</a>, or use any client of ClickHouse.
        </p>
      )}
    </Empty>
  )
}

function Desk({ ready }: { ready: Ready[] }) {
  const [sql, setSql] = useState(ready[0]?.sql ?? 'SELECT * FROM events LIMIT 10')
  const [isBusy, setBusy] = useState(false)
  const [answer, setAnswer] = useState<Answer>({})
  const ending = useRef<AbortController | undefined>(undefined)
  const during = async (work: (signal: AbortSignal) => Promise<Answer | undefined>) => {
    const controller = new AbortController()
    ending.current = controller
    setBusy(true)
    try {
      const made = await work(controller.signal)
      if (made) setAnswer(made)
    } catch (error) {
      if (!controller.signal.aborted) setAnswer({ error: toError(error) })
    }
    setBusy(false)
  }
  const run = () => during(async (signal) => ({ reply: await ask(sql, signal) }))
  const load = (format: string) => during((signal) => download({ sql, format }, signal))
  return (
    <>
      <Panel title="SQL" actions={<ReadyQueries ready={ready} sql={sql} choose={setSql} />}>
        <textarea
          class="editor"
          aria-label="Query"
          rows={Math.max(7, Math.min(20, sql.split('\n').length + 1))}
          spellcheck={false}
          value={sql}
          onInput={(event) => setSql(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void run()
          }}
        />
        <div class="bar">
          <button type="button" class="primary" disabled={isBusy} onClick={() => void run()}>
            Run
          </button>
          <button type="button" disabled={isBusy} onClick={() => void load('CSVWithNames')}>
            Download CSV
          </button>
          <button type="button" disabled={isBusy} onClick={() => void load('Parquet')}>
            Download Parquet
          </button>
          {isBusy ? (
            <button type="button" onClick={() => ending.current?.abort()}>
              Stop
            </button>
          ) : (
            <span class="muted">Ctrl+Enter runs the query.</span>
          )}
        </div>
      </Panel>
      <Failure error={answer.error} />
      {answer.reply && <Result reply={answer.reply} />}
    </>
  )
}

/** Beyond this a browser would stand still. A download has no limit. */
const replyBytesMax = 32 * 1024 * 1024

async function ask(sql: string, signal: AbortSignal): Promise<QueryReply> {
  const response = await request('query', { body: { sql, format: 'JSON' }, signal })
  const text = await readText(response, replyBytesMax)
  if (text === undefined)
    throw new ApiError(
      'too_large',
      'The result is larger than 32 MiB: add a LIMIT, or download it.',
    )
  try {
    return JSON.parse(text) as QueryReply
  } catch {
    throw new ApiError('no_json', 'The result is no JSON: remove FORMAT from the query.')
  }
}

type Download = { sql: string; format: string }

/** The reply goes to the browser's downloads. A link could not carry the token. */
async function download(body: Download, signal: AbortSignal): Promise<undefined> {
  const { format } = body
  const response = await request('query', { body, signal })
  const url = URL.createObjectURL(await response.blob())
  const link = document.createElement('a')
  link.href = url
  link.download = format === 'Parquet' ? 'spillway.parquet' : 'spillway.csv'
  link.click()
  // The download reads the blob after this task.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

type ReadyProps = { ready: Ready[]; sql: string; choose(sql: string): void }

function ReadyQueries({ ready, sql, choose }: ReadyProps) {
  return (
    <Field label="Ready queries">
      <select value={sql} onChange={(event) => choose(event.currentTarget.value)}>
        {!ready.some((one) => one.sql === sql) && <option value={sql}>Your own query</option>}
        {ready.map((one) => (
          <option value={one.sql} key={one.name}>
            {one.name}
          </option>
        ))}
      </select>
    </Field>
  )
}

function Result({ reply }: { reply: QueryReply }) {
  const { meta, data, rows, statistics } = reply
  const [isPlot, setPlot] = useState(false)
  // A new result is shown as a table first.
  useEffect(() => setPlot(false), [reply])
  const took =
    statistics &&
    `${toDuration(statistics.elapsed * 1000)}, ${toCount(statistics.rows_read)} rows and ${toBytes(statistics.bytes_read)} read`
  const shown = data.slice(0, rowsShownMax)
  return (
    <Panel
      title={`${toCount(rows)} ${rows === 1 ? 'row' : 'rows'}`}
      actions={
        <>
          <span class="muted">{took}</span>
          <button type="button" aria-pressed={!isPlot} onClick={() => setPlot(false)}>
            Table
          </button>
          <button type="button" aria-pressed={isPlot} onClick={() => setPlot(true)}>
            Plot
          </button>
        </>
      }
    >
      {isPlot ? <QueryPlot reply={reply} /> : <ResultTable meta={meta} rows={shown} />}
      {!isPlot && data.length > shown.length && (
        <p class="muted">The first {toCount(rowsShownMax)} rows are shown; a download has all.</p>
      )}
    </Panel>
  )
}

type ResultTableProps = { meta: QueryReply['meta']; rows: QueryReply['data'] }

function ResultTable({ meta, rows }: ResultTableProps) {
  if (rows.length === 0) return <Empty title="The query has no rows. Widen its WHERE." />
  return (
    <Table label="Result" className="tall">
      <thead>
        <tr>
          {meta.map(({ name, type }) => (
            <th scope="col" key={name} title={type} class={isNumber(type) ? 'number' : ''}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, at) => (
          // Rows of a result have no identity.
          <tr key={at}>
            {meta.map(({ name, type }) => (
              <td key={name} class={isNumber(type) ? 'number' : 'cell'} title={toText(row[name])}>
                {toText(row[name])}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </Table>
  )
}

const isNumber = (type: string) => /^(?:Nullable\()?(?:U?Int|Float|Decimal)/.test(type)
