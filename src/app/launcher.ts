import { readFileSync } from 'node:fs'

/**
 * npx ends on SIGTERM without a word to the processes that it started, so the server would go on as
 * an orphan. Calls `onEnded` when npx, or a process between npx and this one, has ended. Does nothing
 * when npx did not start this process, or where there is no /proc.
 */
export function watchLauncher(onEnded: () => void): void {
  const pids = findLaunchers(process.ppid)
  if (pids.length === 0) return
  const timer = setInterval(() => {
    if (pids.every(isAlive)) return
    clearInterval(timer)
    onEnded()
  }, checkMs)
}

const checkMs = 500

/**
 * The ancestors up to npx. It sets npm_command=exec for its descendants and not for itself; `bun run`
 * changes the variable for the processes below it.
 */
function findLaunchers(parent: number): number[] {
  const pids: number[] = []
  let isBelowNpx = false
  try {
    for (let pid = parent; pid > 1; pid = toParent(pid)) {
      pids.push(pid)
      const isChildOfNpx = readFileSync(`/proc/${pid}/environ`, 'utf8').includes('npm_command=exec')
      if (isBelowNpx && !isChildOfNpx) return pids
      isBelowNpx ||= isChildOfNpx
    }
  } catch {
    // No /proc, or the processes of another user. Without a complete chain nothing is watched.
  }
  return []
}

/** Source: proc(5). The name in parentheses may contain spaces. */
function toParent(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
