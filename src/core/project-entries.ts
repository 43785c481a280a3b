/** Entries of the projects file that token requests and `/api/sdk/config` use. */

/** A program that may ask for tokens. It has secrets or is marked `public`. */
export type ClientEntry = {
  id: string
  /** argon2id. Two while a secret is replaced: both are valid. */
  secretHashes?: readonly string[] | undefined
  public?: boolean | undefined
  permissions: readonly string[]
}

export type UserEntry = {
  id: string
  username: string
  /** argon2id. */
  passwordHash: string
  email?: string | undefined
  name?: string | undefined
  permissions: readonly string[]
}

/** Values that replace the defaults of `/api/sdk/config`, key by key. */
export type SdkOverrides = {
  telemetry?: SdkSection | undefined
  performance?: SdkSection | undefined
  realtime?: SdkSection | undefined
  features?: Readonly<Record<string, boolean>> | undefined
}

type SdkSection = Readonly<Record<string, string | number | boolean>>
