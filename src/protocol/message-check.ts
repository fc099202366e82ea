/**
 * Whether what an actor says over core NATS has the shape that it promises. Each check returns the complaint, or undefined
 * when there is none. Items of an award or of told outcomes are checked one by one: a bad one voids only itself.
 */
import { limits } from './limits.ts'
import { isName } from './names.ts'
import { askedTasksMax } from './quotes.ts'
import {
  causeDepthMax,
  errorRecordComplaint,
  isAmount,
  isCount,
  isPayload,
  isRecord,
  isRecordOf,
  isText,
  textCharsMax,
} from './shapes.ts'

type Items = readonly unknown[]

/** The complaint about a message to a node, but for the tasks of an award. */
export function checkNodeMessage(message: Items): string | undefined {
  switch (message[0]) {
    case 'award':
      if (!isCount(message[1]) || !isAmount(message[2])) return 'the epoch or the ttl of an award is not a count'
      if (!Array.isArray(message[3]) || message[3].length > limits.awardTasksMax)
        return 'the tasks of an award are not a list within bounds'
      return undefined
    case 'signal':
      if (!isName(message[1]) || !isCount(message[2])) return 'a signal names no task and turn'
      return isSignal(message[3]) ? undefined : 'a signal has no places and event'
    case 'drop':
    case 'yield':
      return turnsComplaint(message[1], true)
    case 'begin':
      return turnsComplaint(message[1], false)
    case 'release':
      return isName(message[1]) ? countsComplaint(message[2]) : 'a release names no call for bids'
    case 'quote':
      return askedComplaint(message[1])
    case 'drain':
      return undefined
    case 'fenced':
      return isText(message[1], textCharsMax) ? undefined : 'the reason of a fence is not a text'
    default:
      return 'a message to a node of an unknown kind'
  }
}

/** The complaint about one task of an award. */
export function checkAwardedTask(task: unknown): string | undefined {
  if (!Array.isArray(task)) return 'an awarded task is not an array'
  const [id, type, turn, attempt, input, snapshot, signals, about] = task as Items
  if (!isName(id) || !isName(type)) return 'the id or the type of an awarded task is not a name'
  if (!isCount(turn) || !isCount(attempt)) return 'the turn or the attempt of an awarded task is not a count'
  if (!isPayload(input) || !isPayload(snapshot)) return 'the input or the snapshot of an awarded task is not a payload'
  if (signals !== null && signals !== undefined) {
    if (!Array.isArray(signals) || signals.length > limits.signalsPerTaskMax)
      return 'the signals are not a list within bounds'
    if (!signals.every(isSignal)) return 'a signal has no places and event'
  }
  return about === null || about === undefined ? undefined : aboutComplaint(about)
}

function aboutComplaint(about: unknown): string | undefined {
  if (!isRecord(about)) return 'what is said about an awarded task is not an object'
  if (about.key !== undefined && !isText(about.key, limits.nameCharsMax)) return 'the key is not a text'
  if (about.parent !== undefined && !isName(about.parent)) return 'the parent is not a name'
  if (about.tender !== undefined && !isName(about.tender)) return 'the call for bids is not a name'
  for (const field of ['careful', 'gang', 'retried']) {
    if (about[field] !== undefined && typeof about[field] !== 'boolean') return `${field} is not true or false`
  }
  for (const field of ['priority', 'deadlineAtMs', 'submittedAtMs']) {
    if (about[field] !== undefined && !isCount(about[field])) return `${field} is not a count`
  }
  return undefined
}

/** The complaint about a report of a node. */
export function checkNodeReport(report: Items): string | undefined {
  switch (report[0]) {
    case 'bid':
      return bidComplaint(report)
    case 'declined':
      return turnsComplaint(report[1], true)
    case 'running':
      return isCount(report[1]) ? turnsComplaint(report[2], false) : 'the sequence of the last block is not a count'
    case 'reserved':
      if (!isName(report[1]) || !isAmount(report[3])) return 'a reservation names no call for bids and time'
      if (!isText(report[4], textCharsMax)) return 'the reason of a reservation is not a text'
      return countsComplaint(report[2])
    case 'quoted':
      return quotesComplaint(report[1])
    case 'gap':
      return isName(report[1]) && isCount(report[2]) && isCount(report[3])
        ? undefined
        : 'a gap names no task, turn and sequence'
    default:
      return 'a report of an unknown kind'
  }
}

function bidComplaint(report: Items): string | undefined {
  const [, bid, load, running, held, status, resources, took] = report
  if (
    !isRecord(bid) ||
    !isCount(bid.credits) ||
    !isAmount(bid.priceMs) ||
    !isAmount(bid.slowdown) ||
    !isAmount(bid.ttlMs)
  ) {
    return 'a bid lacks credits, price, slowdown or ttl'
  }
  if (bid.parallel !== undefined && !isAmount(bid.parallel)) return 'what a node does in parallel is not an amount'
  if (!isRecord(load) || !isAmount(load.loop) || !isAmount(load.loopDelayMs))
    return 'the load of the main loop is out of range'
  if (!isAmount(load.cpu) || !isAmount(load.memory) || !isAmount(load.rssBytes))
    return 'the load of the machine is out of range'
  if (load.wait !== undefined && !isAmount(load.wait)) return 'the wait for a processor is out of range'
  if (!isCount(running) || !isCount(held)) return 'the running or held turns are not a count'
  if (status !== 'ready' && status !== 'draining') return 'the status of the node is not known'
  if (!isRecordOf(resources, isAmount)) return 'the resources are not amounts by name'
  return took === undefined || isTook(took) ? undefined : 'what tasks took is not a list of types, counts and times'
}

function isTook(took: unknown): boolean {
  if (!Array.isArray(took) || took.length > limits.typesTookMax) return false
  return took.every(
    (row: unknown) =>
      Array.isArray(row) && isName(row[0]) && isCount(row[1]) && row[1] > 0 && isAmount(row[2]) && row[2] > 0,
  )
}

/** The complaint about one outcome told to a client. */
export function checkOutcome(outcome: unknown): string | undefined {
  if (!Array.isArray(outcome)) return 'an outcome is not an array'
  const [reference, id, status, value] = outcome as Items
  if (!isName(reference)) return 'the reference of an outcome is not a name'
  if (!isText(id, limits.nameCharsMax)) return 'the task id of an outcome is not a text'
  switch (status) {
    case 'completed':
      return isPayload(value) ? undefined : 'the result of an outcome is not a payload'
    case 'failed':
    case 'cancelled':
    case 'expired':
    case 'refused':
      return errorRecordComplaint(value, causeDepthMax)
    default:
      return 'the status of an outcome is not known'
  }
}

/** The complaint about a heartbeat. */
export function checkHeartbeat(beat: Items): string | undefined {
  return isCount(beat[0]) && isCount(beat[1]) && isAmount(beat[2]) ? undefined : 'a heartbeat is three counts'
}

function isSignal(signal: unknown): boolean {
  return Array.isArray(signal) && isCount(signal[0]) && isCount(signal[1]) && isPayload(signal[2])
}

function countsComplaint(counts: unknown): string | undefined {
  const ok =
    Array.isArray(counts) && counts.every((of: unknown) => Array.isArray(of) && isName(of[0]) && isCount(of[1]))
  return ok ? undefined : 'the places are not counts by type'
}

function askedComplaint(tasks: unknown): string | undefined {
  if (!Array.isArray(tasks) || tasks.length > askedTasksMax) return 'the asked tasks are not a list within bounds'
  const ok = tasks.every(
    (task: unknown) =>
      Array.isArray(task) &&
      isName(task[0]) &&
      isName(task[1]) &&
      (task[2] === null || isText(task[2], limits.nameCharsMax)) &&
      isPayload(task[3]),
  )
  return ok ? undefined : 'an asked task has no id, type, key and input'
}

function quotesComplaint(quotes: unknown): string | undefined {
  if (!Array.isArray(quotes) || quotes.length > askedTasksMax) return 'the quotes are not a list within bounds'
  const ok = quotes.every(
    (quote: unknown) =>
      Array.isArray(quote) &&
      isName(quote[0]) &&
      (quote[1] === null || isAmount(quote[1])) &&
      isText(quote[2], textCharsMax),
  )
  return ok ? undefined : 'a quote names no task, ms and reason'
}

function turnsComplaint(turns: unknown, withReason: boolean): string | undefined {
  if (!Array.isArray(turns)) return 'the turns are not a list'
  for (const turn of turns as unknown[]) {
    if (!Array.isArray(turn) || !isName(turn[0]) || !isCount(turn[1])) return 'a turn names no task and number'
    if (withReason && !isText(turn[2], textCharsMax)) return 'the reason for a turn is not a text'
  }
  return undefined
}
