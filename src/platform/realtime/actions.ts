import type { Clock } from '../../core/clock.ts'
import { type Action, checkAccess, notificationsTopic } from './channels.ts'
import type { Emitter } from './emitter.ts'
import type { RealtimeLimits } from './limits.ts'
import type { Member } from './members.ts'
import {
  MessageFault,
  parseAnnouncement,
  parseHeartbeat,
  parsePublication,
  parseSubscription,
} from './messages.ts'

/** The actions of a client, by event name. Each throws MessageFault to reject the message. */
export type Actions = ReadonlyMap<string, (member: Member, data: unknown) => void>

export function createActions({
  emitter,
  limits,
  now,
  isBusy,
  onPublished,
}: {
  emitter: Emitter
  limits: RealtimeLimits
  now: Clock
  /** Whether too many messages wait for their delivery. */
  isBusy: () => boolean
  onPublished: () => void
}): Actions {
  function subscribe(member: Member, data: unknown): void {
    const { topic } = parseSubscription(data, limits)
    requireAllowed(member, topic, 'subscribe')
    if (member.topics.size >= limits.subscriptionsMax && !member.topics.has(topic))
      throw new MessageFault(
        'invalid_message',
        `a socket may hold ${limits.subscriptionsMax} subscriptions`,
      )
    join(member, topic)
  }

  function unsubscribe(member: Member, data: unknown): void {
    const { topic } = parseSubscription(data, limits)
    if (checkAccess(member.identity, topic, 'subscribe') === 'channel_not_found')
      throw toFault('channel_not_found')
    member.topics.delete(topic)
    void member.socket.leave(topic)
  }

  function publish(member: Member, data: unknown): void {
    const message = parsePublication(data, limits)
    requireAllowed(member, message.topic, 'publish')
    if (isBusy())
      throw new MessageFault('invalid_message', 'too many messages wait, send it again later')
    if (message.topic === notificationsTopic)
      emitter.announce(parseAnnouncement(message.payload), { except: member.socket.id })
    else emitter.publish(member.socket, member.identity.id, message)
    onPublished()
  }

  function heartbeat(member: Member, data: unknown): void {
    parseHeartbeat(data)
    member.heartbeatMs = now()
  }

  return new Map(Object.entries({ subscribe, unsubscribe, publish, heartbeat }))
}

export function join(member: Member, topic: string): void {
  member.topics.add(topic)
  void member.socket.join(topic)
}

function requireAllowed({ identity }: Member, topic: string, action: Action): void {
  const access = checkAccess(identity, topic, action)
  if (access !== 'allowed') throw toFault(access)
}

function toFault(code: 'permission_denied' | 'channel_not_found'): MessageFault {
  const message = code === 'permission_denied' ? 'Permission denied' : 'Channel not found'
  return new MessageFault(code, message)
}
