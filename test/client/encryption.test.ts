import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type EncryptionOptions, isSealed, Keyring } from '../../src/client/encryption.ts'
import { packValue, unpackValue } from '../../src/protocol/payload.ts'

const key = () => randomBytes(32).toString('base64')
const options: EncryptionOptions = { current: 'k2', keys: { k1: key(), k2: key() } }
const ring = new Keyring('main', options)

test('any bytes open at their place as they were', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), fc.stringMatching(/^[a-z0-9-]{1,20}$/), (packed, id) => {
      const sealed = ring.seal(packed, `input:${id}`)!
      expect(isSealed(sealed)).toBe(true)
      expect(Buffer.from(ring.open(sealed, `input:${id}`)).equals(packed)).toBe(true)
    }),
    { numRuns: 300 },
  )
})

test('the same value at the same place gives the same bytes, so that a repeated submission is equal; elsewhere others', () => {
  const packed = packValue({ secret: 1 })
  expect(ring.seal(packed, 'input:a')).toEqual(ring.seal(packed, 'input:a'))
  expect(ring.seal(packed, 'input:a')).not.toEqual(ring.seal(packed, 'input:b'))
})

test('moved to another task, place or namespace, or changed in any bit, a value does not open', () => {
  const packed = packValue({ secret: 'canary' })
  const sealed = ring.seal(packed, 'input:a')
  for (const place of ['input:b', 'result:a', 'snapshot:a', 'type:a'] as const) {
    expect(() => ring.open(sealed, place)).toThrow(expect.objectContaining({ code: 'TROUPE_SEALED' }))
  }
  expect(() => new Keyring('other', options).open(sealed, 'input:a')).toThrow(/does not open/)
  const { $sealed: text } = unpackValue(sealed) as { $sealed: string }
  const [version, id, kind, data] = text.split('.') as [string, string, string, string]
  const bytes = Buffer.from(data, 'base64url')
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes)
    changed[bit >> 3]! ^= 1 << (bit & 7)
    const other = packValue({ $sealed: [version, id, kind, changed.toString('base64url')].join('.') })
    expect(() => ring.open(other, 'input:a')).toThrow(expect.objectContaining({ code: 'TROUPE_SEALED' }))
  }
  for (const junk of ['', '1', '1.k2', '1.k2.input', '1.k2.input.', '2.k2.input.AAAA', '1.__proto__.input.AAAA']) {
    const other = packValue({ $sealed: junk })
    expect(() => ring.open(other, 'input:a')).toThrow(expect.objectContaining({ code: 'TROUPE_SEALED' }))
  }
})

test('an old key still opens, a missing one is named, a wrong one says so', () => {
  const old = new Keyring('main', { ...options, current: 'k1' }).seal(packValue('x'), 'result:a')
  expect(unpackValue(ring.open(old, 'result:a'))).toBe('x')
  const without = new Keyring('main', { current: 'k2', keys: { k2: options.keys.k2! } })
  expect(() => without.open(old, 'result:a')).toThrow(/key "k1", which is not here/)
  const wrong = new Keyring('main', { current: 'k1', keys: { k1: key() } })
  expect(() => wrong.open(old, 'result:a')).toThrow(/the key is another/)
})

test('plain values pass unless they are refused; sealed JSON opens as well', () => {
  const strict = new Keyring('main', { ...options, required: true })
  expect(ring.open('{"a":1}', 'input:a')).toBe('{"a":1}')
  expect(() => strict.open('{"a":1}', 'input:a')).toThrow(expect.objectContaining({ code: 'TROUPE_NOT_SEALED' }))
  expect(strict.open(null, 'input:a')).toBeNull()
  const json = JSON.stringify(ring.sealValue({ a: 1 }, 'type:t'))
  expect(unpackValue(strict.open(json, 'input:a', 'type:t'))).toEqual({ a: 1 })
})

test('what is wrong with keys is said without showing them', () => {
  const short = randomBytes(16).toString('base64')
  for (const wrong of [
    { current: 'k1', keys: {} },
    { current: 'k1', keys: { k1: short } },
    { current: 'no dots.', keys: { 'no dots.': key() } },
  ]) {
    const made = () => new Keyring('main', wrong)
    expect(made).toThrow(expect.objectContaining({ code: 'TROUPE_INVALID_OPTION' }))
    expect(made).toThrow(expect.objectContaining({ message: expect.not.stringContaining(short) }))
  }
})

test('no nonce serves two values, not even at one place', () => {
  const nonces = new Set<string>()
  for (let value = 0; value < 200; value++) {
    const { $sealed } = unpackValue(ring.seal(packValue({ value }), 'snapshot:a')!) as { $sealed: string }
    nonces.add(Buffer.from($sealed.split('.')[3]!, 'base64url').subarray(0, 12).toString('hex'))
  }
  expect(nonces.size).toBe(200)
})
