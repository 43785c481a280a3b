/** What a child tells its supervisor over the channel between them. */
export type FromChild =
  | { type: 'ready' }
  /** Its own metrics, as asked for. */
  | { type: 'metrics'; id: number; text: string }
  /** Somebody asked it for the metrics of all. */
  | { type: 'gather'; id: number }

export type ToChild =
  | { type: 'metrics'; id: number }
  | { type: 'gathered'; id: number; text: string }

/** What a child is, as the first argument of its command: a worker's number, or the realtime process. */
export type Role = { kind: 'worker'; index: number } | { kind: 'realtime' }

export const toArgument = (role: Role) =>
  role.kind === 'worker' ? `worker-${role.index}` : 'realtime'

/** Undefined for a process that nobody supervises. */
export function toRole(argument: string | undefined): Role | undefined {
  if (argument === 'realtime') return { kind: 'realtime' }
  const index = /^worker-(\d{1,3})$/.exec(argument ?? '')?.[1]
  return index === undefined ? undefined : { kind: 'worker', index: Number(index) }
}
