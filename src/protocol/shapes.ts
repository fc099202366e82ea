/**
 * The small shapes that entries and messages are made of, and whether a value just unpacked has them. Never throws. Values
 * come from `wire.ts`, so objects are plain, own data without dangerous keys.
 */
import type { ObjectReference } from './entries.ts'
import { limits } from './limits.ts'
import { isName } from './names.ts'
import { hedgePercentiles } from './options.ts'

/** Characters of a reason, a note, a host name or a version. */
export const textCharsMax = limits.errorMessageCharsMax

/** Errors below an error, cause by cause. */
export const causeDepthMax = 5

/** True for the keys that could reach a prototype; no object that came from outside has one. */
export function isDangerousKey(key: string): boolean {
  return key === '__proto__' || key === 'constructor' || key === 'prototype'
}

/** A whole number from 0 on that JavaScript holds exactly. */
export function isCount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && Number.isSafeInteger(value)
}

export function isText(value: unknown, charsMax: number): value is string {
  return typeof value === 'string' && value.length <= charsMax
}

/** A finite number from 0 on. */
export function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_VALUE
}

export function isFraction(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 1
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

/** Bytes, JSON text, null, or a reference to an object. What is inside is not looked at. */
export function isPayload(value: unknown): boolean {
  if (value === null || typeof value === 'string') return true
  if (typeof value !== 'object') return false
  return value instanceof Uint8Array || isObjectReference(value)
}

const objectName = /^[0-9a-f]{64}$/

/** A large value by its name: [name, size in bytes, 1 = msgpack | 0 = JSON]. */
export function isObjectReference(value: unknown): value is ObjectReference {
  if (!Array.isArray(value) || value.length !== 3) return false
  const [name, bytes, packed] = value as unknown[]
  if (typeof name !== 'string' || !objectName.test(name)) return false
  return isCount(bytes) && bytes <= limits.valueBytesMax && (packed === 0 || packed === 1)
}

/** Texts or amounts by name, as of resources and labels. */
export function isRecordOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  if (!isRecord(value)) return false
  const keys = Object.keys(value)
  return keys.length <= 1_000 && keys.every((key) => key.length <= limits.nameCharsMax && isItem(value[key]))
}

/** The complaint about an error record with at most `causes` causes below it. */
export function errorRecordComplaint(value: unknown, causes: number): string | undefined {
  if (!isRecord(value)) return 'the error is not an object'
  if (!isText(value.code, limits.nameCharsMax)) return 'the code of the error is not a text'
  if (!isText(value.message, limits.errorMessageCharsMax)) return 'the message of the error is not a text, or too long'
  if (value.stack !== undefined && !isText(value.stack, limits.errorStackCharsMax))
    return 'the stack of the error is too long'
  if (value.cause === undefined) return undefined
  return causes === 0 ? 'the error has too many causes' : errorRecordComplaint(value.cause, causes - 1)
}

/** The complaint about what a node says of itself when it joins. */
export function profileComplaint(value: unknown): string | undefined {
  if (!isRecord(value)) return 'the profile is not an object'
  if (!isName(value.node)) return 'the node id is not a name'
  if (!isText(value.host, textCharsMax) || !isText(value.version, textCharsMax))
    return 'the host or the version is not a text'
  if (!isCount(value.pid) || !isCount(value.slots)) return 'the pid or the slots are not a count'
  if (!isRecordOf(value.resources, isAmount)) return 'the resources are not amounts by name'
  if (!isRecordOf(value.labels, (label) => isText(label, textCharsMax))) return 'the labels are not texts by name'
  const { types } = value
  if (!Array.isArray(types) || types.length > limits.typesPerNodeMax) return 'the types are not a list within bounds'
  for (const type of types as unknown[]) {
    const complaint = taskProfileComplaint(type)
    if (complaint !== undefined) return complaint
  }
  return undefined
}

function taskProfileComplaint(value: unknown): string | undefined {
  if (!isRecord(value) || !isName(value.type)) return 'a task type is not a name'
  if (value.logic !== 'function' && value.logic !== 'machine') return `the logic of ${value.type} is not known`
  if (!isRetry(value.retry)) return `the retry policy of ${value.type} is out of range`
  const { restart } = value
  if (!isRecord(restart) || !isCount(restart.intensity) || !isCount(restart.periodMs))
    return `the restart policy of ${value.type} is out of range`
  if (!isCount(value.timeoutMs)) return `the timeout of ${value.type} is not a count`
  if (value.heartbeatMs !== undefined && !isCount(value.heartbeatMs))
    return `the heartbeat of ${value.type} is not a count`
  if (value.isolated !== undefined && typeof value.isolated !== 'boolean')
    return `whether ${value.type} is isolated is not a boolean`
  if (value.quotes !== undefined && typeof value.quotes !== 'boolean')
    return `whether nodes quote for ${value.type} is not a boolean`
  if (value.hedge !== undefined && !isHedge(value.hedge)) return `the hedging of ${value.type} is out of range`
  if (!isRecordOf(value.resources, isAmount)) return `the resources of ${value.type} are not amounts by name`
  if (value.labels !== undefined && !isLabelWishes(value.labels))
    return `the labels that ${value.type} wishes are not texts by name`
  if (typeof value.schema !== 'boolean') return `whether ${value.type} has a schema is not a boolean`
  if (value.version !== undefined && !isText(value.version, textCharsMax))
    return `the version of ${value.type} is not a text`
  return undefined
}

function isHedge(value: unknown): boolean {
  if (!isRecord(value)) return false
  const { afterMs, percentile, budget } = value
  if (afterMs !== undefined && (!isCount(afterMs) || afterMs > limits.delayMsMax)) return false
  if (percentile !== undefined && !hedgePercentiles.some((known) => known === percentile)) return false
  return isFraction(budget) && budget > 0
}

function isLabelWishes(value: unknown): boolean {
  if (!isRecord(value)) return false
  const isLabel = (label: unknown) => isText(label, textCharsMax)
  return [value.required, value.preferred, value.avoided].every(
    (part) => part === undefined || isRecordOf(part, isLabel),
  )
}

function isRetry(value: unknown): boolean {
  if (!isRecord(value)) return false
  const { attempts, backoffMs, factor, maxMs, jitterPercent } = value
  if (!isCount(attempts) || attempts < 1 || attempts > limits.attemptsMax) return false
  if (!isCount(backoffMs) || backoffMs > limits.delayMsMax || !isCount(maxMs) || maxMs > limits.delayMsMax) return false
  return isAmount(factor) && factor >= 1 && factor <= 10 && isAmount(jitterPercent) && jitterPercent <= 100
}
