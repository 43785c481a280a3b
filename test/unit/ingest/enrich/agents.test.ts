import { expect, test } from 'bun:test'
import { createTestEnricher, readVisitors, toCaptureEvent, toLinkEvent } from './support.ts'

const iphone =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Mobile/15E148 Safari/604.1'
const ipad =
  'Mozilla/5.0 (iPad; CPU OS 15_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.6 Mobile/15E148 Safari/604.1'
const edge =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.68'
const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0'
const wechat =
  'Mozilla/5.0 (Linux; Android 13; V2166A Build/TP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 XWEB/1160065 MicroMessenger/8.0.47.2560(0x28002F35) WeChat/arm64'
const instagram =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 337.0.3.23.54 (iPhone15,2; iOS 17_5; en_US)'
const chromeMac =
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36'
const chromeBook =
  'Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36'
const television =
  'Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/538.1 (KHTML, like Gecko) Version/6.0 TV Safari/538.1'
const dalvik = 'Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7 Build/TQ3A)'

const cases: [
  string,
  string,
  string | undefined,
  number | undefined,
  string | undefined,
  string | undefined,
  string | undefined,
][] = [
  ['Safari on an iPhone', iphone, 'Mobile Safari', 17.4, 'iOS', '17.4.1', 'Mobile'],
  ['Safari on an iPad', ipad, 'Mobile Safari', 15.6, 'iOS', '15.6', 'Tablet'],
  ['Edge', edge, 'Microsoft Edge', 126, 'Windows', '10', 'Desktop'],
  ['Firefox', firefox, 'Firefox', 127, 'Linux', undefined, 'Desktop'],
  ['the browser of WeChat', wechat, 'WeChat', 8, 'Android', '13', 'Mobile'],
  ['the browser of Instagram', instagram, 'Instagram', 337, 'iOS', '17.5', 'Mobile'],
  ['Chrome on a Mac', chromeMac, 'Chrome', 126, 'Mac OS X', '10.15.7', 'Desktop'],
  ['Chrome OS', chromeBook, 'Chrome', 126, 'Chrome OS', '14541.0.0', 'Desktop'],
  ['a television', television, 'Safari', 6, 'Tizen', '6.0', 'TV'],
  ['an app on Android', dalvik, undefined, undefined, 'Android', '13', 'Mobile'],
  ['curl', 'curl/8.1.2', undefined, undefined, undefined, undefined, undefined],
  ['an SDK', 'posthog-node/5.70.0', undefined, undefined, undefined, undefined, undefined],
  ['no header', '', undefined, undefined, undefined, undefined, undefined],
]

test.each(cases)('reads %s', (_, user_agent, browser, version, os, osVersion, device) => {
  const { fill } = createTestEnricher(['user_agent'])
  const wanted = {
    $browser: browser,
    $browser_version: version,
    $os: os,
    $os_version: osVersion,
    $device_type: device,
  }
  expect(fill(toCaptureEvent({}, { user_agent }))).toEqual(
    Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined)),
  )
  const columns = {
    browser: browser ?? '',
    os: os ?? '',
    device_type: device?.toLowerCase().replace('tv', 'smarttv') ?? '',
  }
  expect(fill(toLinkEvent({ user_agent }))).toMatchObject(columns)
})

test('finds the device, browser and system of every real visitor of a public corpus', () => {
  const { fill } = createTestEnricher(['user_agent'])
  const visitors = readVisitors()
  expect(visitors.length).toBeGreaterThan(500)
  const wrong = visitors.filter(({ userAgent, deviceCategory }) => {
    const row = fill(toLinkEvent({ user_agent: userAgent }))
    return row.device_type !== deviceCategory || row.browser === '' || row.os === ''
  })
  expect(wrong).toEqual([])
})

test('keeps what the client sent, null and wrong types included', () => {
  const { fill } = createTestEnricher(['user_agent'])
  const sent = { $browser: 'Own', $os: null, $device_type: 7 }
  expect(fill(toCaptureEvent(sent, { user_agent: iphone }))).toEqual({
    ...sent,
    $browser_version: 17.4,
    $os_version: '17.4.1',
  })
  expect(fill(toLinkEvent({ user_agent: iphone, browser: 'Own' }))).toMatchObject({
    ...{ browser: 'Own', os: 'iOS', device_type: 'mobile' },
  })
})

test('a User-Agent in the properties of capture is the visitor’s, before the header', () => {
  const { fill } = createTestEnricher(['user_agent'])
  for (const name of ['$raw_user_agent', '$user_agent', '$useragent']) {
    const filled = fill(toCaptureEvent({ [name]: iphone }, { user_agent: edge }))
    expect(filled.$browser).toBe('Mobile Safari')
  }
  // The contracts report and telemetry have no such property: it is any other one there.
  const telemetry = toCaptureEvent(
    { $user_agent: iphone },
    { user_agent: edge, source: 'telemetry' },
  )
  expect(fill(telemetry).$browser).toBe('Microsoft Edge')
})

test('writes the same name for each spelling, and no text of the client as a name', () => {
  const { fill } = createTestEnricher(['user_agent'])
  const systems = ['ANDROID 13', 'android 13', 'aNdRoId 13'].map(
    (user_agent) => fill(toLinkEvent({ user_agent })).os,
  )
  expect(systems).toEqual(['Android', 'Android', 'Android'])
  const strange = fill(toCaptureEvent({}, { user_agent: `Mozilla/5.0 Chrome/${'9'.repeat(400)}` }))
  expect(strange).toEqual({ $browser: 'Chrome' })
})

test('leaves the properties as they are if there is nothing to add', () => {
  const { enrich } = createTestEnricher(['user_agent'])
  const event = toCaptureEvent({}, { user_agent: 'curl/8' })
  const given = { events: [event], rejections: [], dropped: 0 }
  expect(enrich(given.events)).toEqual(given)
  expect(event.kind === 'event' && event.row.properties).toBe('{}')
})
