import { describe, expect, test } from 'bun:test'
import {
  createBrokerList,
  type Send,
  toRequests,
} from '../../../../src/delivery/kafka/connection.ts'

const brokers = ['a:9092', 'b:9092', 'c:9093']

test('starts the list at a random broker, so that nodes spread over the brokers', () => {
  const list = createBrokerList(brokers)
  const firsts = new Set(Array.from({ length: 100 }, () => list.toDial()[0]))
  expect([...firsts].sort()).toEqual(brokers)
  expect(list.toDial().sort()).toEqual(brokers)
})

test('leaves out a broker that was dialled and not reached until each one has been dialled', () => {
  const list = createBrokerList(brokers)
  list.dialing('a', 9092)
  list.dialing('c', 9093)
  expect(list.toDial()).toEqual(['b:9092'])
  list.dialing('b', 9092)
  expect(list.toDial().sort()).toEqual(brokers)
})

test('lists a broker again that was reached', () => {
  const list = createBrokerList(brokers)
  list.dialing('a', 9092)
  list.reached('a', 9092)
  list.dialing('b', 9092)
  expect(list.toDial().sort()).toEqual(['a:9092', 'c:9093'])
})

test('ignores dials to brokers outside the list', () => {
  const list = createBrokerList(['a:9092'])
  list.dialing('broker-2.internal', 9092)
  expect(list.toDial()).toEqual(['a:9092'])
})

describe('sets that are sent together', () => {
  const makeSend = (partition: number, bytes = 100): Send => ({
    ...{ topic: 't', partition, bytes, resolve() {}, reject() {} },
    set: { seal: () => Buffer.alloc(0), answered() {} },
  })
  const group = (sends: Send[], leaders: Record<string, number>) =>
    toRequests(sends, new Map(Object.entries(leaders))).map((request) =>
      request.map(({ partition }) => partition),
    )

  test('share a request for each broker', () => {
    const leaders = { 't/0': 1, 't/1': 2, 't/2': 1, 't/3': 2 }
    expect(
      group(
        [0, 1, 2, 3].map((n) => makeSend(n)),
        leaders,
      ),
    ).toEqual([
      [0, 2],
      [1, 3],
    ])
  })

  test('go alone without a known leader', () => {
    expect(group([makeSend(0), makeSend(1), makeSend(2)], { 't/1': 1 })).toEqual([[0], [1], [2]])
  })

  test('share requests of at most 4 MiB, unless one set is larger', () => {
    const mib = 1024 * 1024
    const leaders = { 't/0': 1, 't/1': 1, 't/2': 1, 't/3': 1 }
    const sends = [makeSend(0, 5 * mib), makeSend(1, 2 * mib), makeSend(2, 2 * mib), makeSend(3, 1)]
    expect(group(sends, leaders)).toEqual([[0], [1, 2], [3]])
  })
})
