import { expect, expectTypeOf, test } from 'bun:test'
import type { KeptLetter } from '../../../src/console/dead-letters.ts'
import type { Point } from '../../../src/console/history.ts'
import type { LiveEvent } from '../../../src/console/live-taps.ts'
import type { toOverview } from '../../../src/console/overview.ts'
import type {
  HistoryPoint,
  Letter,
  LiveItem,
  OverviewView,
  RefusalView,
  ResendResult,
  SettingView,
  Stage,
  TracedEvent,
} from '../../../src/console/page/data.ts'
import type { Refusal } from '../../../src/console/refusal-log.ts'
import type { ResendOutcome } from '../../../src/console/resend.ts'
import type { SettingInForce } from '../../../src/console/settings.ts'
import type { EventStage } from '../../../src/console/stages.ts'
import type { EventTrace } from '../../../src/console/trace.ts'

// The page is compiled for browsers, so it cannot import these types of the server. `bun run typecheck` compares them.
test('the page reads the types that the data routes send', () => {
  expectTypeOf<KeptLetter>().toExtend<Letter>()
  expectTypeOf<Point>().toExtend<HistoryPoint>()
  expectTypeOf<LiveEvent>().toExtend<Omit<LiveItem, 'seq' | 'hint'>>()
  const toView = (overview: ReturnType<typeof toOverview>): Omit<OverviewView, 'notes'> => overview
  expect(toView).toBeFunction()
  expectTypeOf<Refusal>().toExtend<RefusalView>()
  expectTypeOf<ResendOutcome>().toExtend<Omit<ResendResult, 'uuid'>>()
  expectTypeOf<SettingInForce>().toExtend<SettingView>()
  expectTypeOf<EventStage>().toExtend<Stage>()
  expectTypeOf<EventTrace>().toExtend<TracedEvent>()
})
