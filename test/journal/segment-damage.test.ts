import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { toSegmentName } from '../../src/journal/segments.ts'
import { createFakeDisk, type FakeDisk } from './fake-disk.ts'
import { appendNames, dir, namesIn, openOn } from './support.ts'

const first = join(dir, toSegmentName(1))
const commits = [['a'], ['b', 'c'], ['d']]
const all = commits.flat()

/** A journal of one closed segment with three commits; and what its files hold. */
async function writeSegment(): Promise<{ disk: FakeDisk; identity: Buffer; segment: Buffer }> {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  for (const names of commits) await appendNames(journal, ...names)
  await journal.close()
  return { disk, identity: disk.bytesOf(join(dir, 'identity')), segment: disk.bytesOf(first) }
}

async function reopen(
  identity: Buffer,
  segment: Buffer,
): Promise<{ names: string[]; damages: number }> {
  const disk = createFakeDisk()
  disk.put(join(dir, 'identity'), identity)
  disk.put(first, segment)
  const journal = await openOn(disk)
  const names = await namesIn(journal)
  const { damages } = journal.stats()
  await journal.close()
  return { names, damages }
}

const prefixes = commits.map((_, count) => commits.slice(0, count).flat()).concat([all])

test.each([
  ['and nothing behind', 0],
  ['and zeros behind', 4096],
])('a segment cut at every byte, %s, recovers to a prefix of its commits', async (_, fileBytes) => {
  const { identity, segment } = await writeSegment()
  const recovered = new Set<string>()
  for (let cut = 0; cut <= segment.length; cut += 1) {
    const file = Buffer.alloc(Math.max(cut, fileBytes))
    segment.copy(file, 0, 0, cut)
    const { names } = await reopen(identity, file)
    expect(prefixes).toContainEqual(names)
    recovered.add(names.join())
  }
  expect(recovered.size).toBe(prefixes.length)
})

test('a flipped bit anywhere is found and costs no other commit', async () => {
  const { identity, segment } = await writeSegment()
  for (let bit = 0; bit < segment.length * 8; bit += 1) {
    const flipped = Buffer.from(segment)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    const { names, damages } = await reopen(identity, flipped)
    const kept = commits.filter((commit) => names.includes(commit[0]!))
    const found = { bit, names, lost: commits.length - kept.length > 1, isFound: damages > 0 }
    expect(found).toEqual({ bit, names: kept.flat(), lost: false, isFound: true })
  }
}, 30_000)
