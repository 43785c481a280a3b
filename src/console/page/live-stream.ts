import { useEffect, useState } from 'preact/hooks'
import { type ApiError, isLocked, request, token } from './api.ts'
import type { LiveItem } from './data.ts'
import { toError } from './poll.ts'
import { readMessages } from './streams.ts'

export type ShownItem = LiveItem & { key: number }

export type LiveState = {
  /** Newest first. */
  items: readonly ShownItem[]
  seen: number
  /** Events that matched, and that the server or this page left out. */
  skipped: number
  isOpen: boolean
  error: ApiError | undefined
  reconnect(): void
}

/** More rows would slow the page, and the eye does not reach them. */
const itemsMax = 80
/**
 * Of one message, four of which come in a second. Measured with 500 events a second on two busy cores: with 100 rows of a
 * message the longest task of the page took 850 ms, with 20 rows of fixed widths 62 ms.
 */
const freshMax = 20
const retryMs = 2000

const nothing = {
  items: [] as readonly ShownItem[],
  seen: 0,
  skipped: 0,
  isOpen: false,
  error: undefined as ApiError | undefined,
}

/** Listens while it is not paused and the tab is visible, so that a forgotten tab costs nothing. */
export function useLive(values: Record<string, string>, isPaused: boolean): LiveState {
  const [state, setState] = useState(nothing)
  const [turn, setTurn] = useState(0)
  const isVisible = useVisible()
  const filter = JSON.stringify(values)
  const isListening = isVisible && !isPaused && !isLocked.value

  // Another filter starts with an empty list.
  useEffect(() => setState(nothing), [filter])
  // `filter` is the text of `values`.
  useEffect(() => {
    if (!isListening) return
    const ending = new AbortController()
    let timer: number | undefined
    const { signal } = ending
    const listen = async () => {
      try {
        const response = await request('live', { values, signal })
        setState((last) => ({ ...last, isOpen: true, error: undefined }))
        for await (const { event, data } of readMessages(response))
          if (event === 'events') setState((last) => add(last, data as Batch))
      } catch (error) {
        if (!signal.aborted) setState((last) => ({ ...last, error: toError(error) }))
      }
      if (signal.aborted) return
      setState((last) => ({ ...last, isOpen: false }))
      timer = setTimeout(() => void listen(), retryMs)
    }
    void listen()
    return () => {
      ending.abort()
      clearTimeout(timer)
    }
  }, [filter, isListening, turn, token.value])
  return { ...state, reconnect: () => setTurn((count) => count + 1) }
}

type Batch = { events: LiveItem[]; skipped: number }

/** If there are too many: first of all what was not stored, then the newest ones. */
function choose(events: LiveItem[]): LiveItem[] {
  if (events.length <= freshMax) return events
  const isFine = ({ outcome }: LiveItem) => outcome === 'stored' || outcome === 'duplicate'
  const kept = new Set(events.filter((event) => !isFine(event)).slice(-freshMax))
  for (let at = events.length - 1; kept.size < freshMax && at >= 0; at -= 1) kept.add(events[at]!)
  return events.filter((event) => kept.has(event))
}

/** `seq` of the server begins again with each connection. */
let itemCount = 0

function add(last: typeof nothing, { events, skipped }: Batch): typeof nothing {
  const shown = choose(events)
  const fresh = shown.map((event) => {
    itemCount += 1
    return { ...event, key: itemCount }
  })
  const items = [...fresh.reverse(), ...last.items].slice(0, itemsMax)
  const left = skipped + events.length - shown.length
  return { ...last, items, seen: last.seen + shown.length, skipped: last.skipped + left }
}

function useVisible(): boolean {
  const [isVisible, setVisible] = useState(!document.hidden)
  useEffect(() => {
    const change = () => setVisible(!document.hidden)
    document.addEventListener('visibilitychange', change)
    return () => document.removeEventListener('visibilitychange', change)
  }, [])
  return isVisible
}
