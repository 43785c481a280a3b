import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A fresh folder of the test's own; `using` it removes it again. */
export function temporaryFolder(name = 'spillway-'): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), name))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}
