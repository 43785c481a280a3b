import { expect, test } from 'bun:test'
import { createBrokerList } from '../../../../src/delivery/kafka/broker-list.ts'

const brokers = ['a:9092', 'b:9092', 'c:9093']

test('begins anywhere, so that many nodes do not all begin with the same broker', () => {
  const list = createBrokerList(brokers)
  const firsts = new Set(Array.from({ length: 100 }, () => list.toDial()[0]))
  expect([...firsts].sort()).toEqual(brokers)
  expect(list.toDial().sort()).toEqual(brokers)
})

test('a broker that was dialled and not reached is passed over until each one has been', () => {
  const list = createBrokerList(brokers)
  list.dialing('a', 9092)
  list.dialing('c', 9093)
  expect(list.toDial()).toEqual(['b:9092'])
  list.dialing('b', 9092)
  expect(list.toDial().sort()).toEqual(brokers)
})

test('a broker that was reached is dialled again', () => {
  const list = createBrokerList(brokers)
  list.dialing('a', 9092)
  list.reached('a', 9092)
  list.dialing('b', 9092)
  expect(list.toDial().sort()).toEqual(['a:9092', 'c:9093'])
})

test('brokers that only the cluster names do not count', () => {
  const list = createBrokerList(['a:9092'])
  list.dialing('broker-2.internal', 9092)
  expect(list.toDial()).toEqual(['a:9092'])
})
