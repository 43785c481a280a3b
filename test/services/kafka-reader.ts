import { gunzipSync } from 'node:zlib'
import { requireCommand } from './install.ts'

export type Received = {
  partition: number
  offset: number
  key: string
  headers: Record<string, string>
  value: string
}

/** Await this before the first read: installing kcat may take longer than a test's time limit. */
export const requireKcat = () => requireCommand('kcat', 'kcat')

/** All records of a topic, read by kcat. A value with `content-encoding: gzip` is decompressed. */
export async function readTopic(brokers: readonly string[], topic: string): Promise<Received[]> {
  const format = '%p\t%o\t%k\t%h\t%S\t%s\n'
  const output = await kcat(brokers, topic, ['-o', 'beginning', '-f', format])
  const received: Received[] = []
  let at = 0
  const takeField = () => {
    const end = output.indexOf('\t', at)
    const field = output.toString('utf8', at, end)
    at = end + 1
    return field
  }
  while (at < output.length) {
    const [partition, offset, key] = [takeField(), takeField(), takeField()]
    const headers = toHeaders(takeField())
    // Compressed values have line breaks, so the length tells where they end.
    const end = Number(takeField()) + at
    const bytes = output.subarray(at, end)
    at = end + 1
    const value = headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
    received.push({ partition: +partition, offset: +offset, key, headers, value: `${value}` })
  }
  return received
}

/** The bytes of one value. */
export function readValue(
  brokers: readonly string[],
  topic: string,
  { partition, offset }: { partition: number; offset: number },
): Promise<Buffer> {
  const place = ['-p', String(partition), '-o', String(offset), '-c', '1', '-f', '%s']
  return kcat(brokers, topic, place)
}

async function kcat(brokers: readonly string[], topic: string, args: string[]): Promise<Buffer> {
  const source = ['-b', brokers.join(','), '-t', topic, '-X', 'fetch.wait.max.ms=10']
  const command = ['kcat', '-C', ...source, '-e', '-q', ...args]
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'pipe' })
  const [output, errors] = await Promise.all([child.stdout.bytes(), child.stderr.text()])
  const isFine = (await child.exited) === 0
  // A topic that does not exist yet, or was just deleted, counts as empty.
  if (!isFine && !/Unknown (topic|partition)|Leader not available/.test(errors))
    throw new Error(`kcat could not read ${topic}: ${errors}`)
  return Buffer.from(output)
}

/** kcat writes headers as name=value, comma-separated. */
function toHeaders(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((pair) => pair.split('=') as [string, string]))
}
