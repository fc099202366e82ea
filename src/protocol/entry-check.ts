/**
 * Whether an entry of the log has the shape that its kind promises: each check returns the complaint, or undefined when
 * there is none. A longer tuple than known is taken, so that a later version may add a field at the end. Knows nothing of
 * tasks, turns or nodes: whether an entry counts is the fold's business.
 */
import { kind } from './entries.ts'
import { limits } from './limits.ts'
import { isName } from './names.ts'
import { isDueTime, scheduleComplaint } from './schedule.ts'
import {
  causeDepthMax,
  errorRecordComplaint,
  isCount,
  isFraction,
  isPayload,
  isRecord,
  isText,
  profileComplaint,
  textCharsMax,
} from './shapes.ts'

/** The complaint about one entry of a journal block. */
export function checkJournalEntry(entry: unknown): string | undefined {
  if (!Array.isArray(entry)) return 'an entry is not an array'
  switch (entry[0]) {
    case kind.accepted:
      return turnComplaint(entry)
    case kind.completed:
      return turnComplaint(entry) ?? (isPayload(entry[3]) ? undefined : 'the result is not a payload')
    case kind.failed:
      return turnComplaint(entry) ?? failedComplaint(entry)
    case kind.checkpointed:
    case kind.yielded:
      return turnComplaint(entry) ?? stateComplaint(entry)
    case kind.parked:
      return turnComplaint(entry) ?? stateComplaint(entry) ?? parkedComplaint(entry)
    case kind.progressed:
      return turnComplaint(entry) ?? progressedComplaint(entry)
    case kind.submitted:
      return turnComplaint(entry) ?? submittedComplaint(entry)
    case kind.signalled:
      return turnComplaint(entry) ?? signalledComplaint(entry)
    case kind.dismissed:
      return turnComplaint(entry) ?? (isName(entry[3]) ? undefined : 'the id of the child is not a name')
    case kind.alive:
    case kind.left:
      return undefined
    case kind.joined:
      return profileComplaint(entry[1])
    case kind.fenced:
      return isText(entry[1], textCharsMax) ? undefined : 'the reason is not a text'
    default:
      return unknownKind(entry[0])
  }
}

/** The complaint about one entry of a control block. */
export function checkControlEntry(entry: unknown): string | undefined {
  if (!Array.isArray(entry)) return 'an entry is not an array'
  switch (entry[0]) {
    case kind.led:
      return rulesComplaint(entry[1])
    case kind.revoked:
    case kind.lost:
    case kind.hedged:
      return turnComplaint(entry) ?? reasonComplaint(entry[3])
    case kind.cancelled:
      return taskComplaint(entry) ?? reasonComplaint(entry[2])
    case kind.timedOut:
      return turnComplaint(entry)
    case kind.expired:
    case kind.removed:
      return taskComplaint(entry)
    case kind.retried:
      return taskComplaint(entry) ?? skipComplaint(entry[2])
    case kind.kept:
      return taskComplaint(entry) ?? keptComplaint(entry)
    case kind.carried:
      return taskComplaint(entry) ?? carriedComplaint(entry)
    case kind.scheduled:
      return nameComplaint(entry[1]) ?? scheduledComplaint(entry)
    case kind.fired:
      return nameComplaint(entry[1]) ?? dueComplaint(entry) ?? inputComplaint(entry[4]) ?? setComplaint(entry[5])
    case kind.missed:
      return nameComplaint(entry[1]) ?? dueComplaint(entry) ?? setComplaint(entry[4])
    case kind.ungathered:
      if (!isName(entry[1]) || !isCount(entry[2])) return 'the gang or its gathering is not named'
      return reasonComplaint(entry[3])
    case kind.forwarded:
      return isCount(entry[1]) && isCount(entry[2]) ? undefined : 'the partition or the sequence is not a count'
    case kind.astray:
      return astrayComplaint(entry)
    case kind.settled:
      return taskComplaint(entry) ?? (isEnd(entry[2]) ? undefined : 'the status is none of an ended task')
    case kind.limited:
      return isName(entry[1]) ? limitsComplaint(entry[2]) : 'the task type is not a name'
    default:
      return unknownKind(entry[0])
  }
}

/** The complaint about one entry of a block that was brought from another partition. */
export function checkForwardEntry(entry: unknown): string | undefined {
  if (!Array.isArray(entry)) return 'an entry is not an array'
  switch (entry[0]) {
    case kind.brought:
      if (!isCount(entry[1])) return 'the sequence is not a count'
      if (!isText(entry[2], limits.nameCharsMax)) return 'the task type is not a text of at most 128 characters'
      return inputComplaint(entry[3]) ?? (isRecord(entry[4]) ? undefined : 'the options are not an object')
    case kind.broughtSignal:
      if (!isText(entry[2], limits.nameCharsMax)) return 'the signal id is not a text of at most 128 characters'
      return taskComplaint(entry) ?? (isPayload(entry[3]) ? undefined : 'the event is not a payload')
    default:
      return unknownKind(entry[0])
  }
}

/**
 * The complaint about one submission of a client's block. The name of the type and the options are left to the fold, which
 * refuses them with a reason that the submitter is told.
 */
export function checkSubmission(entry: unknown): string | undefined {
  if (!Array.isArray(entry)) return 'a submission is not an array'
  if (!isText(entry[0], limits.nameCharsMax)) return 'the task type is not a text of at most 128 characters'
  if (!isPayload(entry[1])) return 'the input is not a payload'
  return entry[2] === undefined || entry[2] === null || isRecord(entry[2]) ? undefined : 'the options are not an object'
}

function unknownKind(given: unknown): string {
  return `the kind ${typeof given === 'number' ? given : `of type ${typeof given}`} is not known here`
}

const ends: readonly unknown[] = ['completed', 'failed', 'cancelled', 'expired']

function isEnd(status: unknown): boolean {
  return ends.includes(status)
}

function astrayComplaint(entry: readonly unknown[]): string | undefined {
  if (!isCount(entry[1]) || !(isCount(entry[2]) || entry[2] === -1)) return 'the place of the signal is not a place'
  return typeof entry[3] === 'boolean' ? undefined : 'whether it was found is not a boolean'
}

function taskComplaint(entry: readonly unknown[]): string | undefined {
  return isName(entry[1]) ? undefined : 'the task id is not a name'
}

function turnComplaint(entry: readonly unknown[]): string | undefined {
  if (!isName(entry[1])) return 'the task id is not a name'
  return isCount(entry[2]) ? undefined : 'the turn is not a count'
}

function reasonComplaint(reason: unknown): string | undefined {
  return isText(reason, textCharsMax) ? undefined : 'the reason is not a text'
}

function stateComplaint(entry: readonly unknown[]): string | undefined {
  if (!isPayload(entry[3])) return 'the snapshot is not a payload'
  return isCount(entry[4]) ? undefined : 'the consumed position is not a count'
}

function skipComplaint(skip: unknown): string | undefined {
  return skip === undefined || typeof skip === 'boolean' ? undefined : 'the wish to skip an event is not a boolean'
}

function failedComplaint(entry: readonly unknown[]): string | undefined {
  if (typeof entry[4] !== 'boolean') return 'retryable is not a boolean'
  if (entry[5] !== undefined && !isCount(entry[5])) return 'the event is not a sequence'
  return errorRecordComplaint(entry[3], causeDepthMax)
}

function parkedComplaint(entry: readonly unknown[]): string | undefined {
  if (!isCount(entry[5])) return 'the wake-up time is not a count'
  if (typeof entry[6] !== 'boolean') return 'the wish to wake on a signal is not a boolean'
  const children = entry[7]
  if (!Array.isArray(children) || children.length > limits.afterMax) return 'the children are not a list of ids'
  if (entry[8] !== undefined && typeof entry[8] !== 'boolean') return 'the wish to wake on any child is not a boolean'
  return children.every(isName) ? undefined : 'the id of a child is not a name'
}

function progressedComplaint(entry: readonly unknown[]): string | undefined {
  if (!isFraction(entry[3])) return 'the progress is not between 0 and 1'
  return isText(entry[4], textCharsMax) ? undefined : 'the note is not a text'
}

function nameComplaint(name: unknown): string | undefined {
  const fits = isName(name) && name.length <= limits.scheduleNameCharsMax
  return fits ? undefined : 'the name of the schedule is not a name'
}

function scheduledComplaint(entry: readonly unknown[]): string | undefined {
  if (entry[4] !== 0 && !isDueTime(entry[4])) return 'the next due time is not a whole second'
  return entry[2] === null ? undefined : (scheduleComplaint(entry[2]) ?? inputComplaint(entry[3]))
}

function dueComplaint(entry: readonly unknown[]): string | undefined {
  const next = entry[3]
  if (!isDueTime(entry[2]) || (next !== 0 && !isDueTime(next))) return 'a due time is not a whole second'
  return next === 0 || (next as number) > entry[2] ? undefined : 'the next due time is not after this one'
}

function setComplaint(sequence: unknown): string | undefined {
  return sequence === undefined || isCount(sequence) ? undefined : 'the sequence of its schedule is not a count'
}

function inputComplaint(input: unknown): string | undefined {
  return isPayload(input) ? undefined : 'the input is not a payload'
}

function submittedComplaint(entry: readonly unknown[]): string | undefined {
  if (!isName(entry[3])) return 'the task type is not a name'
  if (!isPayload(entry[4])) return 'the input is not a payload'
  return isRecord(entry[5]) ? undefined : 'the options are not an object'
}

function signalledComplaint(entry: readonly unknown[]): string | undefined {
  if (!isName(entry[3])) return 'the id of the signalled task is not a name'
  if (!isText(entry[4], limits.nameCharsMax)) return 'the signal id is not a text of at most 128 characters'
  return isPayload(entry[5]) ? undefined : 'the event is not a payload'
}

function keptComplaint(entry: readonly unknown[]): string | undefined {
  if (!isCount(entry[2]) || !isCount(entry[4])) return 'a sequence is not a count'
  return isPayload(entry[3]) && isPayload(entry[5]) ? undefined : 'the input or the snapshot is not a payload'
}

function carriedComplaint(entry: readonly unknown[]): string | undefined {
  if (entry[2] !== 'signal' && entry[2] !== 'result') return 'what is copied is neither a signal nor a result'
  if (!isCount(entry[3])) return 'the sequence is not a count'
  return isPayload(entry[4]) ? undefined : 'the value is not a payload'
}

const countedLimits = ['runningMax', 'runningPerKeyMax', 'startsMax', 'startsPerKeyMax', 'startsPeriodMs', 'queuedMax']

/** The complaint about the limits of a task type. */
export function limitsComplaint(given: unknown): string | undefined {
  if (given === null) return undefined
  if (!isRecord(given)) return 'the limits are not an object'
  if (given.paused !== undefined && typeof given.paused !== 'boolean') return 'paused is not a boolean'
  const bad = countedLimits.find((name) => given[name] !== undefined && (!isCount(given[name]) || given[name] === 0))
  if (bad !== undefined) return `the limit ${bad} is not a whole number from 1 on`
  return given.breaker === undefined ? undefined : breakerComplaint(given.breaker)
}

function breakerComplaint(given: unknown): string | undefined {
  if (!isRecord(given)) return 'the breaker is not an object'
  const { failurePercent, attempts = 1, openMs = 1, trials = 1 } = given
  const isBetween = (value: unknown, max: number) => isCount(value) && value >= 1 && value <= max
  if (!isBetween(failurePercent, 100)) return 'the failurePercent of the breaker is not a whole number from 1 to 100'
  if (!isBetween(attempts, 1_000)) return 'the attempts of the breaker are not a whole number from 1 to 1000'
  if (!isBetween(openMs, limits.delayMsMax)) return 'the openMs of the breaker is not a time in ms'
  return isBetween(trials, 1_000) ? undefined : 'the trials of the breaker are not a whole number from 1 to 1000'
}

const ruleNames = ['foldVersion', 'resultsKeepMs', 'resultsKeepCount', 'deadKeepMs', 'deadKeepCount']

function rulesComplaint(rules: unknown): string | undefined {
  if (!isRecord(rules)) return 'the rules are not an object'
  const bad = ruleNames.find((name) => !isCount(rules[name]))
  return bad === undefined ? undefined : `the rule ${bad} is not a count`
}
