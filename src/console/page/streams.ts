/** The messages of a text/event-stream. Comments and other fields are left out. */
export async function* readMessages(response: Response) {
  for await (const block of splitText(response, '\n\n')) {
    let event = 'message'
    const data: string[] = []
    for (const line of block.split('\n')) {
      if (line.startsWith('event:')) event = line.slice(6).trim()
      else if (line.startsWith('data:')) data.push(line.slice(5).trimStart())
    }
    if (data.length > 0) yield { event, data: JSON.parse(data.join('\n')) as unknown }
  }
}

/** The values of an application/x-ndjson reply, as they arrive. */
export async function* readJsonLines<T>(response: Response): AsyncGenerator<T> {
  for await (const line of splitText(response, '\n'))
    if (line.trim() !== '') yield JSON.parse(line) as T
}

/** The whole body, or undefined if it is longer than `bytesMax`. */
export async function readText(response: Response, bytesMax: number): Promise<string | undefined> {
  let text = ''
  let bytes = 0
  for await (const { part, length } of readParts(response)) {
    bytes += length
    if (bytes > bytesMax) return undefined
    text += part
  }
  return text
}

async function* splitText(response: Response, separator: string): AsyncGenerator<string> {
  let rest = ''
  for await (const { part } of readParts(response)) {
    const parts = (rest + part).split(separator)
    rest = parts.pop() ?? ''
    yield* parts
  }
  if (rest !== '') yield rest
}

/** A reader, because not every browser can iterate over a stream. */
async function* readParts(response: Response): AsyncGenerator<{ part: string; length: number }> {
  if (!response.body) return
  const decoder = new TextDecoder()
  const reader = response.body.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield { part: decoder.decode(value, { stream: true }), length: value.length }
    }
  } finally {
    void reader.cancel().catch(() => {})
  }
}
