import { tokenBytesMax } from '../core/limits.ts'

/** Spec README, "Token": ASCII, at most 64 bytes, and not a personal key, which is its user's secret and no project's. */
export function isWellFormed(credential: string): boolean {
  return credential.length <= tokenBytesMax && /^(?!phx_)[\x00-\x7f]+$/.test(credential)
}

/** API keys are secrets: they are looked up and compared by this, 64 hex digits. */
export function toKeyHash(key: string): string {
  return new Bun.CryptoHasher('sha256').update(key).digest('hex')
}

/** The same for a key as the projects file gives it: itself, or `sha256:` and its hash. */
export function toStoredHash(written: string): string {
  return written.startsWith('sha256:') ? written.slice('sha256:'.length) : toKeyHash(written)
}
