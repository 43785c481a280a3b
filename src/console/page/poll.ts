import { useCallback, useEffect, useState } from 'preact/hooks'
import { ApiError, get, isLocked, token, toUrl } from './api.ts'

export type Polled<T> = { data: T | undefined; error: ApiError | undefined; reload(): void }

type PollOptions = {
  values?: Record<string, string | number | undefined>
  /** Undefined: once. */
  everyMs?: number | undefined
}

/**
 * Reads a data route, and again after `everyMs` while the tab is visible. `path` undefined: not at
 * all. After an error the last data stays on the screen, beside the error.
 */
export function usePolled<T>(path: string | undefined, options: PollOptions = {}): Polled<T> {
  const { values, everyMs } = options
  const url = path === undefined ? undefined : toUrl(path, values)
  const [read, setRead] = useState<{ url?: string; data?: T; error?: ApiError }>({})
  const [turn, setTurn] = useState(0)
  const isOpen = !isLocked.value
  const bearer = token.value

  // A new token or a reload reads again.
  useEffect(() => {
    if (path === undefined || url === undefined || !isOpen) return
    const ending = new AbortController()
    let timer: number | undefined
    const next = () => {
      if (!everyMs || ending.signal.aborted) return
      timer = setTimeout(() => (document.hidden ? next() : void load()), everyMs)
    }
    const load = async () => {
      try {
        const data = await get<T>(path, values, ending.signal)
        setRead({ url, data })
      } catch (error) {
        if (ending.signal.aborted) return
        setRead((last) => ({ ...(last.url === url ? last : { url }), error: toError(error) }))
      }
      next()
    }
    void load()
    return () => {
      ending.abort()
      clearTimeout(timer)
    }
  }, [url, everyMs, turn, isOpen, bearer])

  const reload = useCallback(() => setTurn((count) => count + 1), [])
  const isCurrent = read.url === url
  return {
    data: isCurrent ? read.data : undefined,
    error: isCurrent ? read.error : undefined,
    reload,
  }
}

export const toError = (error: unknown): ApiError =>
  error instanceof ApiError ? error : new ApiError('unexpected', String(error))
