/**
 * Counts the bytes that large requests leave behind, and has the garbage collected each time they come to `everyBytes`.
 * The collector paces itself by the size of the heap, and the table of markers makes that look large: left to
 * itself, it lets as much garbage gather again.
 */
export function createSweep({ everyBytes, collect }: SweepParts): (bytes: number) => void {
  let left = 0
  return (bytes) => {
    if (bytes < largeBytesMin) return
    left += bytes
    if (left < everyBytes) return
    left = 0
    collect()
  }
}

export type SweepParts = { everyBytes: number; collect(): void }

/** Bodies of some 200 KB: what is smaller dies young, and a full collection would cost batches of SDKs more than it gains. */
const largeBytesMin = 1024 * 1024
