import { generateKeySet } from '../platform/auth/keys.ts'

/** Prints a new signing key as a JWK set, for AUTH_KEYS_FILE: `bun run make-key > keys.json`. */
console.log(await generateKeySet())
