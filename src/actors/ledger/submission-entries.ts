/**
 * Submissions become tasks, once per id (rule 9): the same id with the same type and input is the task that is there; with
 * another input it is a conflict and says so. What cannot be read becomes a dead letter that keeps its reason.
 */
import type { Dismissed, Payload, Submission, Submitted } from '../../protocol/entries.ts'
import type { ErrorRecord } from '../../protocol/errors.ts'
import { inputHash } from '../../protocol/input-hash.ts'
import { limits } from '../../protocol/limits.ts'
import { isName, isSystemId, systemTaskId } from '../../protocol/names.ts'
import { defaultPriority, type SubmissionOptions, type UniqueWindow } from '../../protocol/options.ts'
import { checkSubmissionOptions } from '../../protocol/submission.ts'
import { queueFull } from './admission.ts'
import type { Submitter } from './change.ts'
import { jitterHash } from './delays.ts'
import { joinGang } from './gangs.ts'
import { commitsTurn, holdsTurn } from './hedges.ts'
import type { Member } from './member.ts'
import type { LedgerState } from './state.ts'
import { joinGroup } from './supervision.ts'
import { TaskRecord } from './task-record.ts'
import { beginStartLimit } from './time-limits.ts'

/** The type under which a submission without a valid type is kept as a dead letter. */
export const unreadableType = '_unreadable'

const noOptions: SubmissionOptions = {}

/**
 * Folds one submission; `index` −1 for a message of its own. `client` is the SDK client that is told the outcome. `id` is what
 * the system has named it, when it was not named by its place here.
 */
export function foldSubmission(
  state: LedgerState,
  submission: Submission,
  index: number,
  client: string | undefined,
  id?: string,
): void {
  const [type, input, given] = submission
  const checked = given === undefined ? noOptions : checkSubmissionOptions(given)
  if ('code' in checked) {
    foldUnreadable(state, isName(type) ? type : unreadableType, index, client, checked, undefined)
    return
  }
  const problem = complaint(type, checked)
  if (problem !== undefined) {
    foldUnreadable(state, isName(type) ? type : unreadableType, index, client, problem, checked.replyTo)
    return
  }
  const hash = checked.id === undefined ? 0 : submissionHash(type, input)
  if (checked.id !== undefined) {
    const reference = systemTaskId(state.partition, state.position, index < 0 ? undefined : index)
    const submitter: Submitter = { reference, client, replyTo: checked.replyTo }
    if (isKnown(state, checked.id, type, hash, submitter)) return
  }
  create(state, {
    name: checked.id ?? id,
    type,
    options: checked,
    index,
    client,
    hash,
    parent: undefined,
    input,
    refusable: true,
  })
}

/** Folds a child that a running turn submits. Void unless `member` owns the turn; the same child again is the child. */
export function foldChild(state: LedgerState, member: Member, entry: Submitted, index: number): boolean {
  const [, parentId, turn, type, input, given] = entry
  const parent = state.tasks.get(parentId)
  if (parent === undefined || !holdsTurn(parent, member, turn)) return false
  const options = checkSubmissionOptions(given)
  if ('code' in options || options.id === undefined || complaint(type, options) !== undefined) return false
  commitsTurn(state, parent, member, turn)
  const hash = submissionHash(type, input)
  const submitter: Submitter = { reference: options.id, client: undefined, replyTo: options.replyTo }
  if (!isKnown(state, options.id, type, hash, submitter)) {
    state.touch(parent)
    parent.more.children ??= new Set()
    parent.more.children.add(options.id)
    create(state, { name: options.id, type, options, index, client: undefined, hash, parent: parentId, input })
  }
  return true
}

/** Folds the end of a child that its parent's turn has no use for. Void unless `member` owns the turn, and for other tasks. */
export function foldDismissed(state: LedgerState, member: Member, entry: Dismissed, index: number): boolean {
  const [, parentId, turn, childId] = entry
  const parent = state.tasks.get(parentId)
  if (parent === undefined || !holdsTurn(parent, member, turn)) return false
  const child = state.tasks.get(childId)
  if (child === undefined || child.ended || child.rare?.parent !== parentId) return false
  commitsTurn(state, parent, member, turn)
  const message = `its parent "${parentId}" has no use for it any more`
  const place = { sequence: state.position, index }
  state.end(child, 'cancelled', { code: 'TROUPE_TASK_CANCELLED', message }, place)
  return true
}

/** The task of a firing, known by its id: made again, it is the task that is there. */
interface Firing extends Pick<NewTask, 'type' | 'options' | 'input' | 'index'> {
  readonly id: string
  /** Task whose end it waits for. */
  readonly follows: string | undefined
}

export function foldFiring(state: LedgerState, { follows, ...firing }: Firing): void {
  const { id, type, input, index, options } = firing
  const hash = submissionHash(type, input)
  const reference = systemTaskId(state.partition, state.position, index)
  if (isKnown(state, id, type, hash, { reference, client: undefined, replyTo: options.replyTo })) return
  const waiting = follows === undefined ? options : { ...options, after: [follows] }
  create(state, { ...firing, name: id, options: waiting, client: undefined, hash, parent: undefined, afterEnd: true })
}

function complaint(type: string, options: SubmissionOptions): ErrorRecord | undefined {
  if (!isName(type)) return { code: 'TROUPE_INVALID_NAME', message: 'the task type is not a valid name' }
  if (options.id !== undefined && isSystemId(options.id)) {
    return { code: 'TROUPE_RESERVED_ID', message: `task id "${options.id}" has a form reserved for the system` }
  }
  if ((options.after?.length ?? 0) > limits.afterMax) {
    return { code: 'TROUPE_TOO_LARGE', message: `a task may wait for at most ${limits.afterMax} others` }
  }
  return undefined
}

/** 52 bits of type and input; equal for equal submissions. */
function submissionHash(type: string, input: Payload): number {
  const inputBits =
    typeof input === 'string' || input === null || input instanceof Uint8Array
      ? inputHash(input)
      : jitterHash(input[0], input[1])
  return ((inputBits ^ jitterHash(type, 0)) >>> 0) + Math.floor(inputBits / 0x1_0000_0000) * 0x1_0000_0000 + 1
}

/** Whether the task, whose submitter chose its id, was submitted with this input. */
export function isSubmissionOf(task: TaskRecord, [type, input]: Submission): boolean {
  return isSame(task, type, submissionHash(type, input))
}

function isSame(known: TaskRecord, type: string, hash: number): boolean {
  return known.type === type && known.hash === hash
}

function isKnown(state: LedgerState, id: string, type: string, hash: number, submitter: Submitter): boolean {
  const known = state.tasks.get(id)
  if (known === undefined) return false
  if (isSame(known, type, hash)) {
    state.changes.push({ what: 'duplicate', task: known, submitter })
  } else {
    const error = idConflict(id, type)
    state.changes.push({ what: 'refused', submitter, id, error })
    state.setAside(submitter.reference, error)
  }
  return true
}

/** What a submitter is told whose id belongs to a task with another type or input. */
export function idConflict(id: string, type: string): ErrorRecord {
  const message = `task id "${id}" belongs to another submission, with another type or input`
  return { code: 'TROUPE_ID_CONFLICT', message, details: { id, type } }
}

interface NewTask {
  /** Left out when its place is its name. */
  readonly name: string | undefined
  readonly type: string
  readonly options: SubmissionOptions
  readonly index: number
  readonly client: string | undefined
  readonly hash: number
  readonly parent: string | undefined
  readonly input: Payload
  /** Nothing that is taken already needs it, so a full queue refuses it. */
  readonly refusable?: boolean
  /** What it waits for may end in any way. */
  readonly afterEnd?: boolean
}

function create(state: LedgerState, born: NewTask): void {
  const { name, type, options, index, client, hash, parent, input } = born
  const task = new TaskRecord({
    name,
    type,
    priority: options.priority ?? defaultPriority,
    key: options.key,
    arrival: state.tasks.arrival(state.position, state.timeMs, client),
    index,
    hash,
  })
  if (options.delayMs !== undefined && options.delayMs > 0) task.dueAtMs = state.timeMs + options.delayMs
  if (options.deadlineAtMs !== undefined) task.more.deadlineAtMs = options.deadlineAtMs
  if (options.startWithinMs !== undefined) task.more.startWithinMs = options.startWithinMs
  if (options.replyTo !== undefined) task.more.replyTo = options.replyTo
  if (options.expectedMs !== undefined) task.more.expectedMs = options.expectedMs
  if (parent !== undefined) task.more.parent = parent
  if (options.restart === 'temporary') task.more.temporary = true
  if (options.group !== undefined) task.more.group = options.group
  state.totals.submitted++
  const full = born.refusable ? queueFull(state, type) : undefined
  const after = options.after === undefined ? undefined : unmet(state, options.after)
  if (after !== undefined && after.failed === undefined && after.waiting.size > 0) task.status = 'blocked'
  state.add(task)
  state.changes.push({ what: 'submitted', task, input })
  // A member that cannot run ends its gang, so it joins in any case; what a full queue refuses is nobody's rival.
  const conflict = options.gang && joinGang(state, task, options.gang)
  const rival = full === undefined && options.unique ? rivalOf(state, task, options.unique, input) : undefined
  if (conflict !== undefined) {
    if (conflict.code === 'TROUPE_GANG_CONFLICT') task.more.unreadable = true
    state.end(task, 'failed', conflict, task)
  } else if (full !== undefined) {
    if (after !== undefined) task.more.after = after.waiting
    state.end(task, 'failed', full, task)
  } else if (rival !== undefined) {
    state.end(task, 'cancelled', rival, task)
  } else if (after?.failed !== undefined) {
    const message = `it waited for "${after.failed}", which did not complete`
    const error = { code: 'TROUPE_DEPENDENCY_FAILED', message, details: { task: after.failed } }
    task.more.after = after.waiting
    state.end(task, 'failed', error, task)
  } else if (after !== undefined && after.waiting.size > 0) {
    if (born.afterEnd) task.more.afterEnd = true
    state.block(task, after.waiting)
    state.change('blocked', task)
  } else {
    beginStartLimit(task, state.timeMs)
    state.change('ready', task)
  }
  if (options.group !== undefined && !task.ended) joinGroup(state, task, options.group)
}

/** Why the task is not the only one of its key within its time, if it is not. */
function rivalOf(
  state: LedgerState,
  { id, type }: TaskRecord,
  { key, withinMs }: UniqueWindow,
  input: Payload,
): ErrorRecord | undefined {
  const unique = `${type} ${key === undefined ? `#${submissionHash(type, input)}` : `=${key}`}`
  const rival = state.uniques.rivalOf(id, unique, withinMs, state.timeMs)
  if (rival === undefined) return undefined
  const message = `task "${rival}" with the same key was submitted less than ${withinMs} ms before`
  return { code: 'TROUPE_NOT_UNIQUE', message, details: { task: rival } }
}

/** Which of the ids still have to complete, and the first that has ended otherwise. An unknown id may still come. */
function unmet(state: LedgerState, ids: readonly string[]): { waiting: Set<string>; failed: string | undefined } {
  const waiting = new Set<string>()
  let failed: string | undefined
  for (const id of ids) {
    const other = state.tasks.get(id)
    if (other?.status === 'completed') continue
    waiting.add(id)
    if (other?.ended) failed ??= id
  }
  return { waiting, failed }
}

/** A submission that cannot become a task: a dead letter that keeps the bytes (in the log) and the reason. */
export function foldUnreadable(
  state: LedgerState,
  type: string,
  index: number,
  client: string | undefined,
  error: ErrorRecord,
  replyTo: string | undefined,
): void {
  const task = new TaskRecord({
    name: undefined,
    type,
    priority: defaultPriority,
    key: undefined,
    arrival: state.tasks.arrival(state.position, state.timeMs, client),
    index,
    hash: 0,
  })
  task.more.unreadable = true
  if (replyTo !== undefined) task.more.replyTo = replyTo
  state.totals.submitted++
  state.add(task)
  state.changes.push({ what: 'submitted', task, input: null })
  state.end(task, 'failed', error, task)
}
