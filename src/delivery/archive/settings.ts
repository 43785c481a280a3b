import { resolve } from 'node:path'
import type { Config } from '../../config/config.ts'

// Nothing else of the archive is imported here: the main thread reads the settings.

/** Where the archive is: a folder, or a bucket of S3 with the start of its keys. */
export type ArchivePlace = { folder: string } | { bucket: string; prefix: string }

export type ArchiveSettings = { place: ArchivePlace; flushMs: number }

/** Throws, in words for the operator, if ARCHIVE is missing or names no place. */
export function parseArchiveSettings(
  config: Pick<Config, 'ARCHIVE' | 'ARCHIVE_FLUSH_MS'>,
): ArchiveSettings {
  const { ARCHIVE: text, ARCHIVE_FLUSH_MS: flushMs } = config
  if (text === undefined)
    throw new Error('ARCHIVE is not set; set it to s3://bucket/prefix, or to a folder')
  return { place: toArchivePlace(text), flushMs }
}

/** The text is valid (config/checks.ts). */
function toArchivePlace(text: string): ArchivePlace {
  const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)\/?(.*)$/.exec(text) ?? []
  if (bucket === undefined) return { folder: resolve(text) }
  return { bucket, prefix: prefix.replace(/\/*$/, '').replace(/(.)$/, '$1/') }
}
