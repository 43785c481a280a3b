/** Two marks closer than this are one: the age of a backlog need not be known better. */
const stepMsMin = 1000
/** With this many marks every other one goes: a backlog of days is known to the minute. */
const marksMax = 4096

type Mark = { offset: number; receivedMs: number }

/** Knows roughly when the oldest record left was received, without reading it. */
export type AgeIndex = {
  note(offset: number, receivedMs: number): void
  /** Received time of the first record at or after `offset`, within a step and never too young. */
  oldestMs(offset: number): number | undefined
}

export function createAgeIndex(): AgeIndex {
  let marks: Mark[] = []
  let stepMs = stepMsMin
  return {
    note(offset, receivedMs) {
      const last = marks.at(-1)
      if (last && receivedMs < last.receivedMs + stepMs) return
      marks.push({ offset, receivedMs })
      if (marks.length < marksMax) return
      marks = marks.filter((_, index) => index % 2 === 0)
      stepMs *= 2
    },
    oldestMs(offset) {
      const later = marks.findIndex((mark) => mark.offset > offset)
      const index = later === -1 ? marks.length - 1 : Math.max(0, later - 1)
      marks = marks.slice(Math.max(0, index))
      if (marks.length < marksMax / 4) stepMs = stepMsMin
      return marks[0]?.receivedMs
    },
  }
}
