import { useEffect, useRef, useState } from 'preact/hooks'
import UPlot from 'uplot'
import { toTime } from './format.ts'

export type Series = { label: string; values: (number | null)[]; color: string }

type PlotProps = {
  title: string
  atMs: readonly number[]
  series: readonly Series[]
  format(value: number): string
  /** The marks of the axis are powers of two. */
  isBytes?: boolean
  /** Plots of one group share their cursor. */
  group?: string
}

const height = 132
/** A server that has just started has few points. */
const secondsMin = 120

/** Lines over time. The legend shows the values under the cursor, and else the newest ones. */
export function Plot({ title, atMs, series, format, group, isBytes = false }: PlotProps) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot | undefined>(undefined)
  const [index, setIndex] = useState<number | null>(null)
  const scheme = useScheme()
  const names = series.map(({ label }) => label).join()
  const data = [atMs.map((ms) => ms / 1000), ...series.map(({ values }) => values)]

  // New data goes into the plot that exists.
  useEffect(() => {
    const element = box.current
    if (!element) return
    const made = new UPlot(
      toOptions({ series, format, group, isBytes, element, onCursor: setIndex }),
      data as UPlot.AlignedData,
      element,
    )
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = undefined
    }
  }, [names, scheme, group])
  // The series change with the times.
  useEffect(() => plot.current?.setData(data as UPlot.AlignedData), [atMs, series])

  const shown = index ?? atMs.length - 1
  const values = series.map(({ label, color, values: all }) => {
    const value = all[shown]
    return { label, color, text: value === null || value === undefined ? '–' : format(value) }
  })
  const spoken = values.map(({ label, text }) => `${label} ${text}`).join(', ')
  return (
    <figure class="plot">
      <figcaption>
        <strong>{title}</strong>
        <span class="legend">
          {values.map(({ label, color, text }) => (
            <span key={label}>
              <i class="key" style={{ background: `var(--${color})` }} aria-hidden="true" />
              {label} <b>{text}</b>
            </span>
          ))}
          {index !== null && <span class="muted">{toTime(atMs[index] ?? 0, false)}</span>}
        </span>
      </figcaption>
      <div ref={box} role="img" aria-label={`${title}, last value: ${spoken}`} />
    </figure>
  )
}

type OptionsOf = Pick<PlotProps, 'series' | 'format'> & {
  isBytes: boolean
  group: string | undefined
  element: HTMLElement
  onCursor(index: number | null): void
}

function toOptions({
  series,
  format,
  group,
  isBytes,
  element,
  onCursor,
}: OptionsOf): UPlot.Options {
  const style = getComputedStyle(element)
  const color = (name: string) => style.getPropertyValue(`--${name}`)
  const axis = {
    stroke: color('muted'),
    font: `11px ${style.fontFamily}`,
    grid: { stroke: color('line'), width: 1 },
    ticks: { show: false },
  }
  return {
    width: element.clientWidth || 300,
    height,
    legend: { show: false },
    cursor: {
      y: false,
      points: { size: 6 },
      drag: { x: false, y: false },
      ...(group !== undefined && { sync: { key: group } }),
    },
    hooks: {
      setCursor: [({ cursor }) => onCursor((cursor.left ?? -1) < 0 ? null : (cursor.idx ?? null))],
    },
    scales: {
      x: { range: (_, min, max) => [Math.min(min, max - secondsMin), max] },
      y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] },
    },
    axes: [
      { ...axis, size: 24, space: 70, values: toAxisTimes },
      { ...axis, size: 54, gap: 4, space: 30, ...toTicks(format, isBytes) },
    ],
    series: [
      {},
      ...series.map(({ label, color: name }) => ({
        label,
        stroke: color(name),
        width: 1.5,
        fill: `${color(name)}14`,
        points: { size: 4, filter: toLonePoints },
        spanGaps: false,
      })),
    ],
  }
}

const toTicks = (format: PlotProps['format'], isBytes: boolean): Partial<UPlot.Axis> => ({
  values: (_, ticks) => ticks.map((tick) => (tick === 0 ? '0' : format(tick))),
  ...(isBytes && { incrs: Array.from({ length: 45 }, (_, power) => 2 ** power) }),
})

/** A value between gaps is no line, so it is drawn as a point. */
function toLonePoints(plot: UPlot, series: number, isShown: boolean): number[] | null {
  const values = plot.data[series] ?? []
  const isLone = (at: number) =>
    values[at] !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null
  return isShown ? null : [...values.keys()].filter(isLone)
}

/** `13:05`, or `13:05:30` where marks are closer than a minute. */
const toAxisTimes: UPlot.Axis.DynamicValues = (_, ticks) => {
  const length = (ticks[1] ?? 0) - (ticks[0] ?? 0) < 60 ? 8 : 5
  return ticks.map((seconds) => toTime(seconds * 1000, false).slice(0, length))
}

/** Changes when the reader's system turns dark or light, so that plots take the new colours. */
function useScheme(): boolean {
  const [isDark, setDark] = useState(query.matches)
  useEffect(() => {
    const change = () => setDark(query.matches)
    query.addEventListener('change', change)
    return () => query.removeEventListener('change', change)
  }, [])
  return isDark
}

const query = matchMedia('(prefers-color-scheme: dark)')
