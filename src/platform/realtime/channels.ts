import type { Identity } from '../auth/identity.ts'

export type Action = 'subscribe' | 'publish'
export type Access = 'allowed' | 'permission_denied' | 'channel_not_found'

/** The channel of server notifications. Every authenticated socket may subscribe to it. */
export const notificationsTopic = 'system:notifications'
const notifyPermission = 'system:notify'

/**
 * Whether an identity may do `action` on a channel. A topic outside the known namespaces is
 * `channel_not_found`.
 */
export function checkAccess(identity: AccessIdentity, topic: string, action: Action): Access {
  const colon = topic.indexOf(':')
  const space = topic.slice(0, Math.max(0, colon))
  const name = topic.slice(colon + 1)
  if (name === '') return 'channel_not_found'
  if (space === 'public') return 'allowed'
  if (space === 'user') return toAccess(identity.kind === 'user' && identity.id === name)
  if (space === 'private') return checkPrivate(identity, topic, action)
  if (topic !== notificationsTopic) return 'channel_not_found'
  return toAccess(action === 'subscribe' || identity.permissions.includes(notifyPermission))
}

export type AccessIdentity = Pick<Identity, 'kind' | 'id' | 'permissions'>

function checkPrivate({ permissions }: AccessIdentity, topic: string, action: Action): Access {
  // `private:orders:subscribe` is a permission on `private:orders`, so it cannot also be a channel
  // name.
  if (/:(subscribe|publish)$/.test(topic)) return 'channel_not_found'
  const sufficient = ['private:*', topic, `${topic}:${action}`]
  return toAccess(permissions.some((permission) => sufficient.includes(permission)))
}

const toAccess = (isAllowed: boolean): Access => (isAllowed ? 'allowed' : 'permission_denied')
