import { accessSync, chmodSync, constants, mkdirSync, statSync } from 'node:fs'
import type { Config } from '../config/config.ts'
import type { Log } from '../core/log.ts'

/**
 * Creates DATA_DIR, or makes it private: events, tokens and keys in it are for this user only.
 * Throws an Error for the operator, which names the setting.
 */
export function openDataFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new Error(`DATA_DIR ${path} cannot be used: ${(error as Error).message}`)
  }
  try {
    if (isFor(others, path)) chmodSync(path, 0o700)
  } catch {
    // The folder belongs to another user, as a mounted volume may. `warnOfReadable` tells.
  }
}

const secretFiles = ['AUTH_KEYS_FILE', 'PROJECTS_FILE', 'TLS_KEY_FILE'] as const

/** A missing file is not reported here: its reader does. */
export function warnOfReadable(config: Config, dataDir: string, log: Log): void {
  if (isFor(others, dataDir))
    log.warn(
      { path: dataDir },
      'other users can read DATA_DIR, and it cannot be changed; chmod 700 it',
    )
  for (const setting of secretFiles) {
    const path = config[setting]
    if (path !== undefined && isFor(strangers, path))
      log.warn({ setting, path }, 'other users of this machine can read this file; chmod 600 it')
  }
}

/** Permission bits of a mode. The group of a secret may be meant to read it, as in Kubernetes. */
const others = 0o077
const strangers = 0o007

const isFor = (bits: number, path: string) =>
  ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & bits) !== 0
