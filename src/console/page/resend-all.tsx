import { useRef, useState } from 'preact/hooks'
import { ApiError, request } from './api.ts'
import type { ResendResult } from './data.ts'
import { toCount } from './format.ts'
import { Failure, Panel, Status, Table } from './parts.tsx'
import { toError } from './poll.ts'
import { readJsonLines } from './streams.ts'

type Progress = { type: 'progress'; done: number; total: number }
type End = { type: 'end'; total: number; dry_run: boolean } & Record<Verdict, number>
type Broken = { type: 'error'; error: string; detail: string }
type Line = Progress | End | Broken | ({ type: 'result' } & ResendResult)
const verdicts = ['stored', 'duplicate', 'rejected', 'skipped', 'failed'] as const
type Verdict = (typeof verdicts)[number]

type State = { progress?: Progress; end?: End; refused: ResendResult[]; error?: ApiError }
const refusedMax = 50

/** Sends all letters again that match the filter, after the fault is corrected. */
export function ResendAll({ filter, reload }: { filter: Record<string, string>; reload(): void }) {
  const [state, setState] = useState<State>({ refused: [] })
  const [isBusy, setBusy] = useState(false)
  const ending = useRef<AbortController | undefined>(undefined)
  const run = async (dryRun: boolean) => {
    const controller = new AbortController()
    ending.current = controller
    setBusy(true)
    setState({ refused: [] })
    try {
      const body = { ...filter, ...(dryRun && { dry_run: true }) }
      const { signal } = controller
      const response = await request('dead-letters/resend-all', { body, signal })
      for await (const line of readJsonLines<Line>(response))
        setState((last) => addLine(last, line))
    } catch (error) {
      if (!controller.signal.aborted) setState((last) => ({ ...last, error: toError(error) }))
    }
    setBusy(false)
    if (!dryRun) reload()
  }
  const { progress, end, refused, error } = state
  return (
    <Panel
      title="Send all of these again"
      actions={
        <>
          <button type="button" disabled={isBusy} onClick={() => void run(true)}>
            Dry run
          </button>
          <button type="button" class="primary" disabled={isBusy} onClick={() => void run(false)}>
            Send all again
          </button>
          {isBusy && (
            <button type="button" onClick={() => ending.current?.abort()}>
              Stop
            </button>
          )}
        </>
      }
    >
      <p class="muted">
        Correct the cause first, for example the projects file. Events that were stored already are
        not stored twice. A dry run stores nothing.
      </p>
      <Failure error={error} />
      {progress && !end && (
        <p role="status">
          {toCount(progress.done)} of {toCount(progress.total)}{' '}
          <progress value={progress.done} max={Math.max(1, progress.total)} aria-label="Progress" />
        </p>
      )}
      {end && <Summary end={end} />}
      {refused.length > 0 && <RefusedTable refused={refused} />}
    </Panel>
  )
}

function addLine(last: State, line: Line): State {
  if (line.type === 'progress') return { ...last, progress: line }
  if (line.type === 'end') return { ...last, end: line }
  if (line.type === 'error') return { ...last, error: new ApiError(line.error, line.detail) }
  const isFine = /^(?:would_be_)?(?:stored|duplicate)$/.test(line.verdict)
  if (isFine || last.refused.length >= refusedMax) return last
  return { ...last, refused: [...last.refused, line] }
}

function Summary({ end }: { end: End }) {
  return (
    <p role="status" class="note">
      {end.dry_run ? 'Dry run, nothing was stored: ' : 'Done: '}
      {toCount(end.total)} letters.{' '}
      {verdicts
        .filter((name) => end[name] > 0)
        .map((name) => (
          <span key={name} class="gap">
            <Status
              name={name}
              label={`${toCount(end[name])} ${end.dry_run ? `would be ${name}` : name}`}
            />
          </span>
        ))}
    </p>
  )
}

function RefusedTable({ refused }: { refused: ResendResult[] }) {
  return (
    <Table label="Letters that are refused again">
      <thead>
        <tr>
          <th scope="col">Letter</th>
          <th scope="col">Verdict</th>
          <th scope="col">Why</th>
        </tr>
      </thead>
      <tbody>
        {refused.map(({ uuid, verdict, reason, message }) => (
          <tr key={uuid}>
            <td>
              <code>{uuid}</code>
            </td>
            <td>
              <Status name={verdict} />
            </td>
            <td class="text">
              {reason && <code>{reason}</code>} {message}
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  )
}
