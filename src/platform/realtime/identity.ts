/** Who holds a socket: what realtime needs to know of a token's owner. */
export type Identity = {
  kind: 'user' | 'client'
  id: string
  permissions: readonly string[]
  expiresAtMs: number
  /** Named when a session is revoked. */
  session: string | undefined
}

export type AuthFault = 'token_missing' | 'token_invalid' | 'token_expired' | 'token_revoked'

/** The door: judges what a client presented, and says later whether that still holds. */
export type Gate<I extends Identity = Identity> = {
  authenticate(credential: unknown): Promise<{ identity: I } | { fault: AuthFault }>
  isCurrent(identity: I): boolean
}
