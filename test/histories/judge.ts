/**
 * Judges a history by sentences about what anybody may see from outside. Pure: no clock, no connection. Knows nothing of
 * Troupe but what its contract says.
 */
import { type Call, type Effect, type History, isTerminal, type Operation } from './history.ts'

export interface Rule {
  readonly name: string
  readonly promise: string
  readonly sentence: string
  readonly broken: (task: TaskHistory) => string[]
}

/** All about one id, in the order in which it was called. */
export interface TaskHistory {
  readonly id: string
  readonly operations: readonly Operation[]
  readonly effects: readonly Effect[]
}

type Submitted = Operation & { readonly call: Extract<Call, { type: string }> }

/** Clocks of processes on one machine differ by their start, and the log's is in whole ms. */
const clockErrorMs = 5

/** The task `flaky` may be tried so often. */
export const attemptsMax = 4

const submissions = ({ operations }: TaskHistory) =>
  operations.filter((operation): operation is Submitted => 'type' in operation.call)
/** Those whose answer says how the task is; a conflict is about another submission. */
const reads = ({ operations }: TaskHistory) =>
  operations.filter(({ end, told }) => end === 'ok' && told.status !== undefined)
const stored = (task: TaskHistory) =>
  submissions(task).filter(
    ({ end, told }) => end === 'ok' && (told.sequence !== undefined || told.status !== undefined),
  )
const shown = (value: unknown) => JSON.stringify(value) ?? 'nothing'

/** The value that the task was given which came to this. */
function givenTo(result: unknown): number | undefined {
  return (result as { value?: number } | null | undefined)?.value
}

/** How far a task is: turns only grow, and within one a task runs, then rests, then waits for the next. */
function progressOf({ told }: Operation): number {
  if (isTerminal(told)) return Number.POSITIVE_INFINITY
  const phase = told.status === 'running' ? 0 : told.status === 'parked' ? 1 : 2
  return (told.turn ?? 0) * 3 + phase
}

export const rules: readonly Rule[] = [
  {
    name: 'known',
    promise: 'P1',
    sentence: 'Once a submission was acknowledged, nobody is told that its task is unknown.',
    broken: (task) => {
      const knownAtMs = Math.min(...stored(task).map(({ toMs }) => toMs))
      return task.operations
        .filter(({ told, fromMs }) => told.error === 'TROUPE_UNKNOWN_TASK' && fromMs > knownAtMs)
        .map(({ who, fromMs }) => `${who} was told at ${fromMs} that it is unknown; acknowledged at ${knownAtMs}`)
    },
  },
  {
    name: 'ends',
    promise: 'P1',
    sentence: 'Every acknowledged task is seen to have ended, when the faults are over.',
    broken: (task) =>
      stored(task).length === 0 || reads(task).some(({ told }) => isTerminal(told))
        ? []
        : [`acknowledged, and last seen ${shown(reads(task).at(-1)?.told)}`],
  },
  {
    name: 'one-end',
    promise: 'P1',
    sentence: 'A task that has ended has ended so for everybody and for ever: status, result and error.',
    broken: (task) => {
      const ends = reads(task).filter(({ told }) => isTerminal(told))
      const seen = new Set(ends.map(({ told }) => shown([told.status, told.result, told.error])))
      return seen.size < 2 ? [] : [`it was told ${[...seen].join(' and ')}`]
    },
  },
  {
    name: 'never-backwards',
    promise: 'P3',
    sentence: 'Whoever asks after an answer was given sees the task there or further: no turn is undone.',
    broken: (task) => {
      const inOrder = reads(task)
        .filter(({ told }) => told.turn !== undefined)
        .sort((a, b) => a.toMs - b.toMs)
      const found: string[] = []
      for (const later of inOrder) {
        for (const before of inOrder) {
          if (before.toMs >= later.fromMs) break
          if (progressOf(before) <= progressOf(later)) continue
          found.push(`${shown(before.told)} at ${before.toMs}, then ${shown(later.told)} at ${later.fromMs}`)
          break
        }
      }
      return found
    },
  },
  {
    name: 'one-task',
    promise: 'P2',
    sentence: 'One id is one task: it has the input of one submission, and of none that came after another was stored.',
    broken: (task) => {
      const results = reads(task).filter(({ told }) => told.status === 'completed')
      const value = givenTo(results[0]?.told.result)
      if (value === undefined) return []
      const own = submissions(task).filter(({ call, end }) => call.value === value && end !== 'fail')
      if (own.length === 0) return [`its result is ${shown(results[0]?.told.result)}, which nobody had submitted`]
      const firstAtMs = Math.min(...own.map(({ fromMs }) => fromMs))
      return stored(task)
        .filter(({ call, toMs, told }) => call.value !== value && told.sequence !== undefined && toMs < firstAtMs)
        .map(({ call }) => `${call.value} was stored before ${value} was submitted, which it is`)
    },
  },
  {
    name: 'own-answer',
    promise: 'P2',
    sentence: 'Whoever runs a task is answered for its own input, or that the id belongs to another.',
    broken: (task) =>
      submissions(task).flatMap(({ who, call, told }) => {
        if (call.f !== 'run') return []
        if (told.status === 'completed' && givenTo(told.result) !== call.value) {
          return [`${who} ran ${call.value} and was answered ${shown(told.result)}`]
        }
        const others = submissions(task).filter((other) => shown(inputOf(other)) !== shown([call.type, call.value]))
        return told.error === 'TROUPE_ID_CONFLICT' && others.length === 0 ? [`${who} is in conflict with nobody`] : []
      }),
  },
  {
    name: 'no-phantom',
    promise: 'P8',
    sentence: 'What was refused, always and certainly, never ran.',
    broken: (task) =>
      submissions(task).every(({ end }) => end === 'fail') && task.effects.length > 0
        ? ['it was never taken, and ran']
        : [],
  },
  {
    name: 'one-key',
    promise: 'P5',
    sentence: 'A step has one idempotency key, over all attempts and processes.',
    broken: (task) => {
      const keys = new Map<string, string>()
      return task.effects.flatMap(({ step, key }) => {
        const known = keys.get(step) ?? key
        keys.set(step, known)
        return known === key ? [] : [`the step ${step} had the keys ${known} and ${key}`]
      })
    },
  },
  {
    name: 'effects-happened',
    promise: 'P5',
    sentence: 'A task that completed has done each of its steps, and failed no more often than it may.',
    broken: (task) => {
      const result = reads(task).find(({ told }) => told.status === 'completed')?.told.result
      const steps = (result as { steps?: readonly string[] } | undefined)?.steps ?? []
      const missing = steps.filter((step) => task.effects.every((effect) => effect.step !== step))
      const attempts = Math.max(0, ...task.effects.map(({ attempt }) => attempt))
      return [
        ...missing.map((step) => `it completed without its step ${step}`),
        ...(attempts > attemptsMax ? [`it was tried ${attempts} times`] : []),
      ]
    },
  },
  {
    name: 'never-early',
    promise: 'P6',
    sentence: 'Nothing begins before its delay is over, and no sleep ends early.',
    broken: (task) => {
      const soonestMs = Math.min(...submissions(task).map(({ fromMs, call }) => fromMs + call.delayMs))
      const early = task.effects
        .filter(({ atMs }) => atMs < soonestMs - clockErrorMs)
        .map(({ atMs }) => `it ran at ${atMs}`)
      // A task that sleeps says in the name of the step before for how long.
      const slept = task.effects.flatMap(({ step, atMs }) => {
        const ms = /^before:(\d+)$/.exec(step)?.[1]
        const woken = task.effects.filter((effect) => effect.step === 'after').map((effect) => effect.atMs)
        return ms !== undefined && woken.some((wokenMs) => wokenMs < atMs + Number(ms) - clockErrorMs && wokenMs > atMs)
          ? [`it began to sleep for ${ms} ms at ${atMs} and woke at ${Math.min(...woken)}`]
          : []
      })
      return [...early.map((text) => `${text}, and might not before ${soonestMs}`), ...slept.slice(0, 1)]
    },
  },
  {
    name: 'signals-in-order',
    promise: 'P4',
    sentence: 'A task hears each signal once, in the order in which they were stored.',
    broken: (task) => {
      const heard = reads(task).find(({ told }) => told.status === 'completed')?.told.result
      const values = (heard as { heard?: readonly number[] } | undefined)?.heard
      if (values === undefined) return []
      const placeOf = new Map<number, number>()
      for (const { call, told } of task.operations) {
        if (call.f !== 'signal' || told.sequence === undefined) continue
        placeOf.set(call.value, Math.min(told.sequence, placeOf.get(call.value) ?? Number.POSITIVE_INFINITY))
      }
      const places = values.flatMap((value) => placeOf.get(value) ?? [])
      const inOrder = places.every((place, at) => at === 0 || place > places[at - 1]!)
      return inOrder && new Set(values).size === values.length ? [] : [`it heard ${values.join(', ')}`]
    },
  },
]

function inputOf({ call }: Submitted): unknown {
  return [call.type, call.value]
}

export interface Violation {
  readonly rule: Rule
  readonly id: string
  readonly found: readonly string[]
}

export function judge({ operations, effects }: History): Violation[] {
  const tasks = new Map<string, { id: string; operations: Operation[]; effects: Effect[] }>()
  const of = (id: string) => {
    let task = tasks.get(id)
    if (task === undefined) tasks.set(id, (task = { id, operations: [], effects: [] }))
    return task
  }
  for (const operation of [...operations].sort((a, b) => a.fromMs - b.fromMs))
    of(operation.id).operations.push(operation)
  for (const effect of effects) of(effect.id).effects.push(effect)
  return [...tasks.values()].flatMap((task) =>
    rules.flatMap((rule) => {
      const found = rule.broken(task)
      return found.length === 0 ? [] : [{ rule, id: task.id, found }]
    }),
  )
}

export function explain({ rule, id, found }: Violation): string {
  return `${rule.promise} ${rule.name}: ${rule.sentence}\n  ${id}: ${found.slice(0, 3).join('; ')}`
}
