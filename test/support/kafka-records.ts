import { gunzipSync } from 'node:zlib'

export type KafkaRecord = {
  partition: number
  offset: number
  key: string
  headers: Record<string, string>
  /** The canonical line, decompressed if its header says gzip. */
  line: string
}

/** All records of a topic, in the order of each partition. Empty for a missing topic. */
export async function readRecords(
  brokers: readonly string[],
  topic: string,
): Promise<KafkaRecord[]> {
  const format = '%p\t%o\t%k\t%h\t%S\n%s\n'
  const source = ['-b', brokers.join(','), '-t', topic, '-X', 'fetch.wait.max.ms=10']
  const command = ['kcat', '-C', ...source, '-e', '-q', '-o', 'beginning', '-f', format]
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'pipe' })
  const [output, errors] = await Promise.all([child.stdout.bytes(), child.stderr.text()])
  if ((await child.exited) !== 0 && !errors.includes('Unknown topic'))
    throw new Error(`kcat could not read ${topic}: ${errors}`)
  return parseRecords(Buffer.from(output))
}

/** Each head line ends with the number of value bytes that follow it. */
function parseRecords(output: Buffer): KafkaRecord[] {
  const records: KafkaRecord[] = []
  for (let at = 0; at < output.length; ) {
    const lineEnd = output.indexOf('\n', at)
    const head = output.toString('utf8', at, lineEnd).split('\t')
    const [partition, offset, key, headerText, length] = head as Five
    const valueEnd = lineEnd + 1 + Number(length)
    const headers = toHeaders(headerText)
    const value = output.subarray(lineEnd + 1, valueEnd)
    const line = headers['content-encoding'] === 'gzip' ? gunzipSync(value) : value
    const place = { partition: Number(partition), offset: Number(offset) }
    records.push({ ...place, key, headers, line: line.toString() })
    at = valueEnd + 1
  }
  return records
}

type Five = [string, string, string, string, string]

function toHeaders(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((pair) => pair.split('=') as [string, string]))
}
