import { gzipSync } from 'node:zlib'

/** The events that clients sent, and the replies. Tests compare the stored events with them. */
export type Ledger = {
  /** The JSON of the properties of every sent event, by uuid. */
  sent: Map<string, string>
  acknowledged: Set<string>
  statuses: Map<number | 'lost', number>
}

export type Traffic = { ledger: Ledger; stop(): Promise<void> }

/** A client retries every other status, like the SDKs. */
const isFinal = (status: number) =>
  status === 200 || (status >= 400 && status < 500 && status !== 429)

/**
 * Starts clients that send batches in several encodings and repeat each request until they know its
 * outcome. `stop` waits for the last requests.
 */
export function startTraffic(options: TrafficOptions): Traffic {
  const { url, clients = 8, token = 'phc_test', pauseMs = 0 } = options
  const ledger: Ledger = { sent: new Map(), acknowledged: new Set(), statuses: new Map() }
  let isStopping = false
  const running = Array.from({ length: clients }, async (_, client) => {
    for (let round = 0; !isStopping; round += 1) {
      await sendBatch({ url, token, ledger, seed: client * 1e6 + round })
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  })
  return {
    ledger,
    stop: async () => {
      isStopping = true
      await Promise.all(running)
    },
  }
}

export type TrafficOptions = {
  url: string
  clients?: number
  token?: string
  /** Pause between two requests of a client, ms; lowers the load of a long test. */
  pauseMs?: number
}

type Sending = { url: string; token: string; ledger: Ledger; seed: number }

async function sendBatch({ url, token, ledger, seed }: Sending): Promise<void> {
  const batch = Array.from({ length: 1 + (seed % 20) }, (_, index) => toEvent(seed, index))
  for (const { uuid, properties } of batch) ledger.sent.set(uuid, JSON.stringify(properties))
  const { body, headers } = encode(JSON.stringify({ api_key: token, batch }), seed % 3)
  for (;;) {
    const status = await post(`${url}/batch/`, body, headers)
    ledger.statuses.set(status, (ledger.statuses.get(status) ?? 0) + 1)
    if (status === 200) for (const { uuid } of batch) ledger.acknowledged.add(uuid)
    if (status !== 'lost' && isFinal(status)) return
    // A stopped server refuses at once, so pause like a client's back-off.
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function post(url: string, body: Uint8Array | string, headers: Record<string, string>) {
  try {
    const response = await fetch(url, { method: 'POST', body, headers, keepalive: false })
    await response.text()
    return response.status
  } catch {
    return 'lost' as const
  }
}

function toEvent(seed: number, index: number) {
  return {
    event: index % 2 === 0 ? '$pageview' : 'purchase',
    uuid: crypto.randomUUID(),
    distinct_id: `user-${seed % 50}`,
    timestamp: new Date().toISOString(),
    properties: {
      seed,
      index,
      text: 'ünï\u0000cödé "quoted" \\ \n',
      long: 'x'.repeat((seed * 37 + index * 101) % 3000),
      nested: { list: [1, 2.5, null, true], empty: {} },
    },
  }
}

function encode(
  text: string,
  kind: number,
): { body: Uint8Array | string; headers: Record<string, string> } {
  if (kind === 0) return { body: text, headers: { 'content-type': 'application/json' } }
  if (kind === 1) return { body: gzipSync(text), headers: { 'content-type': 'text/plain' } }
  const form = new URLSearchParams({ data: Buffer.from(text).toString('base64') })
  return {
    body: form.toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  }
}
