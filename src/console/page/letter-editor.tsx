import { useState } from 'preact/hooks'
import { type ApiError, post } from './api.ts'
import type { Letter, ResendResult } from './data.ts'
import { toDateTime } from './format.ts'
import { Code, Facts, Failure, Field, Sentence, Status, toPrettyJson } from './parts.tsx'
import { toError } from './poll.ts'
import { toHash } from './route.ts'

/** One dead letter: why it is one, and its event to correct and to send again. */
export function LetterEditor({ letter }: { letter: Letter }) {
  return (
    <>
      <div class="note bad">
        <p>
          <code>{letter.reason}</code>: {letter.detail}
        </p>
        <p>
          <Sentence text={letter.hint} />
        </p>
      </div>
      <Facts
        facts={[
          ['uuid', <code key="uuid">{letter.uuid}</code>],
          ['Project', letter.project || '–'],
          ['Contract', letter.contract],
          ['Stage', letter.stage],
          ['Received', toDateTime(letter.received_ms)],
          ['From', letter.client_ip],
        ]}
      />
      {!letter.resendable && (
        <p class="note">It cannot be sent again as it is: {letter.why_not ?? 'it is not whole.'}</p>
      )}
      {canBeEdited(letter) ? <Editor letter={letter} /> : <Code text={toPrettyJson(letter.raw)} />}
    </>
  )
}

/** A letter that was cut can be written anew. One that a sink left stands for an event that was accepted. */
const canBeEdited = ({ resendable, whole, stage }: Letter) =>
  resendable || (!whole && stage === 'normalise')

function Editor({ letter }: { letter: Letter }) {
  const [text, setText] = useState(toPrettyJson(letter.event ?? letter.raw))
  const [isBusy, setBusy] = useState(false)
  const [answer, setAnswer] = useState<Answer>({})
  const fault = toJsonFault(text)
  const send = async (dryRun: boolean) => {
    setBusy(true)
    try {
      const event = JSON.parse(text) as object
      const body = { uuid: letter.uuid, event, ...(dryRun && { dry_run: true }) }
      const { result } = await post<{ result: ResendResult }>('dead-letters/resend', body)
      setAnswer({ result })
    } catch (error) {
      setAnswer({ error: toError(error) })
    }
    setBusy(false)
  }
  const isOff = isBusy || fault !== undefined
  return (
    <>
      <Field label="The event, as JSON">
        <textarea
          class="editor"
          rows={Math.min(24, text.split('\n').length + 1)}
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          aria-invalid={fault !== undefined}
        />
      </Field>
      {fault !== undefined && (
        <p class="bad" role="alert">
          {fault}
        </p>
      )}
      <div class="bar">
        <button type="button" disabled={isOff} onClick={() => void send(true)}>
          Dry run
        </button>
        <button type="button" class="primary" disabled={isOff} onClick={() => void send(false)}>
          Send again
        </button>
        <span class="muted">An event that was stored already is not stored twice.</span>
      </div>
      <Failure error={answer.error} />
      {answer.result && <Outcome result={answer.result} />}
    </>
  )
}

type Answer = { result?: ResendResult; error?: ApiError }

function toJsonFault(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? undefined : 'An event is a JSON object: begin with { and end with }.'
  } catch (error) {
    return `This is not valid JSON: ${(error as Error).message}`
  }
}

function Outcome({ result }: { result: ResendResult }) {
  const { verdict, reason, message, event_uuid } = result
  return (
    <div class="note" role="status">
      <p>
        <Status name={verdict} />
        {reason && (
          <>
            {' '}
            <code>{reason}</code>
          </>
        )}
        {message && <>: {message}</>}
      </p>
      {event_uuid && !verdict.startsWith('would_') && (
        <p>
          <a href={toHash('find', { id: event_uuid })}>Follow the event</a>
        </p>
      )}
    </div>
  )
}
