/** Users' values on their way into the log and back: packed here, and kept as objects when they are large. */
import type { Headers, ObjectStore } from '../nats/bus.ts'
import type { ObjectReference, Payload } from '../protocol/entries.ts'
import { TroupeError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import { packValue, unpackValue } from '../protocol/payload.ts'
import { type Keyring, refuseSealed, type SealedPlace } from './encryption.ts'

/** Of the object store, as of the log: what is left is for results. */
const submissionsShareMax = 0.8

/**
 * Returns the value as a payload; a promise only when it is large and has to be stored first. Throws
 * TROUPE_NOT_SERIALIZABLE or TROUPE_TOO_LARGE; TROUPE_REFUSED when the object store is nearly full.
 */
export function packInput(
  value: unknown,
  objects: ObjectStore,
  keyring?: Keyring,
  place?: SealedPlace,
): Payload | Promise<Payload> {
  const plain = packValue(value, 'input')
  const packed = keyring && place ? keyring.seal(plain, place) : plain
  if (packed === null || packed.length <= limits.inlineBytesMax) return packed
  return objects.put(packed, { shareMax: submissionsShareMax }).then((name) => [name, packed.length, 1] as const)
}

/**
 * Returns the value, a promise when it has to be fetched. Throws TROUPE_UNREADABLE, also when the object is gone, and
 * TROUPE_SEALED or TROUPE_NOT_SEALED.
 */
export function unpackResult(
  payload: Payload,
  objects: ObjectStore,
  keyring?: Keyring,
  place: SealedPlace = 'result:?',
): unknown {
  const unpack = (packed: Uint8Array | string | null) => {
    if (keyring !== undefined) return unpackValue(keyring.open(packed, place))
    refuseSealed(packed, place)
    return unpackValue(packed)
  }
  if (typeof payload === 'string' || payload === null || payload instanceof Uint8Array) return unpack(payload)
  return fetchValue(payload, objects).then(unpack)
}

async function fetchValue([name, bytes, packed]: ObjectReference, objects: ObjectStore): Promise<Uint8Array | string> {
  const data = await objects.get(name)
  if (data === undefined) {
    throw new TroupeError('TROUPE_UNREADABLE', `the value of ${bytes} bytes is not in the object store any more`, {
      details: { name },
    })
  }
  return packed === 1 ? data : new TextDecoder().decode(data)
}

/** Returns the body of a signal. Throws TROUPE_INVALID_EVENT, and as `packInput` does. */
export function packEvent(
  event: { readonly type: string },
  task: string,
  keyring?: Keyring,
): { data: Uint8Array; headers: Headers } {
  if (typeof event !== 'object' || event === null || typeof event.type !== 'string') {
    const shown = typeof event === 'object' ? `an object without a type` : `${typeof event} ${JSON.stringify(event)}`
    throw new TroupeError('TROUPE_INVALID_EVENT', `${event === null ? 'null' : shown} is no event`)
  }
  const plain = packValue(event, 'event')!
  const data = keyring?.seal(plain, `signal:${task}`) ?? plain
  if (data.length > limits.inlineBytesMax) {
    throw new TroupeError(
      'TROUPE_TOO_LARGE',
      `the event has ${data.length} bytes; at most ${limits.inlineBytesMax} are allowed`,
    )
  }
  return { data, headers: { 'Content-Type': 'application/msgpack' } }
}
