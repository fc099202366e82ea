import { describe, expect, test } from 'vitest'
import { creditsOf, type Share } from '../../../src/actors/node/shares.ts'

const share = (running: number, held = 0, reserved = 0): Share => ({ running, held, reserved })
const none = share(0)

describe('a node that is a member of four partitions', () => {
  test('offers all of itself to each, as long as it is free', () => {
    expect(creditsOf(100, none, none, 4, true)).toBe(100)
    expect(creditsOf(100, share(10), share(30), 4, false)).toBe(70)
    expect(creditsOf(100, share(10, 0, 5), share(30, 0, 5), 4, false)).toBe(60)
  })

  test('lets one that has less than its fair share grow, a few tasks at a time, while it is full', () => {
    expect(creditsOf(100, none, share(100), 4, true)).toBe(3)
    expect(creditsOf(100, share(3), share(97), 4, true)).toBe(6)
    expect(creditsOf(100, share(25), share(75), 4, true)).toBe(25)
    expect(creditsOf(1, none, share(1), 4, true)).toBe(1)
  })

  test('takes back from one that has more what the others hold for it', () => {
    expect(creditsOf(100, share(100), share(0, 3), 4, true)).toBe(97)
  })

  test('offers nothing beyond what is free to one whose tasks found no place, nor while it takes none at all', () => {
    expect(creditsOf(100, none, share(100), 4, false)).toBe(0)
    expect(creditsOf(0, none, none, 4, true)).toBe(0)
  })
})
