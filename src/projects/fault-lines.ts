/** A fault of a projects file, with its line where that can be told. */
export type PlacedFault = { line: number | null; place: string; message: string }

/**
 * Finds the line of each fault, for a person with an editor. A fault begins with `line 7, column 3`
 * (the parser's), or with a place such as `projects[1].tokens[0]`.
 */
export function toPlacedFaults(faults: readonly string[], text: string): PlacedFault[] {
  const lines = text.split('\n')
  return faults.map((fault) => {
    const [, line] = /^line (\d+)/.exec(fault) ?? []
    if (line !== undefined) return { line: Number(line), place: `line ${line}`, message: fault }
    const [place = ''] = /^[a-z_]+(?:\[\d+\])?[^\s:]*/.exec(fault) ?? []
    return { line: findLine(lines, place), place, message: fault }
  })
}

/** The line of a key in the nth table of a list, else of the table; null in JSON. */
function findLine(lines: readonly string[], place: string): number | null {
  const [, list, index, key] = /^(\w+)\[(\d+)\](?:\.(\w+))?/.exec(place) ?? []
  if (list === undefined) return null
  const header = new RegExp(`^\\s*\\[\\[\\s*${list}\\s*\\]\\]`)
  const starts = [...lines.keys()].filter((at) => header.test(lines[at]!))
  const start = starts[Number(index)]
  if (start === undefined) return null
  const after = lines.slice(start + 1)
  const length = after.findIndex((line) => /^\s*\[\[/.test(line))
  const own = length < 0 ? after : after.slice(0, length)
  const isKey = new RegExp(`^\\s*\\[?\\s*${key ?? '$^'}\\b`)
  const at = key === undefined ? -1 : own.findIndex((line) => isKey.test(line))
  return start + (at < 0 ? 1 : at + 2)
}
