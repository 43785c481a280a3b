import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { ApiError } from './api.ts'
import { toWords } from './format.ts'

/** A titled section. `actions` stand at the right of the title. */
export function Panel({ title, actions, children, id }: PanelProps) {
  return (
    <section class="panel" aria-label={title} id={id}>
      <header class="panel-head">
        <h2>{title}</h2>
        {actions && <div class="actions">{actions}</div>}
      </header>
      {children}
    </section>
  )
}

type PanelProps = {
  title: string
  actions?: ComponentChildren
  children: ComponentChildren
  id?: string
}

type Tone = 'good' | 'warn' | 'bad' | 'calm'

const tones: Record<string, Tone> = {
  stored: 'good',
  done: 'good',
  healthy: 'good',
  would_be_stored: 'good',
  ok: 'good',
  duplicate: 'calm',
  would_be_duplicate: 'calm',
  skipped: 'calm',
  off: 'calm',
  unknown: 'calm',
  waiting: 'warn',
  quota_dropped: 'warn',
  limited: 'warn',
  would_be_limited: 'warn',
  rejected: 'bad',
  refused: 'bad',
  failed: 'bad',
  unhealthy: 'bad',
  would_be_rejected: 'bad',
}

const signs: Record<Tone, string> = { good: '●', warn: '▲', bad: '✕', calm: '○' }

/** A state as sign, word and colour. */
export function Status({ name, label }: { name: string; label?: string | undefined }) {
  const tone = tones[name] ?? 'calm'
  return (
    <span class={`status ${tone}`}>
      <span aria-hidden="true">{signs[tone]}</span> {label ?? toWords(name)}
    </span>
  )
}

export function Notes({ notes }: { notes: readonly string[] | undefined }) {
  if (!notes || notes.length === 0) return null
  return (
    <div class="note" role="status">
      {notes.map((note) => (
        <p key={note}>
          <Sentence text={note} />
        </p>
      ))}
    </div>
  )
}

export function Failure({ error, retry }: { error: ApiError | undefined; retry?: () => void }) {
  if (!error || error.code === 'console_locked') return null
  return (
    <div class="note bad" role="alert">
      <p>
        <Sentence text={error.message} />
      </p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  )
}

/** Stands in the place of an empty list, and says what to do. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  )
}

export function FirstEvent({ title, url }: { title: string; url: string }) {
  return (
    <Empty title={title}>
      <p>Send a first event, and watch it arrive:</p>
      <Code text={toFirstEvent(url)} />
    </Empty>
  )
}

const toFirstEvent = (url: string) =>
  `curl -s ${url}/e/ -H 'Content-Type: application/json' -d '{
  "event": "signed_up",
  "distinct_id": "user-1",
  "properties": { "token": "phc_my_project", "plan": "scale" }
}'`

/** Text of fixed width with a button that copies it. */
export function Code({ text, label }: { text: string; label?: string }) {
  return (
    <div class="code">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard. */}
      <pre tabIndex={0}>{text}</pre>
      <Copy text={text} label={label ?? 'Copy'} />
    </div>
  )
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [isDone, setDone] = useState(false)
  useEffect(() => {
    if (!isDone) return
    const timer = setTimeout(() => setDone(false), 1500)
    return () => clearTimeout(timer)
  }, [isDone])
  return (
    <button
      type="button"
      class="small"
      onClick={() => void copyText(text).then(() => setDone(true))}
    >
      {isDone ? 'Copied' : label}
    </button>
  )
}

/** The clipboard API needs a secure context; a console on a local network has none. */
async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = document.createElement('textarea')
  area.value = text
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}

/** A box of its own, above the page: closes with Escape and gives the focus back. */
export function Dialog({ title, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const closing = useRef(close)
  closing.current = close
  useEffect(() => {
    const element = dialog.current
    if (!element) return
    element.showModal()
    // Not as a property: it would also run after the page has moved on, and change its address.
    const end = () => closing.current()
    element.addEventListener('close', end)
    return () => {
      element.removeEventListener('close', end)
      element.close()
    }
  }, [])
  return (
    <dialog ref={dialog} class="drawer" aria-label={title}>
      <header class="drawer-head">
        <h2>{title}</h2>
        <button type="button" class="small" onClick={close}>
          Close
        </button>
      </header>
      <div class="drawer-body">{children}</div>
    </dialog>
  )
}

type DialogProps = { title: string; close(): void; children: ComponentChildren }

/** A table in a box that scrolls by itself, reachable by keyboard. */
export function Table({ label, children, className = '' }: TableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard.
    <section class={`table-box ${className}`} aria-label={label} tabIndex={0}>
      <table>{children}</table>
    </section>
  )
}

type TableProps = { label: string; children: ComponentChildren; className?: string }

export function Field({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is a child.
    <label class="field">
      <span>{label}</span>
      {children}
    </label>
  )
}

/** Names and values, such as the columns of a row. Values are shown as text. */
export function Facts({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

/** A sentence whose `names` in backticks are code. */
export function Sentence({ text }: { text: string }) {
  const parts = text.split('`')
  return <>{parts.map((part, at) => (at % 2 === 1 ? <code key={part}>{part}</code> : part))}</>
}

export const toText = (value: unknown): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? '')

/** A JSON text with line breaks, if it is one. */
export function toPrettyJson(value: unknown): string {
  try {
    const read = typeof value === 'string' ? JSON.parse(value) : value
    return JSON.stringify(read, null, 2)
  } catch {
    return toText(value)
  }
}
