import { expect, test } from 'vitest'
import { StartPace } from '../../../src/actors/node/start-pace.ts'

test('turns that start at once are bounded by nothing else than slots', () => {
  const pace = new StartPace()
  expect(pace.room).toBeGreaterThan(100_000)
  for (let i = 0; i < 100; i++) pace.started(0.005)
  expect(pace.room).toBeGreaterThan(10_000)
})

test('turns that keep the loop leave room for what starts within a fifth of a second', () => {
  const pace = new StartPace()
  for (let i = 0; i < 30; i++) pace.started(50)
  expect(pace.room).toBe(4)
  for (let i = 0; i < 30; i++) pace.started(1_000)
  expect(pace.room).toBe(1)
})

test('one slow start among quick ones changes little', () => {
  const pace = new StartPace()
  pace.started(100)
  expect(pace.room).toBe(10)
  for (let i = 0; i < 30; i++) pace.started(0.01)
  expect(pace.room).toBeGreaterThan(2_000)
})
