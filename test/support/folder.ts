import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A new temporary folder. Declare it with `using`, so that it is removed at the end of the block. */
export function temporaryFolder(name = 'spillway-'): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), name))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}
