import { type Clock, dayMs, hourMs } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { type KeptFile, type MarkerDisk, type MarkerWriter, toFileName } from './marker-disk.ts'

/** A file is at most an eighth of what may be kept, so that giving one up forgets little. */
const filesMin = 8
const liveHours = dayMs / hourMs

/** Which marker files there are: one is written to, those of the last 24 hours and `bytesMax` in all are kept. */
export class MarkerFolder {
  readonly #options: MarkerFolderOptions
  #kept: KeptFile[] | undefined
  #open: { writer: MarkerWriter; file: KeptFile } | undefined

  constructor(options: MarkerFolderOptions) {
    this.#options = options
  }

  get bytes(): number {
    return (this.#kept ?? []).reduce((sum, file) => sum + file.bytes, 0)
  }

  /** What earlier processes left, oldest first, without what is too old. */
  async list(): Promise<readonly KeptFile[]> {
    this.#kept = await this.#options.disk.list(this.#options.folder)
    await this.#removeOld()
    return this.#kept
  }

  /** Appends to the file of that hour; on disk only after `sync`. */
  async write(hour: number, bytes: Uint8Array): Promise<void> {
    const { writer, file } = await this.#openFor(hour)
    for (let at = 0; at < bytes.length; )
      at += (await writer.write(bytes.subarray(at))).bytesWritten
    file.bytes += bytes.length
  }

  async sync(): Promise<void> {
    await this.#open?.writer.datasync()
  }

  /** Never touches the open file again: after a failed write its end is torn, after a failed sync anything may be. */
  async leave(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await open?.writer.close().catch(() => {})
    if (open?.file.bytes === 0) await this.#remove(open.file)
  }

  async #openFor(hour: number) {
    const { disk, folder, bytesMax } = this.#options
    const open = this.#open
    if (open?.file.hour === hour && open.file.bytes < bytesMax / filesMin) return open
    await this.sync()
    await this.leave()
    const kept = this.#kept ?? (await this.list())
    const parts = kept.filter((file) => file.hour === hour).map((file) => file.part)
    const part = Math.max(-1, ...parts) + 1
    const file = { name: toFileName(hour, part), hour, part, bytes: 0 }
    this.#open = { file, writer: await disk.create(folder, file.name) }
    this.#kept = [...kept, file]
    await this.#removeOld()
    return this.#open
  }

  async #removeOld(): Promise<void> {
    const { now, bytesMax } = this.#options
    const hourMin = Math.floor(now() / hourMs) - liveHours
    let bytes = this.bytes
    for (const file of this.#kept ?? []) {
      if (file === this.#open?.file || (file.hour >= hourMin && bytes <= bytesMax)) continue
      bytes -= file.bytes
      await this.#remove(file)
    }
  }

  async #remove(file: KeptFile): Promise<void> {
    const { disk, folder, log } = this.#options
    this.#kept = this.#kept?.filter((kept) => kept !== file)
    await disk.remove(folder, file.name).catch((error) => {
      log.warn({ file: file.name, error: String(error) }, 'a marker file cannot be removed')
    })
  }
}

export type MarkerFolderOptions = {
  folder: string
  bytesMax: number
  now: Clock
  log: Log
  disk: MarkerDisk
}
