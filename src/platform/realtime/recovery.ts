import { judge, notificationsTopic } from './channels.ts'
import type { Identity } from './identity.ts'
import { toHolder } from './member.ts'
import type { Io, Lost, SocketData } from './protocol.ts'

/**
 * Socket.IO restores a lost connection before anybody judged its new token: it joins the rooms and sends what was
 * missed. Here both are held back in the session's data until `recover` says what the new identity may have.
 */
export function holdBack(adapter: Io['sockets']['adapter']): void {
  const restore = adapter.restoreSession.bind(adapter)
  adapter.restoreSession = async (pid, offset) => {
    const session = await restore(pid, offset)
    if (!session) return session
    const { holder = '' } = session.data as SocketData
    const lost: Lost = { holder, topics: session.rooms, packets: session.missedPackets as never }
    return { ...session, rooms: [], missedPackets: [], data: { lost } satisfies SocketData }
  }
}

/** What of a lost connection the same holder still may have. */
export function recover(
  identity: Identity,
  lost: Lost | undefined,
): { topics: string[]; packets: (readonly unknown[])[] } {
  if (!lost || lost.holder !== toHolder(identity)) return { topics: [], packets: [] }
  // Notifications are joined by everyone anyhow, and count for nobody.
  const topics = lost.topics.filter(
    (topic) => topic !== notificationsTopic && judge(identity, topic, 'subscribe') === 'allowed',
  )
  const packets = lost.packets.filter(([event, body]) => {
    const { topic } = (body ?? {}) as { topic?: string }
    return event === 'notification' || (event === 'message' && topics.includes(topic ?? ''))
  })
  return { topics, packets }
}
