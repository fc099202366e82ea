/** A share of `npm run fuzz`: the same inputs in every run. None may make a decoder fail otherwise than it says. */
import { afterAll, describe, expect, test } from 'vitest'
import { decoders } from './decoders.ts'
import { fuzz } from './fuzz.ts'

const inputs = 2_000
const seed = 1
const prototypeBefore = JSON.stringify(Object.getOwnPropertyDescriptors(Object.prototype))

afterAll(() => {
  expect(JSON.stringify(Object.getOwnPropertyDescriptors(Object.prototype))).toBe(prototypeBefore)
})

describe(`${inputs} changed inputs each`, () => {
  test.each(decoders.map((decoder) => [decoder.name, decoder] as const))(
    '%s is read or refused, and never fails otherwise',
    (_, decoder) => {
      expect(fuzz(decoder, inputs, seed).inputs).toBe(inputs)
    },
    60_000,
  )
})
