import { type CodeCounts, statusOf } from '../core/errors.ts'
import type { Rejection } from '../core/event.ts'
import { deadLettersMax } from '../core/limits.ts'
import type { Normalised } from '../core/protocol.ts'

/** A rejection to store, and the id of its project. */
export type DeadLetter = { rejection: Rejection; project: string }

/**
 * The dead letters of a request: the first 100 rejections, and one that counts the others by code.
 * A request of 60,000 bad events must not become 60,000 records. An event whose sender is refused
 * leaves none: else anyone could store as much as the server takes.
 */
export function toDeadLetters(
  { rejections, moreRejected = {} }: Normalised,
  project: string,
): readonly DeadLetter[] {
  if (rejections.length === 0) return none
  const stored = rejections.filter(({ code }) => !isOfSender(code))
  const letters = stored
    .slice(0, deadLettersMax)
    .map((rejection) => ({ rejection, project: rejection.project ?? project }))
  const others = { ...moreRejected }
  for (const { code } of stored.slice(deadLettersMax)) others[code] = (others[code] ?? 0) + 1
  const count = Object.values(others).reduce((sum, events) => sum + events, 0)
  if (count === 0) return letters
  const next = stored[deadLettersMax]
  const message = `${count} more events of this request were rejected; raw counts them by code`
  const rejection = {
    index: next?.index ?? (letters.at(-1)?.rejection.index ?? -1) + 1,
    code: 'more_rejected' as const,
    message,
    raw: others,
  }
  return [...letters, { rejection, project: next?.project ?? project }]
}

const none: readonly DeadLetter[] = []

/** Whether the sender was refused (401, 403, 429), and not the content of the event. */
const isOfSender = (code: keyof CodeCounts) => [401, 403, 429].includes(statusOf[code])
