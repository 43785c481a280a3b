import { type Clock, dayMs, hourMs } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { type MarkerDisk, type MarkerFile, type MarkerWriter, toFileName } from './marker-disk.ts'

/** A file holds at most an eighth of `bytesMax`, so that removing one forgets few keys. */
const filesMin = 8
const liveHours = dayMs / hourMs

/**
 * The marker files of the last 24 hours, at most `bytesMax` in total. At most one file is open, for
 * appending.
 */
export class MarkerFolder {
  readonly #options: MarkerFolderOptions
  #files: MarkerFile[] | undefined
  #open: { writer: MarkerWriter; file: MarkerFile } | undefined

  constructor(options: MarkerFolderOptions) {
    this.#options = options
  }

  get bytes(): number {
    return (this.#files ?? []).reduce((sum, file) => sum + file.bytes, 0)
  }

  /** The files of earlier processes, oldest first, after removing those that are too old. */
  async list(): Promise<readonly MarkerFile[]> {
    this.#files = await this.#options.disk.list(this.#options.folder)
    await this.#removeOld()
    return this.#files
  }

  /** Appends to a file of that hour. Durable only after `sync`. */
  async write(hour: number, bytes: Uint8Array): Promise<void> {
    const { writer, file } = await this.#openFor(hour)
    for (let at = 0; at < bytes.length; )
      at += (await writer.write(bytes.subarray(at))).bytesWritten
    file.bytes += bytes.length
  }

  async sync(): Promise<void> {
    await this.#open?.writer.datasync()
  }

  /**
   * Closes the open file for good: after a failed write its end may be incomplete, after a failed
   * sync any part of it.
   */
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
    const files = this.#files ?? (await this.list())
    const parts = files.filter((file) => file.hour === hour).map((file) => file.part)
    const part = Math.max(-1, ...parts) + 1
    const file = { name: toFileName(hour, part), hour, part, bytes: 0 }
    this.#open = { file, writer: await disk.create(folder, file.name) }
    this.#files = [...files, file]
    await this.#removeOld()
    return this.#open
  }

  async #removeOld(): Promise<void> {
    const { now, bytesMax } = this.#options
    const hourMin = Math.floor(now() / hourMs) - liveHours
    let bytes = this.bytes
    for (const file of this.#files ?? []) {
      if (file === this.#open?.file || (file.hour >= hourMin && bytes <= bytesMax)) continue
      bytes -= file.bytes
      await this.#remove(file)
    }
  }

  async #remove(file: MarkerFile): Promise<void> {
    const { disk, folder, log } = this.#options
    this.#files = this.#files?.filter((other) => other !== file)
    await disk.remove(folder, file.name).catch((error) => {
      log.warn({ file: file.name, error: String(error) }, 'cannot remove a marker file')
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
