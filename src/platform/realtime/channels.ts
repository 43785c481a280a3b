import type { Identity } from './identity.ts'

export type Action = 'subscribe' | 'publish'
export type Judgement = 'allowed' | 'permission_denied' | 'channel_not_found'

/** Where the server speaks; all may read it. */
export const notificationsTopic = 'system:notifications'
const notifyPermission = 'system:notify'

/** Who may do what on which channel. A name of no known kind does not exist. Source: spec README, "Realtime". */
export function judge(identity: Identity, topic: string, action: Action): Judgement {
  const colon = topic.indexOf(':')
  const space = topic.slice(0, Math.max(0, colon))
  const name = topic.slice(colon + 1)
  if (name === '') return 'channel_not_found'
  if (space === 'public') return 'allowed'
  if (space === 'user') return toJudgement(identity.kind === 'user' && identity.id === name)
  if (space === 'private') return judgePrivate(identity, topic, action)
  if (topic !== notificationsTopic) return 'channel_not_found'
  return toJudgement(action === 'subscribe' || identity.permissions.includes(notifyPermission))
}

function judgePrivate({ permissions }: Identity, topic: string, action: Action): Judgement {
  // `private:orders:subscribe` is a permission on `private:orders`, and must not be a channel as well.
  if (/:(subscribe|publish)$/.test(topic)) return 'channel_not_found'
  const enough = ['private:*', topic, `${topic}:${action}`]
  return toJudgement(permissions.some((permission) => enough.includes(permission)))
}

const toJudgement = (isAllowed: boolean): Judgement => (isAllowed ? 'allowed' : 'permission_denied')
