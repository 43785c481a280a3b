import { readFile, stat } from 'node:fs/promises'

/**
 * Gives a function that looks at a file, to be called now and then. It hands on the text when the file has changed and
 * then rested from one look to the next. Editors write in place, rename a new file over the old one, or swing a symbolic
 * link: looks find them all, and the rest keeps a half written file from being read. That the file cannot be read is told
 * once.
 */
export function createLook({ path, seen, onText, onError }: LookOptions): () => Promise<void> {
  let known = seen
  let candidate: string | undefined
  let isUnreadable = false
  let isLooking = false

  async function look(): Promise<void> {
    const mark = toMark(await stat(path))
    isUnreadable = false
    const hasRested = mark === candidate
    candidate = mark
    if (mark === known || !hasRested) return
    const text = await readFile(path, 'utf8')
    known = mark
    onText(text)
  }

  return async () => {
    if (isLooking) return
    isLooking = true
    try {
      await look()
    } catch (error) {
      if (!isUnreadable) onError(error)
      isUnreadable = true
      candidate = undefined
    }
    isLooking = false
  }
}

export type LookOptions = {
  path: string
  /** The mark of the text that is in use. */
  seen: string
  onText: (text: string) => void
  onError: (error: unknown) => void
}

/** Tells one state of a file from another, without reading it. */
export function toMark({ ino, size, mtimeMs, ctimeMs }: FileState): string {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`
}

type FileState = { ino: number; size: number; mtimeMs: number; ctimeMs: number }
