import { readdirSync, readFileSync } from 'node:fs'

type ThreadReading = { name: string; us: number }

/** CPU time in microseconds by thread id. */
export type CpuReading = {
  threads: ReadonlyMap<number, ThreadReading>
  /** The whole process, including threads that have ended. */
  allUs: number
}

/** `httpUs`: the main thread, which serves requests. `allUs`: all threads of the process. */
export type CpuUse = { httpUs: number; allUs: number; threads: Record<string, number> }

/** The kernel counts CPU time in ticks of 10 ms on every Linux that Bun supports. */
const tickUs = 10_000

/** Source: proc(5), /proc/pid/task/tid/stat, fields utime and stime. */
export function readCpu(pid: number): CpuReading {
  const threads = new Map<number, ThreadReading>()
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const thread = readThread(`/proc/${pid}/task/${tid}/stat`)
    if (thread) threads.set(Number(tid), Number(tid) === pid ? { ...thread, name: 'http' } : thread)
  }
  return { threads, allUs: readThread(`/proc/${pid}/stat`)?.us ?? 0 }
}

export function toCpuUse(before: CpuReading, after: CpuReading): CpuUse {
  const threads: Record<string, number> = {}
  const add = (name: string, us: number) => {
    threads[name] = (threads[name] ?? 0) + us
  }
  for (const [tid, { name, us }] of after.threads)
    add(name, us - (before.threads.get(tid)?.us ?? 0))
  const allUs = after.allUs - before.allUs
  const livingUs = Object.values(threads).reduce((sum, us) => sum + us, 0)
  add('ended', Math.max(0, allUs - livingUs))
  return { httpUs: threads.http ?? 0, allUs, threads }
}

export function readRssBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}

/** Undefined if the thread or the process has ended. The name may contain spaces and brackets. */
function readThread(path: string): ThreadReading | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')')).replace(/[\s:-]*\d+$/, '')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { name, us: (Number(fields[11]) + Number(fields[12])) * tickUs }
  } catch {
    return
  }
}
