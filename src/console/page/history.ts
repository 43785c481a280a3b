import { useEffect, useState } from 'preact/hooks'
import type { HistoryPoint } from './data.ts'
import { addPoints, minutesMax } from './points.ts'
import { usePolled } from './poll.ts'

const everyMs = 5000

/**
 * The points of the last hour, oldest first. The first reply has all of them; later ones have what is
 * new, because an hour is half a megabyte.
 */
export function useHistory(): HistoryPoint[] | undefined {
  const [points, setPoints] = useState<HistoryPoint[] | undefined>(undefined)
  const [minutes, setMinutes] = useState(minutesMax)
  const { data } = usePolled<{ points: HistoryPoint[] }>('history', {
    values: { minutes },
    everyMs,
  })
  useEffect(() => {
    if (!data) return
    setPoints((known) => addPoints(known ?? [], data.points))
    setMinutes(1)
  }, [data])
  useEffect(() => {
    // A tab that was hidden for longer than a minute lacks points.
    const change = () => setMinutes(document.hidden ? 1 : minutesMax)
    document.addEventListener('visibilitychange', change)
    return () => document.removeEventListener('visibilitychange', change)
  }, [])
  return points
}
