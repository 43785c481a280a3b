import { signal } from '@preact/signals'
import { type ApiError, get, isLocked, token } from './api.ts'
import type { Session } from './data.ts'
import { toError } from './poll.ts'

/** The server's description of itself. Undefined until it has answered. */
export const session = signal<Session | undefined>(undefined)
export const sessionError = signal<ApiError | undefined>(undefined)

const retryMs = 2000

let retryTimer: number | undefined

/** A reply to an earlier token is ignored: each new token loads again. */
export async function loadSession(): Promise<void> {
  clearTimeout(retryTimer)
  if (isLocked.value) return
  const sentToken = token.value
  try {
    const read = await get<Session>('session')
    if (token.value !== sentToken) return
    session.value = read
    sessionError.value = undefined
  } catch (error) {
    if (token.value !== sentToken) return
    sessionError.value = toError(error)
    clearTimeout(retryTimer)
    // A server that starts again answers a moment later. A locked one waits for the token.
    if (!isLocked.value) retryTimer = setTimeout(() => void loadSession(), retryMs)
  }
}
