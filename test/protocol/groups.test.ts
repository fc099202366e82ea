import { expect, test } from 'vitest'
import { resolveOptions } from '../../src/client/submit-options.ts'
import { checkGroup, type GroupOptions, groupLevels } from '../../src/protocol/groups.ts'
import { limits } from '../../src/protocol/limits.ts'

const shop: GroupOptions = { name: 'shop', strategy: 'rest-for-one' }
const payments: GroupOptions = {
  name: 'payments',
  strategy: 'one-for-all',
  restart: { intensity: 3, period: '1m', backoff: '500ms', from: 'snapshot', nodeLoss: 'failure' },
  parent: shop,
}
const levels = [
  { name: 'shop', strategy: 'rest-for-one' },
  {
    name: 'payments',
    strategy: 'one-for-all',
    intensity: 3,
    periodMs: 60_000,
    backoffMs: 500,
    restartFrom: 'snapshot',
    nodeLoss: 'failure',
  },
]

test('options, the same as JSON, and what travels say the same, from the root down', () => {
  expect(groupLevels(payments)).toEqual(levels)
  expect(groupLevels(JSON.stringify(payments))).toEqual(levels)
  expect(checkGroup(levels)).toEqual(levels)
  expect(resolveOptions({ group: payments })).toEqual({ group: levels })
})

test('a path names groups that are there', () => {
  expect(groupLevels('shop/payments')).toEqual([{ name: 'shop' }, { name: 'payments' }])
  expect(groupLevels({ name: 'till', parent: 'shop/payments' }).map(({ name }) => name)).toEqual([
    'shop',
    'payments',
    'till',
  ])
})

const tooDeep = Array.from({ length: limits.groupLevelsMax + 1 }, (_, at) => `g${at}`).join('/')

test.each<[unknown, string]>([
  ['', 'TROUPE_INVALID_NAME'],
  ['shop//payments', 'TROUPE_INVALID_NAME'],
  [tooDeep, 'TROUPE_INVALID_OPTION'],
  ['{"name":', 'TROUPE_INVALID_OPTION'],
  [7, 'TROUPE_INVALID_OPTION'],
  [{ strategy: 'one-for-all' }, 'TROUPE_INVALID_NAME'],
  [{ name: 'a', strategy: 'all' }, 'TROUPE_INVALID_OPTION'],
  [{ name: 'a', intensity: 3 }, 'TROUPE_INVALID_OPTION'],
  [{ name: 'a', restart: { intensity: -1 } }, 'TROUPE_INVALID_OPTION'],
  [{ name: 'a', restart: { period: 'soon' } }, 'TROUPE_INVALID_DURATION'],
  [{ name: 'a', restart: { from: 'here' } }, 'TROUPE_INVALID_OPTION'],
  [{ name: 'a', restart: { often: true } }, 'TROUPE_INVALID_OPTION'],
])('%j is refused', (group, code) => {
  expect(() => groupLevels(group)).toThrow(expect.objectContaining({ code }))
})
