import type { Clock } from '../../core/clock.ts'
import { nestingMax } from '../../core/limits.ts'
import type { Log } from '../../core/log.ts'
import type { Actions } from './actions.ts'
import type { Emitter } from './emitter.ts'
import type { RealtimeLimits } from './limits.ts'
import type { EndReason, Member } from './members.ts'
import { type Ack, type ErrorBody, estimateBytes, idOf, MessageFault, topicOf } from './messages.ts'
import { heavyEvent } from './packet-weight.ts'

/**
 * Builds the handler of a client's messages. It runs the action of the event and acknowledges by
 * the message's id; a rejected message gets the error event of its fault and an error ack. The
 * handler never throws.
 */
export function createDispatch({
  actions,
  emitter,
  end,
  limits,
  onFault,
  log,
  now,
}: {
  actions: Actions
  limits: RealtimeLimits
  emitter: Emitter
  end: (member: Member, why: EndReason) => void
  onFault: (code: MessageFault['code']) => void
  log: Log
  now: Clock
}): (member: Member, event: string, args: readonly unknown[]) => void {
  /** A message that is larger or deeper than any valid one is charged like the largest. */
  const bounds = { bytesMax: 2 * limits.payloadBytesMax, depthMax: nestingMax + 2 }
  const toCharge = (data: unknown) => Math.min(estimateBytes(data, bounds), bounds.bytesMax)

  function act(member: Member, event: string, data: unknown): void {
    if (!member.takeMessage(now()))
      throw new MessageFault('invalid_message', 'too many messages a second')
    if (!member.takeBytes(now(), toCharge(data)))
      throw new MessageFault('invalid_message', 'too many bytes a second')
    if (event === heavyEvent)
      throw new MessageFault('invalid_message', 'the message has too many names or values')
    const action = actions.get(event)
    if (!action) throw new MessageFault('invalid_message', 'there is no such event')
    action(member, data)
  }

  function reject(member: Member, data: unknown, fault: MessageFault): void {
    onFault(fault.code)
    emitter.reject(member.socket, fault.code, toErrorBody(data, fault.message))
    if (fault.code === 'invalid_message' && !member.takeStrike(now())) end(member, 'flood')
  }

  function toFault(error: unknown): MessageFault {
    if (error instanceof MessageFault) return error
    log.error({ error: String(error) }, 'a realtime message failed')
    return new MessageFault('invalid_message', 'the message could not be handled')
  }

  return (member, event, args) => {
    if (!member.socket.connected) return
    if (member.identity.expiresAtMs <= now()) return end(member, 'token_expired')
    const [data] = args
    let error: string | undefined
    try {
      act(member, event, data)
    } catch (thrown) {
      const fault = toFault(thrown)
      error = fault.message
      reject(member, data, fault)
    }
    acknowledge(member, args, error)
  }

  function acknowledge(member: Member, args: readonly unknown[], error: string | undefined): void {
    const id = idOf(args[0])
    const status = error === undefined ? { status: 'success' as const } : toError(error)
    if (id !== undefined) emitter.acknowledge(member.socket, { id, type: 'ack', ...status })
    // A client may also pass a Socket.IO callback: it gets the same ack.
    const callback = args.at(-1)
    if (typeof callback === 'function') callback({ id, type: 'ack', ...status })
  }
}

const toError = (error: string): Pick<Ack, 'status' | 'error'> => ({ status: 'error', error })

function toErrorBody(data: unknown, message: string): ErrorBody {
  const [id, topic] = [idOf(data), topicOf(data)]
  return {
    ...(id === undefined ? {} : { id }),
    ...(topic === undefined ? {} : { topic }),
    message,
  }
}
