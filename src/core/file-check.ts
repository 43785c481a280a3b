import { stat } from 'node:fs/promises'

/**
 * Creates a function that checks a file; call it at an interval. It passes the content on after the
 * file changed and then stayed the same between two checks, so that a half-written file is not
 * read. It detects a write in place, a rename over the file, and a changed symbolic link. A file
 * that cannot be read is reported once.
 */
export function createFileCheck<Content>({
  path,
  seen,
  read,
  onContent,
  onError,
}: FileCheckOptions<Content>): () => Promise<void> {
  let known = seen
  let candidate: string | undefined
  let isUnreadable = false
  let isChecking = false

  async function check(): Promise<void> {
    const mark = toMark(await stat(path))
    const hasRested = mark === candidate
    candidate = mark
    if (mark !== known && !hasRested) return
    const content = mark === known ? undefined : await read(path)
    isUnreadable = false
    if (content === undefined) return
    known = mark
    onContent(content)
  }

  return async () => {
    if (isChecking) return
    isChecking = true
    try {
      await check()
    } catch (error) {
      if (!isUnreadable) onError(error)
      isUnreadable = true
      candidate = undefined
    }
    isChecking = false
  }
}

export type FileCheckOptions<Content> = {
  path: string
  /** The mark of the content that is in use. */
  seen: string
  read: (path: string) => Promise<Content>
  onContent: (content: Content) => void
  onError: (error: unknown) => void
}

/** Identifies the state of a file without reading it. */
export function toMark({ ino, size, mtimeMs, ctimeMs }: FileState): string {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`
}

type FileState = { ino: number; size: number; mtimeMs: number; ctimeMs: number }
