/**
 * A refresh token and all that replace it. `id` is public (the `sid` claim) and nothing can be made of it; of the
 * token in force only the hash is kept.
 */
export type Family = {
  id: string
  tokenHash: string
  clientId: string
  kind: 'user' | 'client'
  subject: string
  permissions: readonly string[]
  expiresAtMs: number
}

/** The replacement of a token. A `clientId` that is given must be the family's. */
export type Rotation = {
  id: string
  presentedHash: string
  nextHash: string
  expiresAtMs: number
  clientId: string | undefined
  nowMs: number
}

/** `reused`: an old token of a known family, which was revoked in the same step. */
export type Rotated = { outcome: 'rotated'; family: Family } | { outcome: 'reused' | 'unknown' }

/** Where families outlive a restart. Each call is one atomic step, and rejects where the store is away. */
export type RefreshStore = {
  create(family: Family): Promise<void>
  rotate(rotation: Rotation): Promise<Rotated>
  revoke(id: string): Promise<void>
  isRevoked(id: string): Promise<boolean>
  /** Forgets some of what has expired; bounded, so that it can be called often. */
  purge(nowMs: number): Promise<void>
  close(): void
}
