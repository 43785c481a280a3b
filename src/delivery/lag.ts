import type { Clock } from '../core/clock.ts'

/** How long the oldest record that a sink lacks has been waiting. */
export type LagClock = {
  /** Records below `endOffset` are committed now. */
  committed(endOffset: number): void
  /** Milliseconds, too much by the time between two marks at most; 0 if every record is taken. */
  lagMs(cursor: number): number
}

type Mark = { endOffset: number; sinceMs: number }

/** When the list is full, pairs of marks become one: the answer is then too large by the gap between them. */
const marksMax = 2048
const markMs = 1000

/** Keeps one mark a second at most. `endOffset`: records that the start found count as committed at the start. */
export function createLagClock({ endOffset, now }: { endOffset: number; now: Clock }): LagClock {
  let marks: Mark[] = [{ endOffset, sinceMs: now() }]
  return {
    committed(end) {
      const last = marks.at(-1)!
      if (now() - last.sinceMs < markMs) {
        last.endOffset = end
        return
      }
      marks.push({ endOffset: end, sinceMs: now() })
      if (marks.length > marksMax) marks = toHalf(marks)
    },
    lagMs(cursor) {
      const oldest = marks.find((mark) => mark.endOffset > cursor)
      return oldest === undefined ? 0 : Math.max(0, now() - oldest.sinceMs)
    },
  }
}

/** A joined mark has the earlier time and the later end. The last one keeps its own time. */
function toHalf(marks: readonly Mark[]): Mark[] {
  const half: Mark[] = []
  for (let at = 0; at < marks.length; at += 2) {
    const { endOffset } = marks[at + 1] ?? marks[at]!
    half.push({ endOffset, sinceMs: marks[at]!.sinceMs })
  }
  return half
}
