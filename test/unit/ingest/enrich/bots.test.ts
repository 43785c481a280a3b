import { describe, expect, test } from 'bun:test'
import type { CanonicalEvent, RecordingRow } from '../../../../src/core/event.ts'
import {
  createTestEnricher,
  readRobots,
  readVisitors,
  toCaptureEvent,
  toLinkEvent,
} from './support.ts'

const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36'

/** As their operators document them, or as servers saw them. */
const previews: [string, string][] = [
  ['WhatsApp', 'WhatsApp/2.23.20.0 A'],
  [
    'Facebook and Messenger',
    'facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)',
  ],
  ['Telegram', 'TelegramBot (like TwitterBot)'],
  ['X', 'Twitterbot/1.0'],
  ['Slack', 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)'],
  ['Discord', 'Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)'],
  [
    'LinkedIn',
    'LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)',
  ],
  [
    'Skype and Teams',
    'Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com',
  ],
  [
    'Apple Messages',
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0',
  ],
  ['LINE', 'facebookexternalhit/1.1;line-poker/1.0'],
  [
    'KakaoTalk',
    'facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/scrap/33984',
  ],
  [
    'DingTalk',
    'Mozilla/5.0 (compatible; DingTalkBot-LinkService/1.0; +https://ding-doc.dingtalk.com)',
  ],
  [
    'Lark',
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.0 Safari/537.36 LarkUrl2PNG/1.0',
  ],
  ['Mastodon', 'Mastodon/4.2.9 (http.rb/5.1.1; +https://mastodon.social/)'],
  ['Bluesky', 'Mozilla/5.0 (compatible; Bluesky Cardyb/1.1; +mailto:support@bsky.app)'],
  ['Reddit', 'Mozilla/5.0 (compatible; redditbot/1.0; +http://www.reddit.com/feedback)'],
  ['Pinterest', 'Mozilla/5.0 (compatible; Pinterestbot/1.0; +http://www.pinterest.com/bot.html)'],
  ['Snapchat', 'Snapchat URL Preview Service; bot; snapchat; https://developers.snap.com/robots'],
]

describe('bots', () => {
  test.each(previews)(
    'marks the preview of %s, named by the event or by the header',
    (_, agent) => {
      const { fill } = createTestEnricher(['bots'])
      expect(fill(toLinkEvent({ user_agent: agent })).is_bot).toBe(true)
      expect(fill(toLinkEvent({ user_agent: agent }, false)).is_bot).toBe(true)
      expect(fill(toCaptureEvent({}, { user_agent: agent }))).toEqual({ $bot: true })
    },
  )

  test('marks nearly every robot of a public list, and all fetchers of previews', () => {
    const { fill } = createTestEnricher(['bots'])
    const robots = readRobots()
    const isMissed = ({ userAgent }: { userAgent: string }) =>
      fill(toLinkEvent({ user_agent: userAgent })).is_bot !== true
    expect(robots.length).toBeGreaterThan(2000)
    expect(robots.filter(isMissed).length).toBeLessThan(20)
    const ofPreviews = robots.filter(({ tags }) => tags.includes('social-preview'))
    expect(ofPreviews.length).toBeGreaterThan(20)
    // The list counts the browsers inside Facebook and Instagram as robots: people use them.
    const isInApp = ({ userAgent }: { userAgent: string }) => /; wv\)|FBAN|IABMV/.test(userAgent)
    expect(ofPreviews.filter((robot) => !isInApp(robot)).filter(isMissed)).toEqual([])
  })

  test('marks no real visitor of a public corpus', () => {
    const { fill } = createTestEnricher(['bots'])
    const marked = readVisitors().filter(
      ({ userAgent }) => fill(toLinkEvent({ user_agent: userAgent })).is_bot !== undefined,
    )
    expect(marked).toEqual([])
  })

  test.each([
    'posthog-node/5.70.0',
    'posthog-python/3.1.0',
    'python-requests/2.31.0',
    'axios/1.6.8',
    'node',
    'Go-http-client/2.0',
    'okhttp/4.12.0',
    'curl/8.5.0',
    'YourApp/1.0',
    'MyApp/3.1 CFNetwork/1410.0.3 Darwin/22.6.0',
    'support-chatbot/1.2',
  ])('does not take the program that sends events for a robot: %s', (user_agent) => {
    const { fill } = createTestEnricher(['bots'], 'drop')
    expect(fill(toCaptureEvent({}, { user_agent }))).toEqual({})
    expect(fill(toLinkEvent({ user_agent }, false)).is_bot).toBeUndefined()
  })

  test('a visitor who uses such a program is one', () => {
    const { fill } = createTestEnricher(['bots'])
    expect(fill(toLinkEvent({ user_agent: 'curl/8.5.0' })).is_bot).toBe(true)
    expect(fill(toCaptureEvent({ $raw_user_agent: 'curl/8.5.0' })).$bot).toBe(true)
  })

  test('leaves out and counts them with "drop", and keeps the order of the others', () => {
    const { enrich, counts } = createTestEnricher(['bots'], 'drop')
    const toEvent = (event: string, user_agent: string) => toCaptureEvent({}, { event, user_agent })
    const { events, dropped } = enrich([
      toEvent('a', chrome),
      toEvent('b', 'Twitterbot/1.0'),
      toEvent('c', chrome),
      toEvent('d', 'WhatsApp/2.23'),
      toEvent('e', chrome),
    ])
    expect(events.map(({ row }) => 'event' in row && row.event)).toEqual(['a', 'c', 'e'])
    expect(dropped).toBe(2)
    expect(counts.bots).toEqual({ marked: 0, dropped: 2 })
  })

  test('a recording is left out, too, and cannot be marked', () => {
    const row = { project: 'shop', user_agent: 'Twitterbot/1.0' } as RecordingRow
    const recording = { kind: 'recording', row } as CanonicalEvent
    expect(createTestEnricher(['bots'], 'drop').enrich([recording])).toMatchObject({ dropped: 1 })
    const { enrich, counts } = createTestEnricher(['bots'])
    expect(enrich([recording]).events).toEqual([recording])
    expect(counts.bots).toEqual({ marked: 0, dropped: 0 })
  })

  test('keeps the client’s own $bot', () => {
    const { fill } = createTestEnricher(['bots'])
    expect(fill(toCaptureEvent({ $bot: false }, { user_agent: 'Twitterbot/1.0' }))).toEqual({
      $bot: false,
    })
  })
})
