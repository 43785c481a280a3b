import { useEffect, useState } from 'preact/hooks'
import { type ApiError, post, request } from './api.ts'
import type { QueryReply } from './data.ts'
import { toBytes, toCount, toDuration } from './format.ts'
import { Empty, Failure, Field, Panel, Table, toText } from './parts.tsx'
import { toError, usePolled } from './poll.ts'
import { QueryPlot } from './query-plot.tsx'
import { session } from './session.ts'

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
  const during = async (work: () => Promise<Answer | undefined>) => {
    setBusy(true)
    try {
      const made = await work()
      if (made) setAnswer(made)
    } catch (error) {
      setAnswer({ error: toError(error) })
    }
    setBusy(false)
  }
  const run = () =>
    during(async () => ({ reply: await post<QueryReply>('query', { sql, format: 'JSON' }) }))
  const load = (format: string) => during(() => download(sql, format))
  return (
    <>
      <Panel title="SQL" actions={<ReadyQueries ready={ready} choose={setSql} />}>
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
          <span class="muted">{isBusy ? 'Running …' : 'Ctrl+Enter runs the query.'}</span>
        </div>
      </Panel>
      <Failure error={answer.error} />
      {answer.reply && <Result reply={answer.reply} />}
    </>
  )
}

/** The reply goes to the browser's downloads. A link could not carry the token. */
async function download(sql: string, format: string): Promise<undefined> {
  const response = await request('query', { body: { sql, format } })
  const url = URL.createObjectURL(await response.blob())
  const link = document.createElement('a')
  link.href = url
  link.download = format === 'Parquet' ? 'spillway.parquet' : 'spillway.csv'
  link.click()
  // The download reads the blob after this task.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

function ReadyQueries({ ready, choose }: { ready: Ready[]; choose(sql: string): void }) {
  return (
    <Field label="Ready queries">
      <select
        onChange={(event) => choose(ready[event.currentTarget.selectedIndex]?.sql ?? '')}
        disabled={ready.length === 0}
      >
        {ready.map(({ name }) => (
          <option key={name}>{name}</option>
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
