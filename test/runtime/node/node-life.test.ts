import { expect, test } from 'vitest'
import { TroupeError } from '../../../src/protocol/errors.ts'
import { NodeLife } from '../../../src/runtime/node/node-life.ts'

test('fenced in one partition is dead in all, once, and the next life is another in all', () => {
  const life = new NodeLife()
  const ended: string[] = []
  const member = (name: string) => ({
    lifeEnded: (incarnation: string) => ended.push(`${name} ${incarnation}`),
    askedToDrain: () => ended.push(`${name} drains`),
  })
  for (const name of ['a', 'b', 'c']) life.add(member(name))
  const first = life.incarnation
  expect(life.incarnation).toBe(first)
  life.end(first, new TroupeError('TROUPE_FENCED', 'silent'))
  expect(ended.splice(0)).toEqual(['a', 'b', 'c'].map((name) => `${name} ${first}`))
  const second = life.incarnation
  expect(second).not.toBe(first)
  // What another partition says of the first life comes late.
  life.end(first, new TroupeError('TROUPE_FENCED', 'silent'))
  expect(ended).toEqual([])
  expect(life.incarnation).toBe(second)
  life.drain()
  expect(ended).toEqual(['a drains', 'b drains', 'c drains'])
})
