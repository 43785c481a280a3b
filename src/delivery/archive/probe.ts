import type { Config } from '../../config/config.ts'
import { withTimeLimit } from '../../core/async.ts'
import type { ServiceProbe } from '../../core/version.ts'
import { parseArchiveSettings } from './settings.ts'
import { openArchive } from './store.ts'

/** Looks whether the archive can be reached. Writes nothing, so a missing right to write is not noticed. */
export async function probeArchive(config: Config, msMax: number): Promise<ServiceProbe> {
  const { place } = parseArchiveSettings(config)
  try {
    await withTimeLimit(openArchive(place).check(), msMax, () => {
      throw new Error(`no answer within ${msMax} ms`)
    })
    return { version: 'folder' in place ? `folder ${place.folder}` : `bucket ${place.bucket}` }
  } catch (error) {
    return { fault: `cannot be used: ${(error as Error).message}` }
  }
}
