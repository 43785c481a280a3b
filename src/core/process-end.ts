import { readFileSync, readlinkSync } from 'node:fs'

/**
 * Names the place in which ids of processes are unique: this boot of the machine and its PID namespace, so that a
 * container is a place of its own. Undefined where the system does not tell.
 */
export function toProcessPlace(): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return undefined
  }
}

/** For a process of this place. A process that its parent has not yet waited for has ended, too. */
export function hasEnded(pid: number): boolean {
  try {
    const state = /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]
    return state === 'Z' || state === 'X'
  } catch {
    return true
  }
}
