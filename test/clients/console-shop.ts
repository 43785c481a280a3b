import { post } from '../services/console/support.ts'

export type Shop = { stop(): Promise<void> }

/** Sends what the clients of a shop would send over all four contracts, some of it wrong, until `stop`. */
export function startShop(url: string): Shop {
  let isStopping = false
  const running = (async () => {
    for (let round = 0; !isStopping; round += 1) {
      await sendRound(url, round)
      await Bun.sleep(80)
    }
  })()
  return {
    stop: async () => {
      isStopping = true
      await running
    },
  }
}

const choose = <T>(values: readonly T[], at: number): T => values[at % values.length]!
const names = ['$pageview', 'search', '$pageview', 'signed_up', '$autocapture', 'invoice_paid']
const pages = ['', 'pricing', 'docs', 'cart', 'checkout']

async function sendRound(url: string, round: number): Promise<void> {
  const size = 3 + Math.round(3 * (1 + Math.sin(round / 45)))
  const batch: object[] = Array.from({ length: size }, (_, index) => {
    const seed = round * 31 + index * 17
    const properties = {
      $current_url: `https://shop.example.com/${choose(pages, seed)}`,
      plan: choose(['free', 'team', 'scale'], seed),
    }
    const event = choose(names, seed + (seed >> 3))
    return { uuid: crypto.randomUUID(), event, distinct_id: `user-${seed % 397}`, properties }
  })
  const known = batch.slice(0, 2)
  if (round % 11 === 0) batch.push({ event: 'signed_up', properties: { plan: 'team' } })
  if (round % 43 === 0) batch.push({ event: '', distinct_id: 'user-7' })
  if (round % 19 === 0) batch.push({ event: 'search', distinct_id: 'user-9', timestamp: 'soon' })
  await post(`${url}/batch/`, { api_key: 'phc_shop', batch })
  if (round % 13 === 0) await post(`${url}/batch/`, { api_key: 'phc_shop', batch: known })
  if (round % 2 === 0) await sendLink(url, round)
  if (round % 3 === 0) await sendReport(url, round)
  if (round % 2 === 1) await sendTelemetry(url, round)
  if (round % 61 === 0) await post(`${url}/e/`, '{"api_key": "phc_shop", "event": "half')
}

const sendLink = (url: string, round: number) =>
  post(`${url}/api/events/track`, {
    event_type: choose(['click', 'view', 'conversion'], round),
    event_id: crypto.randomUUID(),
    link_id: choose(['spring', 'launch', 'abc123'], round >> 1),
    project_id: 'shop',
    visitor_id: `visitor-${round % 91}`,
    utm_source: choose(['email', 'ads', 'social'], round),
  })

const sendReport = (url: string, round: number) =>
  post(
    `${url}/v2/users/report/events`,
    {
      events: ['app_opened', choose(['purchase', 'level_up'], round)].map((name) => ({
        name,
        user: `u${round % 67}`,
        sessionId: `s${round % 67}`,
        extra: { source: 'push' },
      })),
    },
    {
      'x-api-key': 'mobile-key',
      'x-user-id': 'u1',
      'x-app-id': 'com.example.shop',
      'x-platform': 'iOS',
      'x-version': '2.4.0',
      'idempotency-key': crypto.randomUUID(),
    },
  )

const sendTelemetry = (url: string, round: number) =>
  post(
    `${url}/api/telemetry/events`,
    ['/dashboard', '/orders', '/settings'].map((name) => ({
      ...{ id: crypto.randomUUID(), type: 'page', name, ts: Date.now(), app: 'backoffice' },
      ...{ release: '3.1.0', sessionId: `s${round % 71}`, user: { id: `staff-${round % 31}` } },
    })),
  )
