import type { ClientEntry, UserEntry } from '../../core/project-entries.ts'

/** Granted to everyone, also to a client without a secret. */
const publicPermission = 'public:*'

/**
 * The largest set of permissions for a token. A public client has no secret, so anyone can use it:
 * its tokens get `public:*` only, also those of a user.
 */
export function grantedTo(client: ClientEntry, user: UserEntry | undefined): string[] {
  if (client.public) return [publicPermission]
  return [...new Set([publicPermission, ...(user ?? client).permissions])]
}

/** The intersection of both lists. Where one entry covers another, the narrower one remains. */
export function narrow(granted: readonly string[], asked: readonly string[]): string[] {
  const both = new Set<string>()
  for (const permission of asked) {
    for (const grant of granted) {
      if (covers(grant, permission)) both.add(permission)
      else if (covers(permission, grant)) both.add(grant)
    }
  }
  return [...both]
}

export function coversAll(granted: readonly string[], permissions: readonly string[]): boolean {
  return permissions.every((permission) => granted.some((grant) => covers(grant, permission)))
}

/**
 * Whether `grant` includes `permission`. A wildcard covers a whole namespace (`private:*`). A
 * channel covers its actions (`private:orders` includes `private:orders:subscribe`).
 */
export function covers(grant: string, permission: string): boolean {
  if (grant === permission) return true
  if (wildcard.test(grant)) return permission.startsWith(grant.slice(0, -1))
  return permission === `${grant}:subscribe` || permission === `${grant}:publish`
}

const wildcard = /^[^:]+:\*$/
