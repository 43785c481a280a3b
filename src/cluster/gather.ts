import { withTimeLimit } from '../core/async.ts'
import {
  noSamples,
  onlyTotals,
  parseMetrics,
  type Samples,
  sumMetrics,
  toMetricsText,
} from '../observability/sum-metrics.ts'
import type { FromChild, ToChild } from './messages.ts'

/** Sums the metrics of all processes of a node. */
export function createMetricsGatherer(): MetricsGatherer {
  const waiting = new Map<string, (samples: Samples) => void>()
  const last = new Map<string, Samples>()
  let ended = noSamples()
  let asked = 0

  async function ask(child: MetricsChild): Promise<Samples> {
    asked += 1
    const id = asked
    const answer = Promise.withResolvers<Samples>()
    const key = `${child.key} ${id}`
    waiting.set(key, answer.resolve)
    child.send({ type: 'metrics', id })
    // A process that does not answer in time counts with its last answer, gauges included.
    const lastAnswer = () => last.get(child.key) ?? noSamples()
    const samples = await withTimeLimit(answer.promise, answerMsMax, lastAnswer)
    waiting.delete(key)
    return samples
  }

  return {
    async text(children, own) {
      const answers = await Promise.all(children.filter((child) => child.isReady()).map(ask))
      return toMetricsText(sumMetrics([parseMetrics(own), ended, ...answers]))
    },
    answered(key, { id, text }) {
      const samples = parseMetrics(text)
      last.set(key, samples)
      waiting.get(`${key} ${id}`)?.(samples)
    },
    ended(key) {
      const samples = last.get(key)
      if (samples === undefined) return
      ended = sumMetrics([ended, onlyTotals(samples)])
      last.delete(key)
    },
  }
}

type MetricsGatherer = {
  /** The sum over all ready children and `own`, as the metrics of one process. */
  text(children: readonly MetricsChild[], own: string): Promise<string>
  answered(key: string, message: Extract<FromChild, { type: 'metrics' }>): void
  /** A child ended. The counters of its last answer stay in the sum, so that no total falls. */
  ended(key: string): void
}

type MetricsChild = { key: string; isReady(): boolean; send(message: ToChild): void }

/** One slow process must not delay a scrape for longer. */
const answerMsMax = 2000
