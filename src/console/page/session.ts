import { signal } from '@preact/signals'
import { type ApiError, get } from './api.ts'
import type { Session } from './data.ts'
import { toError } from './poll.ts'

/** What the server says of itself. Undefined until it has answered. */
export const session = signal<Session | undefined>(undefined)
export const sessionError = signal<ApiError | undefined>(undefined)

export async function loadSession(): Promise<void> {
  try {
    session.value = await get<Session>('session')
    sessionError.value = undefined
  } catch (error) {
    sessionError.value = toError(error)
  }
}
