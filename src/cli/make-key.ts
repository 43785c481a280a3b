import { makeKeySet } from '../platform/auth/key-set.ts'

/** Prints a fresh signing key as a JWK set, for AUTH_KEYS_FILE: `bun run make-key > keys.json`. */
console.log(await makeKeySet())
