import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Actions } from './actions.ts'
import type { Voice } from './emitter.ts'
import type { Member } from './member.ts'
import { idOf, MessageFault, topicOf } from './messages.ts'
import type { Ack, Refusal } from './protocol.ts'

/**
 * Answers one client's messages: acts, then acknowledges by the message's id; or refuses, by the event of the
 * fault and an ack beside it. Nothing a client sends gets out of here as an exception.
 */
export function createConversation({
  actions,
  voice,
  expel,
  onFault,
  log,
  now,
}: {
  actions: Actions
  voice: Voice
  expel: (member: Member, why: 'token_expired' | 'flood') => void
  onFault: (code: MessageFault['code']) => void
  log: Log
  now: Clock
}): (member: Member, event: string, args: readonly unknown[]) => void {
  function act(member: Member, event: string, data: unknown): void {
    if (!member.takeMessage(now()))
      throw new MessageFault('invalid_message', 'too many messages a second')
    const action = actions.get(event)
    if (!action) throw new MessageFault('invalid_message', 'there is no such event')
    action(member, data)
  }

  function refuse(member: Member, data: unknown, fault: MessageFault): void {
    onFault(fault.code)
    voice.refuse(member.socket, fault.code, toRefusal(data, fault.message))
    if (fault.code === 'invalid_message' && !member.takeStrike(now())) expel(member, 'flood')
  }

  function toFault(error: unknown): MessageFault {
    if (error instanceof MessageFault) return error
    log.error({ error: String(error) }, 'a realtime message failed')
    return new MessageFault('invalid_message', 'the message could not be handled')
  }

  return (member, event, args) => {
    if (!member.socket.connected) return
    if (member.identity.expiresAtMs <= now()) return expel(member, 'token_expired')
    const [data] = args
    let error: string | undefined
    try {
      act(member, event, data)
    } catch (thrown) {
      const fault = toFault(thrown)
      error = fault.message
      refuse(member, data, fault)
    }
    acknowledge(member, args, error)
  }

  function acknowledge(member: Member, args: readonly unknown[], error: string | undefined): void {
    const id = idOf(args[0])
    const status = error === undefined ? { status: 'success' as const } : toError(error)
    if (id !== undefined) voice.acknowledge(member.socket, { id, type: 'ack', ...status })
    // Whoever asked Socket.IO for an answer beside the contract's gets the same.
    const callback = args.at(-1)
    if (typeof callback === 'function') callback({ id, type: 'ack', ...status })
  }
}

const toError = (error: string): Pick<Ack, 'status' | 'error'> => ({ status: 'error', error })

function toRefusal(data: unknown, message: string): Refusal {
  const [id, topic] = [idOf(data), topicOf(data)]
  return {
    ...(id === undefined ? {} : { id }),
    ...(topic === undefined ? {} : { topic }),
    message,
  }
}
