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

/** A process whose metrics can be asked for; `key` tells it from the others. */
export type Source = { key: string; isReady(): boolean; send(message: ToChild): void }

export type Gathering = {
  /** The metrics of all that answer in time, as those of one process. */
  text(sources: readonly Source[], own: string): Promise<string>
  answered(key: string, message: Extract<FromChild, { type: 'metrics' }>): void
  /** What it had counted when it was last asked stays in the totals. */
  fallen(key: string): void
}

/** Whoever is slower than this is left out: a scrape must not hang with one process. */
const answerMsMax = 2000

export function createGathering(): Gathering {
  const waiting = new Map<string, (samples: Samples) => void>()
  const last = new Map<string, Samples>()
  let ended = noSamples()
  let asked = 0

  async function ask(source: Source): Promise<Samples> {
    asked += 1
    const id = asked
    const answer = Promise.withResolvers<Samples>()
    const key = `${source.key} ${id}`
    waiting.set(key, answer.resolve)
    // A process that does not answer is as it was: its totals stay, its gauges too.
    const onTimeout = () => last.get(source.key) ?? noSamples()
    const answered = withTimeLimit(answer.promise, answerMsMax, onTimeout)
    source.send({ type: 'metrics', id })
    const samples = await answered
    waiting.delete(key)
    return samples
  }

  return {
    async text(sources, own) {
      const answers = await Promise.all(sources.filter((source) => source.isReady()).map(ask))
      return toMetricsText(sumMetrics([parseMetrics(own), ended, ...answers]))
    },
    answered(key, { id, text }) {
      const samples = parseMetrics(text)
      last.set(key, samples)
      waiting.get(`${key} ${id}`)?.(samples)
    },
    fallen(key) {
      const samples = last.get(key)
      if (samples === undefined) return
      ended = sumMetrics([ended, onlyTotals(samples)])
      last.delete(key)
    },
  }
}
