import { readFileSync } from 'node:fs'

/** Resident memory of a process in bytes. Source: proc(5), VmRSS. */
export function readResidentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024
}
