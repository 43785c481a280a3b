import type { Row } from './measure.ts'
import { toRate } from './table.ts'

const width = 760
const barHeight = 16
const rowHeight = 62
const left = 110
const barWidthMax = 470

/**
 * Requests per second next to the baseline's with the same script. Each row has its own scale:
 * compare within a row.
 */
export function toPicture(rows: readonly Row[], caption: string): string {
  const height = 70 + rows.length * rowHeight
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="16" y="26" font-size="16" font-weight="bold">Requests a second: Spillway and a bare Bun.serve</text>`,
    `<text x="16" y="46" fill="#555555">${toEscaped(caption)}</text>`,
    ...rows.flatMap((row, index) => toBars(row, 66 + index * rowHeight)),
    '</svg>',
    '',
  ].join('\n')
}

function toBars({ name, baseline, spillway, passed }: Row, y: number): string[] {
  const [base, ours] = [toRate(baseline), toRate(spillway)]
  const scale = barWidthMax / Math.max(base, ours)
  const verdict = passed ? '' : ' · FAIL'
  const words = `${ours.toFixed(0)} · ${(ours / base).toFixed(2)} · P95 ${spillway.p95_ms.toFixed(1)} ms${verdict}`
  return [
    `<text x="16" y="${y + 24}" font-weight="bold">${toEscaped(name)}</text>`,
    toBar({ y, length: base * scale, colour: '#c9ced6', words: base.toFixed(0) }),
    toBar({ y: y + barHeight + 4, length: ours * scale, colour: '#2f6fde', words }),
  ]
}

type Bar = { y: number; length: number; colour: string; words: string }

function toBar({ y, length, colour, words }: Bar): string {
  const end = left + length
  // A long bar has its text inside.
  const isLong = length > barWidthMax * 0.72
  const at = isLong ? `x="${end - 6}" text-anchor="end"` : `x="${end + 6}"`
  return (
    `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" fill="${colour}"/>` +
    `<text ${at} y="${y + 13}" fill="${isLong && colour === '#2f6fde' ? '#ffffff' : '#222222'}">${toEscaped(words)}</text>`
  )
}

const toEscaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
