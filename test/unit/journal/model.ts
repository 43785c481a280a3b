import { expect } from 'bun:test'
import type { StoredRecord } from '../../../src/core/record.ts'
import type { Journal } from '../../../src/journal/journal.ts'
import { openReader, type Reader } from '../../../src/journal/reader.ts'
import { toRecords } from '../../../src/journal/record-codec.ts'
import { createFakeDisk, type DiskCall, toError } from './fake-disk.ts'
import { createRecordingLog, dir, openOn, toName, toRecord } from './support.ts'

type Request = { count: number; lineBytes: number }

/** One step in the life of a journal. */
export type Step =
  | { kind: 'append'; requests: Request[] }
  | { kind: 'release'; share: number }
  /** The call of this kind after `after` others fails once. */
  | { kind: 'fault'; call: DiskCall; code: string; after: number }
  | { kind: 'read'; share: number; bytesMax: number; recordsMax: number }
  | { kind: 'restart' }
  /** The process or the machine dies `calls` disk calls after the requests arrived. */
  | { kind: 'kill'; requests: Request[]; calls: number }
  | { kind: 'crash'; requests: Request[]; calls: number; seed: number }

/** An array of the acknowledged records, compared with the journal. */
export async function createModel(): Promise<{
  take(step: Step): Promise<void>
  isSound: boolean
}> {
  const model = new Model()
  await model.open()
  return model
}

class Model {
  isSound = false
  readonly #disk = createFakeDisk()
  /** Committed records by offset, as reported by the journal. */
  readonly #committed: string[] = []
  /** Records whose outcome is unknown: each may be in the journal or not. */
  readonly #unknown = new Set<string>()
  readonly #refused = new Set<string>()
  #journal!: Journal
  #log = createRecordingLog()
  #reader!: Reader
  #released = 0
  /** A partial file that could not be removed looks like a damaged segment. */
  #hasLeftovers = false
  /** After a start without disk space: the end of the acknowledged commits, and of all. */
  #unproven: { from: number; end: number } | undefined
  #names = 0

  async take(step: Step): Promise<void> {
    if (step.kind === 'append') await Promise.all(this.#append(step.requests))
    if (step.kind === 'release') await this.#release(step.share)
    if (step.kind === 'fault') this.#failOnce(step)
    if (step.kind === 'read') await this.#read(step)
    if (step.kind === 'restart') await this.#restart()
    if (step.kind === 'kill' || step.kind === 'crash') await this.#die(step)
  }

  async open(): Promise<void> {
    const mayReturn = this.#log.lines.includes(
      'error: cannot make a refusal durable; a restart may bring the commit back',
    )
    if (mayReturn) for (const name of this.#refused) this.#unknown.add(name)
    this.#log = createRecordingLog()
    const open = () =>
      openOn(this.#disk, {
        log: this.#log,
        onCommitted: (block) => {
          for (const record of toRecords(block)) this.#committed[record.offset] = toName(record)
        },
      })
    this.#journal = await retry(open)
    await this.#check()
    const read = () =>
      openReader({ dir, log: createRecordingLog(), fileSystem: this.#disk.attach() })
    this.#reader = await retry(read)
  }

  #append(requests: readonly Request[]): Promise<void>[] {
    return requests.map(async ({ count, lineBytes }) => {
      const names = Array.from({ length: count }, () => `record-${this.#names++}`)
      for (const name of names) this.#unknown.add(name)
      const isTaken = await this.#journal
        .append(names.map((name) => toRecord(name, JSON.stringify(name.padEnd(lineBytes)))))
        .then(
          () => true,
          () => false,
        )
      for (const name of names) {
        this.#unknown.delete(name)
        if (!isTaken) this.#refused.add(name)
        expect(this.#committed.includes(name)).toBe(isTaken)
      }
    })
  }

  async #release(share: number): Promise<void> {
    this.#released = Math.max(this.#released, Math.floor(share * this.#committed.length))
    await this.#journal.release(this.#released)
  }

  #failOnce({ call, code, after }: { call: DiskCall; code: string; after: number }): void {
    if (call === 'unlink') this.#hasLeftovers = true
    let left = after
    const others = this.#disk.fault
    this.#disk.fault = (made, path) => {
      const verdict = others(made, path)
      if (verdict || made !== call) return verdict
      left -= 1
      return left === -1 ? toError(code) : undefined
    }
  }

  async #read(step: { share: number; bytesMax: number; recordsMax: number }): Promise<void> {
    const { endOffset } = this.#journal
    const from = this.#released + Math.floor(step.share * (endOffset - this.#released))
    const read = () => this.#reader.read(from, { ...step, endOffset })
    const records = await retry(read)
    const expected = this.#committed.slice(from, from + records.length)
    expect(records.map(toName)).toEqual(expected)
    expect(records.map(({ offset }) => offset)).toEqual(expected.map((_, index) => from + index))
    expect(records.length).toBeLessThanOrEqual(step.recordsMax)
    const bytes = records.reduce((sum, { line }) => sum + line.length, 0)
    expect(records.length <= 1 || bytes <= step.bytesMax).toBe(true)
    expect(records.length > 0).toBe(from < endOffset)
  }

  async #restart(): Promise<void> {
    await this.#journal.close().catch(() => {})
    await this.open()
  }

  async #die(step: { requests: Request[]; calls: number; seed?: number }): Promise<void> {
    let left = step.calls
    const { fault } = this.#disk
    const died = Promise.withResolvers<void>()
    this.#disk.fault = (call, path) => {
      if (left-- > 0) return fault(call, path)
      died.resolve()
      return new Promise(() => {})
    }
    const settled = Promise.all(this.#append(step.requests))
    await Promise.race([settled, died.promise])
    this.#disk.fault = fault
    if (step.seed === undefined) this.#disk.kill()
    else this.#disk.crash(toChance(step.seed))
    await this.open()
  }

  /** Compares the model with the recovered journal. */
  async #check(): Promise<void> {
    const found: StoredRecord[] = []
    await retry(() => {
      found.length = 0
      return this.#journal.replay((record) => found.push(record))
    })
    this.#dropUnproven()
    const provenEnd = this.#committed.length
    for (const record of found) {
      const name = toName(record)
      // A record with an unknown outcome may have been committed, behind the acknowledged ones.
      if (this.#unknown.has(name) && !this.#committed.includes(name)) {
        this.#committed[record.offset] = name
        this.#refused.delete(name)
      }
    }
    for (const name of this.#unknown) if (!this.#committed.includes(name)) this.#refused.add(name)
    this.#unknown.clear()
    const first = found[0]?.offset ?? this.#committed.length
    expect(first).toBeLessThanOrEqual(this.#released)
    expect(found.map(toName)).toEqual(this.#committed.slice(first))
    expect(found.map(({ offset }) => offset)).toEqual(found.map((_, index) => first + index))
    expect(found.map(toName).filter((name) => this.#refused.has(name))).toEqual([])
    expect(this.#journal.endOffset).toBe(this.#committed.length)
    if (!this.#hasLeftovers) expect(this.#journal.stats().damages).toBe(0)
    this.#unproven ??= { from: provenEnd, end: this.#committed.length }
    if (!this.#log.lines.some((line) => line.includes('the disk is full')))
      this.#unproven = undefined
    this.isSound = true
  }

  /**
   * A commit whose sync failed just before the process died cannot be written again on a full disk.
   * It was not acknowledged, and a power cut may lose it until there is space.
   */
  #dropUnproven(): void {
    if (this.#committed.length !== this.#unproven?.end) return
    if (this.#journal.endOffset >= this.#unproven.from)
      this.#committed.length = Math.min(this.#committed.length, this.#journal.endOffset)
  }
}

/** A generator for each crash, so that a failing run can be repeated. */
function toChance(seed: number): () => boolean {
  let state = seed | 1
  return () => {
    state = Math.imul(state, 1_664_525) + 1_013_904_223
    return (state >>> 16) % 2 === 0
  }
}

/** Each fault happens once, so a second attempt succeeds. */
async function retry<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error
    }
  }
}
