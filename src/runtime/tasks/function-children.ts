/**
 * `ctx.submit` and `ctx.map`: children of a task. Their ids are `<parent>:<n>`, so that submitting them again after a
 * crash is the same submission; they are in the same block as the state that knows them. While only children are waited
 * for, the parent is parked, and woken when all of them have ended.
 */
import type { ChildHandle, ChildOptions, MapOptions } from '../../client/context.ts'
import { failureOf } from '../../client/failures.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { checkName } from '../../protocol/names.ts'
import { integerBetween, type SubmissionOptions } from '../../protocol/options.ts'
import { packValue, unpackValue } from '../../protocol/payload.ts'
import { Alarm } from './alarm.ts'
import type { Call } from './call-journal.ts'
import { submissionOptions } from './child-options.ts'
import type { FunctionRun } from './function-run.ts'
import type { Wait } from './function-waiting.ts'
import type { ChildSubmission } from './logic.ts'
import type { OtherTask } from './other-task.ts'
import { packFailure } from './outcome.ts'

/** Children in one block, and questions about children at a time. */
const blockChildren = 500
const blockBytes = limits.blockBytesMax / 4
const questionsAtOnce = 32
/** When the scheduler does not answer, the parent parks and asks again. */
const askAgainMs = 5_000
/** Between questions while other work goes on; the time doubles. */
const askEveryMs = 1_000
const askEveryMsMax = 60_000
export const mapInputsMax = 100_000

/** Resolves with a handle once the child's submission is stored. */
export function submitChild(
  run: FunctionRun,
  task: AnyTaskDefinition | string,
  input: unknown,
  options: ChildOptions,
): Promise<ChildHandle<unknown>> {
  let child: Omit<ChildSubmission, 'options'> & { options: SubmissionOptions }
  try {
    child = {
      type: typeOf(task),
      input: packValue(input, 'input'),
      options: submissionOptions(options),
    }
  } catch (error) {
    return Promise.reject(error)
  }
  const submitted = run.call<string>(
    () => run.journal.nextKey('submit'),
    (call) => {
      giveNumbers(run, call, 1)
      const id = childId(run, call.firstChild)
      run.finishStored(call, packValue(id), { value: id }, [{ ...child, options: { ...child.options, id } }])
    },
  )
  return submitted.then((id) => {
    let answer: Promise<unknown> | undefined
    return {
      id,
      // Asked for again, as after a race, it is the same.
      result: () => {
        answer ??= childResult(run, id)
        return answer
      },
    }
  })
}

function childResult(run: FunctionRun, id: string): Promise<unknown> {
  return run.call<unknown>(`result:${id}`, (call) => {
    const settle = (answers: readonly OtherTask[]) => {
      const answer = answers[0]
      if (answer?.status === 'completed') run.finish(call, 'value', packValue(answer.result), { value: answer.result })
      else if (answer !== undefined) {
        run.finish(call, 'error', packFailure(failure(answer)))
      }
    }
    awaitChildren(run, call, [id], call.resumed, settle)
  })
}

/** Resolves with the results in the order of the inputs. */
export function mapChildren(
  run: FunctionRun,
  task: AnyTaskDefinition | string,
  inputs: readonly unknown[],
  options: MapOptions,
): Promise<unknown[]> {
  let plan: MapPlan
  try {
    plan = planMap(task, inputs, options)
  } catch (error) {
    return Promise.reject(error)
  }
  return run.call<unknown[]>(
    () => run.journal.nextKey('map'),
    (call) => {
      const resumed = call.resumed
      giveNumbers(run, call, inputs.length)
      const results = (unpackValue(call.value) as unknown[] | undefined) ?? []
      nextBatch(run, call, plan, results, resumed)
    },
  )
}

interface MapPlan {
  readonly type: string
  readonly inputs: readonly (Uint8Array | null)[]
  readonly options: SubmissionOptions
  readonly concurrency: number
}

function planMap(task: AnyTaskDefinition | string, inputs: readonly unknown[], options: MapOptions): MapPlan {
  if (!Array.isArray(inputs)) throw new TroupeError('TROUPE_INVALID_OPTION', 'ctx.map needs an array of inputs')
  const { concurrency, ...rest } = options
  const count = integerBetween('number of inputs of ctx.map', inputs.length, 0, mapInputsMax)
  return {
    type: typeOf(task),
    inputs: inputs.map((input, index) => packValue(input, `inputs[${index}]`)),
    options: submissionOptions(rest),
    concurrency: concurrency === undefined ? Math.max(1, count) : integerBetween('concurrency', concurrency, 1, 10_000),
  }
}

/** Submits the next children and waits for them; ends the call when there are none left. */
function nextBatch(run: FunctionRun, call: Call, plan: MapPlan, results: unknown[], resumed: boolean): void {
  const from = results.length
  const to = Math.min(plan.inputs.length, from + plan.concurrency)
  if (from === to) {
    run.finishStored(call, packValue(results), { value: results })
    return
  }
  const places = Array.from({ length: to - from }, (_, index) => from + index)
  const ids = places.map((place) => childId(run, call.firstChild + place))
  const settle = (answers: readonly OtherTask[]) => {
    // A crash came between the blocks that they were to be in; or they were forgotten before a dead letter was retried.
    const missing = places.filter((_, index) => answers[index]?.isUnknown)
    if (missing.length > 0) {
      submitAll(run, call, plan, missing, () => awaitChildren(run, call, ids, true, settle))
      return
    }
    const failed = answers.find((answer) => answer.status !== 'completed')
    if (failed !== undefined) {
      run.finish(call, 'error', packFailure(failure(failed)))
      return
    }
    results.push(...answers.map((answer) => answer.result))
    call.value = packValue(results)
    nextBatch(run, call, plan, results, false)
  }
  if (resumed) awaitChildren(run, call, ids, true, settle)
  else submitAll(run, call, plan, places, () => awaitChildren(run, call, ids, false, settle))
}

/** Submits the children for these places of the inputs; `stored` runs when all of them are stored. */
function submitAll(run: FunctionRun, call: Call, plan: MapPlan, places: readonly number[], stored: () => void): void {
  run.busy(1)
  let unstored = 0
  for (const block of blocksOf(run, call, plan, places)) {
    unstored++
    run.saves.now(block, () => {
      unstored--
      if (unstored > 0) return
      stored()
      run.busy(-1)
    })
  }
}

function* blocksOf(
  run: FunctionRun,
  call: Call,
  plan: MapPlan,
  places: readonly number[],
): Generator<ChildSubmission[]> {
  let block: ChildSubmission[] = []
  let bytes = 0
  for (const place of places) {
    const input = plan.inputs[place] ?? null
    block.push({ type: plan.type, input, options: { ...plan.options, id: childId(run, call.firstChild + place) } })
    bytes += (input?.length ?? 0) + 200
    if (block.length < blockChildren && bytes < blockBytes) continue
    yield block
    block = []
    bytes = 0
  }
  if (block.length > 0) yield block
}

/** Calls `settle` with the answers of all children once all have ended; until then the call waits, durably. */
function awaitChildren(
  run: FunctionRun,
  call: Call,
  children: readonly string[],
  askFirst: boolean,
  settle: (answers: readonly OtherTask[]) => void,
  askAfterMs = askEveryMs,
): void {
  const wait = (open: readonly string[]) => {
    const waiting: Wait = { call, children: open }
    // Parking finds out if they have ended; this is for a task that cannot be parked, since other work goes on in it.
    waiting.alarm = new Alarm(run.port, run.port.nowMs() + askAfterMs, () => {
      run.waiting.end(waiting)
      awaitChildren(run, call, children, true, settle, Math.min(2 * askAfterMs, askEveryMsMax))
    })
    run.waiting.add(waiting)
  }
  // Children that were just submitted cannot have ended.
  if (!askFirst) {
    wait(children)
    run.leaveSoon()
    return
  }
  run.busy(1)
  askAll(run, children).then(
    (answers) => {
      call.dueAtMs = 0
      const open = answers.filter((answer) => !ended.has(answer.status))
      if (run.live && open.length === 0) settle(answers)
      else if (run.live) wait(open.map((answer) => answer.id))
      run.busy(-1)
    },
    (error: unknown) => {
      if (run.live) {
        run.port.log.warn({ error }, 'the scheduler does not answer about children; asking again later')
        call.dueAtMs = run.port.nowMs() + askAgainMs
        wait(children)
      }
      run.busy(-1)
    },
  )
}

const ended = new Set(['completed', 'failed', 'cancelled', 'expired'])

async function askAll(run: FunctionRun, ids: readonly string[]): Promise<OtherTask[]> {
  const answers: OtherTask[] = []
  for (let from = 0; from < ids.length; from += questionsAtOnce) {
    const some = ids.slice(from, from + questionsAtOnce)
    answers.push(...(await Promise.all(some.map((id) => run.port.ask(id)))))
  }
  return answers
}

function failure(answer: OtherTask): TroupeError {
  const record = answer.error ?? { code: 'TROUPE_TASK_FAILED', message: `it is ${answer.status}` }
  return failureOf(answer.id, answer.status, record)
}

function giveNumbers(run: FunctionRun, call: Call, count: number): void {
  if (call.resumed) return
  call.firstChild = run.journal.childrenGiven + 1
  call.children = count
  run.journal.childrenGiven += count
}

function childId(run: FunctionRun, number: number): string {
  return checkName('id of a child', `${run.port.id}:${number}`)
}

function typeOf(task: AnyTaskDefinition | string): string {
  return checkName('task type', typeof task === 'string' ? task : task?.type)
}
