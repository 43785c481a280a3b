import { open } from 'node:fs/promises'
import { createFileCheck } from '../../core/file-check.ts'
import type { Log } from '../../core/log.ts'
import { type GeoData, openGeo } from './geo.ts'

/** GEOIP_FILE as it is in use, and its changes. */
export type GeoFile = {
  /** Undefined until the file could be read. */
  current(): GeoData | undefined
  /** When the data in use was made by its vendor, in seconds since 1970; 0 without data. */
  builtSeconds(): number
  close(): void
}

/**
 * Reads the file now, and again whenever it has changed. A file that is missing or damaged is logged
 * and refuses no event: the content before stays in use.
 */
export async function openGeoFile({ path, log, checkMs = 2000 }: GeoFileOptions): Promise<GeoFile> {
  let current: GeoData | undefined
  let builtSeconds = 0
  const check = createFileCheck({
    path,
    seen: '',
    read: readShared,
    onContent(bytes) {
      try {
        const { databaseType, buildEpoch } = openGeo(bytes).metadata
        current = { number: (current?.number ?? 0) + 1, bytes }
        builtSeconds = Math.floor(buildEpoch.getTime() / 1000)
        log.info({ path, type: databaseType, built: buildEpoch.toISOString() }, 'GEOIP_FILE read')
      } catch (error) {
        log.error(
          { path, error: String(error) },
          `GEOIP_FILE is damaged; ${toConsequence(current)}`,
        )
      }
    },
    onError(error) {
      log.error({ path, error: String(error) }, `cannot read GEOIP_FILE; ${toConsequence(current)}`)
    },
  })
  // The first check notes the file, the second one reads it.
  await check()
  await check()
  const interval = setInterval(check, checkMs)
  interval.unref()
  return {
    current: () => current,
    builtSeconds: () => builtSeconds,
    close: () => clearInterval(interval),
  }
}

export type GeoFileOptions = {
  path: string
  log: Pick<Log, 'info' | 'error'>
  /** Interval between two checks of the file. */
  checkMs?: number
}

const toConsequence = (current: GeoData | undefined) =>
  current
    ? 'the previous content stays in use'
    : 'events get no country and city until a sound file is there'

/** Reads the file into memory that threads can share, without holding this thread. */
async function readShared(path: string): Promise<SharedArrayBuffer> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const shared = new SharedArrayBuffer(size)
    let at = 0
    while (at < size) {
      const { bytesRead } = await file.read(new Uint8Array(shared, at), 0, size - at, at)
      if (bytesRead === 0) throw new Error('the file became shorter while it was read')
      at += bytesRead
    }
    return shared
  } finally {
    await file.close()
  }
}
