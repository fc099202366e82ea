/** Answers whether an input fits the schema of its task type, for submissions through `run`, before they are accepted. */
import { type Keyring, refuseSealed } from '../../client/encryption.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import type { Bus, BusMessage, Subscription } from '../../nats/bus.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { errorRecord, unpackValue } from '../../protocol/payload.ts'
import type { Subjects } from '../../protocol/subjects.ts'

/** Subscribes, in a group of all nodes, for each type that has a schema. */
export function answerValidation(
  bus: Bus,
  subjects: Subjects,
  definitions: readonly AnyTaskDefinition[],
  keyring?: Keyring,
): Subscription[] {
  return definitions
    .filter((definition) => definition.schema !== undefined)
    .map((definition) => {
      const answer = (message: BusMessage) => void validate(bus, definition, message, keyring)
      return bus.subscribe(subjects.validate(definition.type), answer, { queue: 'nodes' })
    })
}

async function validate(
  bus: Bus,
  definition: AnyTaskDefinition,
  message: BusMessage,
  keyring: Keyring | undefined,
): Promise<void> {
  if (message.reply === undefined) return
  const packed = message.headers?.get('content-type') === 'application/msgpack'
  let answer: object = { ok: true }
  try {
    const input =
      message.data.length === 0
        ? undefined
        : unpackValue(
            readable(packed ? message.data : new TextDecoder().decode(message.data), definition.type, keyring),
          )
    const result = await definition.schema!['~standard'].validate(input)
    if (result.issues !== undefined) {
      const issues = result.issues
        .slice(0, 20)
        .map(({ message, path }) => ({ message, path: path?.map(String).join('.') }))
      const text = issues.map(({ message, path }) => (path ? `${path}: ${message}` : message)).join('; ')
      throw new TroupeError('TROUPE_INVALID_INPUT', `the input does not fit task type "${definition.type}": ${text}`, {
        details: { issues },
      })
    }
  } catch (error) {
    answer = { error: errorRecord(error, 'TROUPE_INVALID_INPUT') }
  }
  bus.publish(message.reply, new TextEncoder().encode(JSON.stringify(answer)))
}

function readable(input: Uint8Array | string, type: string, keyring: Keyring | undefined): Uint8Array | string {
  if (keyring !== undefined) return keyring.open(input, `type:${type}`)
  refuseSealed(input, `type:${type}`)
  return input
}
