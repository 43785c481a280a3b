import { signal } from '@preact/signals'
import { type ApiError, get, isLocked } from './api.ts'
import type { Session } from './data.ts'
import { toError } from './poll.ts'

/** The server's description of itself. Undefined until it has answered. */
export const session = signal<Session | undefined>(undefined)
export const sessionError = signal<ApiError | undefined>(undefined)

const retryMs = 2000

export async function loadSession(): Promise<void> {
  try {
    session.value = await get<Session>('session')
    sessionError.value = undefined
  } catch (error) {
    sessionError.value = toError(error)
    // A server that starts again answers a moment later. A locked one waits for the token.
    if (!isLocked.value) setTimeout(() => void loadSession(), retryMs)
  }
}
