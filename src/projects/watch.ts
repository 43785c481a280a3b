import { readFile, stat } from 'node:fs/promises'

/**
 * Calls `onText` with a file's text when it has changed and then rested from one look to the next. Editors write in
 * place, rename a new file over the old one, or swing a symbolic link: looking at it finds them all, and the rest keeps
 * a half written file from being read. `onError` is told once when it cannot be read.
 */
export function watchFile({ path, everyMs, seen, onText, onError }: WatchOptions): Watch {
  let known = seen
  let candidate: string | undefined
  let isMissing = false

  async function look(): Promise<void> {
    const mark = toMark(await stat(path))
    isMissing = false
    if (mark !== known && mark === candidate) {
      const text = await readFile(path, 'utf8')
      known = mark
      onText(text)
    }
    candidate = mark
  }

  const timer = setInterval(() => {
    look().catch((error) => {
      if (!isMissing) onError(error)
      isMissing = true
      candidate = undefined
    })
  }, everyMs)
  timer.unref()
  return { close: () => clearInterval(timer) }
}

export type WatchOptions = {
  path: string
  everyMs: number
  /** The mark of the text that is in use. */
  seen: string
  onText: (text: string) => void
  onError: (error: unknown) => void
}

export type Watch = { close(): void }

/** Tells one state of a file from another, without reading it. */
export function toMark({ ino, size, mtimeMs, ctimeMs }: FileState): string {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`
}

type FileState = { ino: number; size: number; mtimeMs: number; ctimeMs: number }
