import type { FlowView } from './data.ts'

/** A bar of the flow, in pixels. Its text stands on the side where there is space. */
export type Stop = {
  id: string
  label: string
  events: number
  tone: string
  x: number
  y: number
  size: number
  side: 'left' | 'right'
  /** Of the first line of its text. */
  textY: number
}

/** A band between two bars, from the right edge of one to the left edge of the other. */
export type Ribbon = {
  from: string
  to: string
  x1: number
  y1: number
  x2: number
  y2: number
  size: number
  tone: string
}

type FlowLayout = { stops: Stop[]; ribbons: Ribbon[]; height: number }

const barWidth = 6
/** Of two lines of text. */
const stopMin = 30
const gap = 10
/** Heights follow the square root: ten rejected events stay visible beside a million accepted ones. */
const biggest = 130
const bandMin = 2

/** From left to right: what came in, what became of it, what is on disk, where it was delivered. */
export function layOutFlow(flow: FlowView, width: number): FlowLayout {
  const isNarrow = width < narrowMax
  const { nodes, edges } = isNarrow ? withoutDisk(flow) : flow
  const shown = nodes.filter(({ id, events }) => events > 0 || alwaysShown.test(id))
  const most = Math.max(1, ...shown.map(({ events }) => events))
  // The bands that leave a bar would run through a text at its right.
  const leaves = new Set(edges.map(({ from }) => from))
  const last = width - (isNarrow ? 118 : 180)
  const xs = isNarrow ? [0, width * 0.34, last] : [0, last * 0.36, last * 0.66, last]
  const stops = xs.flatMap((x, column) => {
    const own = shown.filter(({ id }) => toColumn(id, isNarrow) === column)
    let y = 4
    return own.map(({ id, label, events }): Stop => {
      const size = Math.max(barWidth, biggest * Math.sqrt(events / most))
      const place = y + Math.max(0, (stopMin - size) / 2)
      y += Math.max(stopMin, size) + gap
      // Two texts on one short band: one at its top, one at its bottom.
      const textY = place + (isNarrow && size > 70 ? (column === 0 ? 20 : size - 24) : size / 2 - 2)
      const side = column > 0 && leaves.has(id) && size > 30 ? 'left' : 'right'
      return { id, label, events, tone: toTone(id), x, y: place, size, side, textY }
    })
  })
  const height = Math.max(80, ...stops.map(({ y, size }) => y + Math.max(size, stopMin))) + gap
  return { stops, ribbons: toRibbons(stops, edges), height }
}

const narrowMax = 560
const alwaysShown = /^(?:received|accepted|committed)$|_shipped$/
const sinkStop = /_(?:shipped|dead|waiting)$/

function toColumn(id: string, isNarrow: boolean): number {
  if (id === 'received') return 0
  if (id === 'committed') return 2
  return sinkStop.test(id) ? (isNarrow ? 2 : 3) : 1
}

/** A phone has no space for the stop between accepted and delivered. */
function withoutDisk({ nodes, edges }: FlowView): Pick<FlowView, 'nodes' | 'edges'> {
  return {
    nodes: nodes.filter(({ id }) => id !== 'committed'),
    edges: edges
      .filter(({ to }) => to !== 'committed')
      .map((edge) => (edge.from === 'committed' ? { ...edge, from: 'accepted' } : edge)),
  }
}

function toTone(id: string): string {
  if (id === 'rejected' || id.endsWith('_dead')) return 'bad'
  if (id === 'dropped' || id === 'quota_dropped' || id.endsWith('_waiting')) return 'warn'
  if (id === 'accepted' || id === 'committed' || id.endsWith('_shipped')) return 'good'
  return 'series-1'
}

/** Each band takes its share of both bars, one below the other. */
function toRibbons(stops: readonly Stop[], edges: FlowView['edges']): Ribbon[] {
  const byId = new Map(stops.map((stop) => [stop.id, stop]))
  const leaving = new Map<string, number>()
  const arriving = new Map<string, number>()
  const sent = new Map<string, number>()
  for (const { from, events } of edges) sent.set(from, (sent.get(from) ?? 0) + events)
  return edges.flatMap(({ from, to, events }) => {
    const [start, end] = [byId.get(from), byId.get(to)]
    if (!start || !end || events === 0) return []
    const share = events / Math.max(1, sent.get(from) ?? 1)
    const size = Math.max(bandMin, Math.min(end.size, start.size * share))
    const y1 = start.y + (leaving.get(from) ?? 0)
    const y2 = end.y + (arriving.get(to) ?? 0)
    leaving.set(from, (leaving.get(from) ?? 0) + size)
    arriving.set(to, (arriving.get(to) ?? 0) + size)
    return [{ from, to, x1: start.x + barWidth, y1, x2: end.x, y2, size, tone: end.tone }]
  })
}
