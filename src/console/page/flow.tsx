import { useEffect, useRef, useState } from 'preact/hooks'
import type { FlowView } from './data.ts'
import { layOutFlow, type Ribbon, type Stop } from './flow-layout.ts'
import { toCount } from './format.ts'

/** The balance sheet as a flow from received to shipped, and the sums that must agree. */
export function Flow({ flow }: { flow: FlowView }) {
  const box = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const element = box.current
    if (!element) return
    const observer = new ResizeObserver(() => setWidth(element.clientWidth))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  const { stops, ribbons, height } = layOutFlow(flow, width)
  const spoken = flow.nodes.map(({ label, events }) => `${label} ${toCount(events)}`).join(', ')
  return (
    <>
      <div ref={box} class="flow">
        <svg width={width} height={height} role="img" aria-label={`Flow of events: ${spoken}`}>
          {ribbons.map((ribbon) => (
            <RibbonPath key={`${ribbon.from} ${ribbon.to}`} {...ribbon} />
          ))}
          {stops.map((stop) => (
            <StopMark key={stop.id} {...stop} />
          ))}
        </svg>
      </div>
      <ul class="sums">
        {flow.sums.map(({ name, left, right, agrees }) => (
          <li key={name}>
            <span class={`status ${agrees ? 'good' : 'warn'}`}>
              <span aria-hidden="true">{agrees ? '✓' : '≈'}</span>{' '}
              {agrees ? 'agrees' : 'in progress'}
            </span>
            <code>{name}</code>
            <span class="muted">
              {toCount(left)} = {toCount(right)}
            </span>
          </li>
        ))}
      </ul>
    </>
  )
}

function RibbonPath({ x1, y1, x2, y2, size, tone }: Ribbon) {
  const middle = (x1 + x2) / 2
  const path =
    `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}` +
    `v${size}C${middle} ${y2 + size} ${middle} ${y1 + size} ${x1} ${y1 + size}z`
  return <path d={path} fill={`var(--${tone})`} opacity="0.22" />
}

function StopMark({ x, y, size, side, textY, label, events, tone }: Stop) {
  const textX = side === 'left' ? x - 8 : x + 14
  // A text beside a small bar may stand on the band of another one.
  const halo = size > 30 ? '' : 'halo'
  const anchor = side === 'left' ? 'end' : 'start'
  return (
    <g>
      <rect x={x} y={y} width="6" height={size} rx="2" fill={`var(--${tone})`} />
      <text x={textX} y={textY} text-anchor={anchor} class={`flow-label ${halo}`}>
        {label}
      </text>
      <text x={textX} y={textY + 14} text-anchor={anchor} class={`flow-count ${halo}`}>
        {toCount(events)}
      </text>
    </g>
  )
}
