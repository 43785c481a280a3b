import type { ClientEntry, UserEntry } from '../../core/project-entries.ts'

/** What everyone may do, even a client without a secret. */
const everyone = 'public:*'

/**
 * What a token may carry at most. A public client's secret is known to all who have its page, so whatever is
 * asked for through it stays within `public:*`.
 */
export function grantedTo(client: ClientEntry, user: UserEntry | undefined): string[] {
  if (client.public) return [everyone]
  return [...new Set([everyone, ...(user ?? client).permissions])]
}

/** What is in both lists, each entry at its narrower. */
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
 * Whether `grant` includes `permission`. A wildcard stands for a whole namespace (`private:*`), and a channel
 * for what can be done with it (`private:orders` includes `private:orders:subscribe`).
 */
export function covers(grant: string, permission: string): boolean {
  if (grant === permission) return true
  if (wildcard.test(grant)) return permission.startsWith(grant.slice(0, -1))
  return permission === `${grant}:subscribe` || permission === `${grant}:publish`
}

const wildcard = /^[^:]+:\*$/
