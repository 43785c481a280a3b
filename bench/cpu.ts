import { readdirSync, readFileSync } from 'node:fs'

/** CPU time in microseconds by thread id. */
export type CpuReading = ReadonlyMap<number, number>

/** `httpUs` is the main thread's, where requests are served; `allUs` every thread's of the process. */
export type CpuUse = { httpUs: number; allUs: number }

/** The kernel counts in ticks of 10 ms on every Linux that Bun runs on. */
const tickUs = 10_000

/** Source: proc(5), /proc/pid/task/tid/stat, fields utime and stime. */
export function readCpu(pid: number): CpuReading {
  const reading = new Map<number, number>()
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const fields = readStat(`/proc/${pid}/task/${tid}/stat`)
    if (fields) reading.set(Number(tid), (Number(fields[11]) + Number(fields[12])) * tickUs)
  }
  return reading
}

export function toCpuUse(pid: number, before: CpuReading, after: CpuReading): CpuUse {
  let allUs = 0
  for (const [tid, us] of after) allUs += us - (before.get(tid) ?? 0)
  return { httpUs: (after.get(pid) ?? 0) - (before.get(pid) ?? 0), allUs }
}

export function readRssBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}

/** The fields behind the command's name, which may hold spaces; nothing if the thread is gone. */
function readStat(path: string): string[] | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return
  }
}
