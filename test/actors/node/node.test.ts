/** A node's lives, and its slots. */
import { describe, expect, test } from 'vitest'
import { createActor } from 'xstate'
import { type NodeEffect, type NodeEvent, nodeMachine } from '../../../src/actors/node/node.ts'
import { Slots } from '../../../src/actors/node/slots.ts'
import type { AwardedTask } from '../../../src/protocol/messages.ts'

function node() {
  const asked: NodeEffect[] = []
  const actor = createActor(nodeMachine, { input: { node: 'a', ask: (effect) => asked.push(effect) } }).start()
  return {
    send: (...types: NodeEvent['type'][]) => {
      for (const type of types) actor.send((type === 'FENCED' ? { type, reason: 'silent' } : { type }) as NodeEvent)
      return [actor.getSnapshot().value, asked.splice(0).map((effect) => effect.do)]
    },
    fence: () => actor.send({ type: 'FENCED', reason: 'silent' }),
    asked,
  }
}

describe('a node', () => {
  test('joins, runs, drains and leaves', () => {
    const it = node()
    expect(it.send()).toEqual(['joining', ['join']])
    expect(it.send('JOINED')).toEqual(['ready', ['bid']])
    expect(it.send('DRAIN')).toEqual(['draining', ['bid', 'yield']])
    expect(it.send('EMPTY')).toEqual(['leaving', ['leave']])
    expect(it.send('LEFT')).toEqual(['gone', ['abort', 'gone']])
  })

  test('that is fenced aborts everything before it joins again as another', () => {
    const it = node()
    it.send('JOINED')
    expect(it.send('FENCED')).toEqual(['rejoining', ['abort', 'wait']])
    expect(it.send('JOINED')).toEqual(['rejoining', []])
    expect(it.send('RETRY')).toEqual(['joining', ['join']])
    expect(it.send('JOINED')).toEqual(['ready', ['bid']])
  })

  test('that cannot join tries ever more slowly', () => {
    const it = node()
    const waits: number[] = []
    for (let i = 0; i < 9; i++) {
      it.asked.splice(0)
      it.fence()
      waits.push(...it.asked.flatMap((effect) => (effect.do === 'wait' ? [effect.ms] : [])))
      it.send('RETRY')
    }
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000])
  })

  test.each<[string, NodeEvent['type'][]]>([
    ['while it joins', ['DRAIN']],
    ['while it waits to join again', ['FENCED', 'DRAIN']],
    ['and is fenced while draining', ['JOINED', 'DRAIN', 'FENCED']],
    ['and is fenced while leaving', ['JOINED', 'DRAIN', 'EMPTY', 'FENCED']],
    ['and nothing answers', ['JOINED', 'DRAIN', 'DEADLINE', 'DEADLINE']],
  ])('that is asked to leave %s is gone', (_, events) => {
    const [state, effects] = node().send(...events)
    expect(state).toBe('gone')
    expect((effects as string[]).at(-1)).toBe('gone')
    expect(effects).toContain('abort')
  })
})

describe('slots', () => {
  const awarded = (id: string, turn = 1) => [id, 'work', turn, 1, null, null, null, null] as AwardedTask

  test('hand out what is held in order while they are free, and what has lapsed never', () => {
    const slots = new Slots<string>(2)
    slots.hold(awarded('a'), 10)
    slots.hold(awarded('b'), 100)
    slots.hold(awarded('c'), 100)
    slots.hold(awarded('d'), 100)
    expect(slots.next(10)?.[0]).toBe('b')
    slots.running.set('b', 'turn')
    expect(slots.next(10)?.[0]).toBe('c')
    slots.running.set('c', 'turn')
    expect(slots.next(10)).toBeUndefined()
    expect(slots.heldCount).toBe(1)
    slots.running.delete('b')
    expect(slots.next(10)?.[0]).toBe('d')
    expect(slots.next(10)).toBeUndefined()
  })

  test('take back one award, or all', () => {
    const slots = new Slots<string>(0)
    for (const id of ['a', 'b', 'c']) slots.hold(awarded(id), 100)
    expect(slots.drop('b', 2)).toBe(false)
    expect(slots.drop('b', 1)).toBe(true)
    expect(slots.takeHeld().map(([id]) => id)).toEqual(['a', 'c'])
    expect(slots.heldCount).toBe(0)
  })

  test('hold no memory of what has gone through them', () => {
    const slots = new Slots<string>(1)
    for (let i = 0; i < 10_000; i++) {
      slots.hold(awarded(`t${i}`), 100)
      slots.hold(awarded(`u${i}`), 0)
      expect(slots.next(10)?.[0]).toBe(`t${i}`)
    }
    expect((slots as unknown as { held: unknown[] }).held.length).toBeLessThan(5_000)
  })
})
