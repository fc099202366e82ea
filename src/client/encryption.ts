/**
 * Users' values sealed with AES-256-GCM between the programs that hold keys: clients and nodes. What is sealed is an
 * ordinary value, `{ "$sealed": "1.<key id>.<place>.<base64url>" }`, so that the log, schedulers and plain NATS clients
 * carry it without knowing. Each value is bound to its namespace, its task and its place there: put elsewhere, it does
 * not open.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import type { Payload } from '../protocol/entries.ts'
import { type ErrorRecord, TroupeError } from '../protocol/errors.ts'
import type { TaskAnswer } from '../protocol/messages.ts'
import { packValue, unpackValue } from '../protocol/payload.ts'

export interface EncryptionOptions {
  /** The key by which values are sealed. */
  readonly current: string
  /**
   * Keys by their id (1 to 64 letters, digits, "-", "_"): 32 bytes each, or their base64. Keep an old one for as long as there
   * are values sealed by it.
   */
  readonly keys: Readonly<Record<string, string | Uint8Array>>
  /** Whether values that are not sealed are refused. Default false: plain NATS clients may submit. */
  readonly required?: boolean
}

/** Where a value belongs. An input without an id of its own is bound to its type. */
export type SealedPlace = `${'input' | 'result' | 'snapshot' | 'signal' | 'error' | 'type'}:${string}`

interface Key {
  readonly id: string
  readonly cipher: Buffer
  readonly nonce: Buffer
}

const keyIdForm = /^[A-Za-z0-9_-]{1,64}$/
const nonceBytes = 12
const tagBytes = 16
/** The first key of a value that is sealed, in msgpack and in JSON. */
const packedKey = Buffer.from('\xa7$sealed', 'latin1')
const jsonHead = /^\s*\{\s*"\$sealed"\s*:/

export class Keyring {
  readonly required: boolean
  readonly #namespace: string
  readonly #current: Key
  readonly #keys = new Map<string, Key>()

  /** Throws TROUPE_INVALID_OPTION, without showing a key. */
  constructor(namespace: string, options: EncryptionOptions) {
    this.#namespace = namespace
    this.required = options.required === true
    for (const [id, key] of Object.entries(options.keys ?? {})) this.#keys.set(id, newKey(id, key))
    const current = this.#keys.get(options.current)
    if (current === undefined) {
      const known = [...this.#keys.keys()].join(', ') || 'none'
      throw invalid(`there is no key "${String(options.current)}"; there are ${known}`)
    }
    this.#current = current
  }

  /** Returns the value sealed for this place; "no value" stays that. The same value at the same place gives the same bytes. */
  seal(packed: Uint8Array | null, place: SealedPlace): Uint8Array | null {
    if (packed === null || isSealed(packed)) return packed
    const { id, cipher, nonce } = this.#current
    const bound = this.#boundTo(place, id)
    // From the value itself: a repeated submission must be equal to the first, and a nonce must not serve two values.
    const iv = createHmac('sha256', nonce).update(bound).update('\0').update(packed).digest().subarray(0, nonceBytes)
    const sealing = createCipheriv('aes-256-gcm', cipher, iv).setAAD(bound)
    const parts = [iv, sealing.update(packed), sealing.final(), sealing.getAuthTag()]
    const [kind = ''] = place.split(':', 1)
    const $sealed = `1.${id}.${kind}.${Buffer.concat(parts).toString('base64url')}`
    // An event without a type would not be taken for one.
    return packValue(kind === 'signal' ? { $sealed, type: '$sealed' } : { $sealed })
  }

  /**
   * Returns the value as it was before it was sealed; one that is not sealed is returned as it is, unless that is refused.
   * `places`: where it may belong. Throws TROUPE_SEALED, TROUPE_NOT_SEALED.
   */
  open<Value extends Uint8Array | string | null>(
    payload: Value,
    ...places: readonly SealedPlace[]
  ): Value | Uint8Array {
    if (payload === null) return payload
    if (!isSealed(payload)) {
      if (!this.required) return payload
      throw new TroupeError('TROUPE_NOT_SEALED', `the value of ${places.join(' or ')} is not encrypted, and must be`)
    }
    return this.#open(sealedText(unpackValue(payload)), places)
  }

  /** As `open`, for a value that was unpacked or came as JSON. */
  openValue(value: unknown, ...places: readonly SealedPlace[]): unknown {
    const sealed = isSealedValue(value)
    return sealed ? unpackValue(this.#open(sealedText(value), places)) : value
  }

  /** As `seal`, for a value that travels as JSON. */
  sealValue(value: unknown, place: SealedPlace): unknown {
    return unpackValue(this.seal(packValue(value), place))
  }

  sealError(record: ErrorRecord, task: string): ErrorRecord {
    const sealed = this.sealValue(record, `error:${task}`)
    return {
      code: record.code,
      message: 'encrypted: its message and details are shown to who has the key',
      details: sealed,
    }
  }

  /** Without the key the record stays as it is: it says so itself. */
  openError(record: ErrorRecord, task: string): ErrorRecord {
    if (!isSealedValue(record.details)) return record
    try {
      return this.openValue(record.details, `error:${task}`) as ErrorRecord
    } catch {
      return record
    }
  }

  #open(text: string, places: readonly SealedPlace[]): Uint8Array {
    const [version, id = '', kind, data = ''] = text.split('.')
    const place = places.find((one) => one.startsWith(`${kind}:`))
    if (version !== '1' || place === undefined)
      throw new TroupeError('TROUPE_SEALED', `a value for ${places[0]} is none`)
    const key = this.#keys.get(id)
    if (key === undefined) {
      throw new TroupeError(
        'TROUPE_SEALED',
        `the value of ${place} is encrypted with key "${id.slice(0, 64)}", which is not here`,
        {
          details: { keyId: id.slice(0, 64) },
        },
      )
    }
    const bytes = Buffer.from(data, 'base64url')
    try {
      const opening = createDecipheriv('aes-256-gcm', key.cipher, bytes.subarray(0, nonceBytes), {
        authTagLength: tagBytes,
      })
      opening.setAAD(this.#boundTo(place, id)).setAuthTag(bytes.subarray(-tagBytes))
      return Buffer.concat([opening.update(bytes.subarray(nonceBytes, -tagBytes)), opening.final()])
    } catch {
      const message = `the value of ${place} does not open with key "${id}": the key is another, or the value was changed or moved`
      throw new TroupeError('TROUPE_SEALED', message, { details: { keyId: id } })
    }
  }

  #boundTo(place: SealedPlace, keyId: string): Buffer {
    return Buffer.from(['troupe/1', this.#namespace, keyId, place].join('\0'))
  }
}

/** Throws TROUPE_SEALED for a value that only who has the key can read. */
export function refuseSealed(payload: Uint8Array | string | null, place: SealedPlace): void {
  if (payload === null || !isSealed(payload)) return
  throw new TroupeError('TROUPE_SEALED', `the value of ${place} is encrypted, and no key is configured here`)
}

/** True for the payload of a sealed value: a map of one or two items. Looks at the first byte of most values only. */
export function isSealed(payload: Payload): boolean {
  if (typeof payload === 'string') return jsonHead.test(payload)
  if (!(payload instanceof Uint8Array) || (payload[0] !== 0x81 && payload[0] !== 0x82)) return false
  return packedKey.every((byte, index) => payload[1 + index] === byte)
}

export function isSealedValue(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof (value as { $sealed?: unknown }).$sealed === 'string'
}

/** Returns what another task answered, readable. */
export function openedAnswer(keyring: Keyring | undefined, answer: TaskAnswer): TaskAnswer {
  if (keyring === undefined) return answer
  const { id, result, error } = answer
  return {
    ...answer,
    ...(result !== undefined && { result: keyring.openValue(result, `result:${id}`) }),
    ...(error !== undefined && { error: keyring.openError(error, id) }),
  }
}

function sealedText(value: unknown): string {
  const text = (value as { $sealed?: unknown } | null | undefined)?.$sealed
  return typeof text === 'string' ? text : ''
}

function newKey(id: string, secret: string | Uint8Array): Key {
  if (!keyIdForm.test(id)) throw invalid('the id of a key has 1 to 64 letters, digits, "-" or "_"')
  const bytes = typeof secret === 'string' ? Buffer.from(secret, 'base64') : secret
  if (!(bytes instanceof Uint8Array) || bytes.length !== 32) throw invalid(`key "${id}" has not 32 bytes, as base64`)
  const derive = (use: string) => Buffer.from(hkdfSync('sha256', bytes, '', `troupe/1 ${use}`, 32))
  return { id, cipher: derive('cipher'), nonce: derive('nonce') }
}

function invalid(why: string): TroupeError {
  return new TroupeError('TROUPE_INVALID_OPTION', `encryption: ${why}`)
}
