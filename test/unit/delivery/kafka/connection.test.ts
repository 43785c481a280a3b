import { expect, test } from 'bun:test'
import { createBrokerList } from '../../../../src/delivery/kafka/connection.ts'

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
