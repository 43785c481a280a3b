import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { toSegmentName } from '../../../src/journal/segments.ts'
import { createFakeDisk } from './fake-disk.ts'
import { appendNames, dir, namesIn, openOn } from './support.ts'

const first = join(dir, toSegmentName(1))
const second = join(dir, toSegmentName(2))
const commits = [['a'], ['b', 'c'], ['d']]
const all = commits.flat()
/** Three commits fill a segment; the fourth goes to the next one. */
const sizes = { segmentBytes: 1536 }

type Files = { [path: string]: Buffer }

/** The files of a journal whose first segment holds the three commits. */
async function writeJournal(...more: string[]): Promise<Files> {
  const disk = createFakeDisk()
  const journal = await openOn(disk, sizes)
  for (const names of [...commits, ...more.map((name) => [name])])
    await appendNames(journal, ...names)
  await journal.close()
  return Object.fromEntries(disk.paths().map((path) => [path, disk.bytesOf(path)]))
}

async function reopen(files: Files): Promise<{ names: string[]; damages: number }> {
  const disk = createFakeDisk()
  for (const [path, bytes] of Object.entries(files)) disk.put(path, bytes)
  const journal = await openOn(disk, sizes)
  const names = await namesIn(journal)
  const { damages } = journal.stats()
  await journal.close()
  return { names, damages }
}

const prefixes = commits.map((_, count) => commits.slice(0, count).flat()).concat([all])

test.each([
  ['nothing', 0],
  ['zeros', 4096],
])(
  'recovers a prefix of the commits from a segment cut at any byte, with %s behind',
  async (_, bytes) => {
    const files = await writeJournal()
    const segment = files[first]!
    const recovered = new Set<string>()
    for (let cut = 0; cut <= segment.length; cut += 1) {
      const file = Buffer.alloc(Math.max(cut, bytes))
      segment.copy(file, 0, 0, cut)
      const { names } = await reopen({ ...files, [first]: file })
      expect(prefixes).toContainEqual(names)
      recovered.add(names.join())
    }
    expect(recovered.size).toBe(prefixes.length)
  },
  30_000,
)

test('reports a cut segment that others follow, and loses only the commits that were cut', async () => {
  const files = await writeJournal('e')
  const segment = files[first]!
  for (let cut = 0; cut < segment.length; cut += 1) {
    const { names, damages } = await reopen({ ...files, [first]: segment.subarray(0, cut) })
    expect(prefixes.map((prefix) => [...prefix, 'e'])).toContainEqual(names)
    expect({ cut, isReported: damages > 0 }).toEqual({ cut, isReported: true })
  }
}, 30_000)

test.each([
  ['in the last segment', [], 1],
  ['in a segment that others follow', ['e'], 3],
])(
  'detects any flipped bit %s and loses no other commit',
  async (_, more, step) => {
    const files = await writeJournal(...more)
    const segment = files[first]!
    expect(second in files).toBe(more.length > 0)
    for (let bit = 0; bit < segment.length * 8; bit += step) {
      const flipped = Buffer.from(segment)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      const { names, damages } = await reopen({ ...files, [first]: flipped })
      const kept = commits.filter((commit) => names.includes(commit[0]!))
      const found = {
        bit,
        names,
        isFound: damages > 0,
        isMoreLost: kept.length < commits.length - 1,
      }
      const valid = [...kept.flat(), ...more]
      expect(found).toEqual({ bit, names: valid, isFound: true, isMoreLost: false })
    }
  },
  30_000,
)
