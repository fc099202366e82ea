/**
 * The promises as predicates over a recorded history. Each has a name, the promise it belongs to, and its sentence; each
 * returns the places where it does not hold. They know the tasks of `tasks.ts` by type, and nothing of simulations.
 */
import type { History, HistoryEvent } from '../history.ts'
import { decoded, Replay, type ReplayTask } from './replay.ts'

export interface Predicate {
  readonly name: string
  readonly promise: string
  readonly sentence: string
  readonly broken: (evidence: Evidence) => readonly string[]
}

type Submission = Extract<HistoryEvent, { what: 'submit' }>

/** A history, with what several predicates look up. */
export class Evidence {
  readonly history: History
  readonly replay: Replay
  readonly tasks: readonly ReplayTask[]
  readonly byMark = new Map<number, ReplayTask[]>()
  readonly submissions = new Map<number, Submission>()
  /** Marks of submissions that were stored and that the server lost. */
  readonly lostMarks: ReadonlySet<number>
  readonly accepted = new Map<number, string>()
  readonly conflicts = new Set<number>()

  constructor(history: History) {
    this.history = history
    this.replay = Replay.of(history.log)
    this.tasks = [...this.replay.tasks.values()]
    for (const task of this.tasks) {
      const { mark } = task
      if (mark === undefined || task.parent !== undefined) continue
      this.byMark.set(mark, [...(this.byMark.get(mark) ?? []), task])
    }
    for (const event of history.events) {
      if (event.what === 'submit') this.submissions.set(event.mark, event)
      else if (event.what === 'accepted') this.accepted.set(event.mark, event.id)
    }
    // One by one: a sequence that was lost twice was given to different submissions.
    const lost = history.lost.flatMap((message) => [...Replay.of([message]).tasks.values()])
    const lostIds = new Set(lost.map(({ id }) => id))
    const lostMarks = new Set(lost.flatMap(({ mark }) => (mark === undefined ? [] : [mark])))
    // One that came second with its id, perhaps in the same message, is lost with the first.
    for (const [mark, { id }] of this.submissions) if (id !== undefined && lostIds.has(id)) lostMarks.add(mark)
    this.lostMarks = lostMarks
    for (const [mark, { id }] of this.submissions) {
      const task = id === undefined ? undefined : this.replay.tasks.get(id)
      if (task !== undefined && task.mark !== mark) this.conflicts.add(mark)
    }
  }

  /** What the server lost takes later things with it: the promises about single tasks do not hold then. */
  get serverLostData(): boolean {
    return this.history.lost.length > 0
  }

  events<What extends HistoryEvent['what']>(what: What): Extract<HistoryEvent, { what: What }>[] {
    return this.history.events.filter((event) => event.what === what) as Extract<HistoryEvent, { what: What }>[]
  }

  /** What the promise of effects and order is about: tasks submitted with an input of this form. */
  inputOf(task: ReplayTask): { mark: number; count: number; ms: number } {
    return decoded(task.input) as { mark: number; count: number; ms: number }
  }
}

export const predicates: readonly Predicate[] = [
  {
    name: 'kept',
    promise: 'P1',
    sentence: 'A submission that was acknowledged is in the log.',
    broken: (evidence) =>
      [...evidence.accepted].flatMap(([mark, id]) => {
        if (evidence.byMark.has(mark) || evidence.conflicts.has(mark) || evidence.lostMarks.has(mark)) return []
        return [`submission ${mark} was acknowledged as ${id} and is nowhere`]
      }),
  },
  {
    name: 'ends',
    promise: 'P1, P7',
    sentence: 'Once the faults are over, every task in the log reaches a terminal state.',
    broken: ({ history, tasks }) =>
      history.healed === undefined || history.lost.length > 0
        ? []
        : tasks.filter(({ ended }) => !ended).map(({ id, type, status }) => `${type} ${id} is still ${status}`),
  },
  {
    name: 'told',
    promise: 'P1, P7',
    sentence: 'Once the faults are over, everybody who waits for a task is told how it ended.',
    broken: ({ history }) =>
      history.healed === undefined || history.waiting === 0 || history.lost.length > 0
        ? []
        : [`${history.waiting} waits were never answered`],
  },
  {
    name: 'told-the-truth',
    promise: 'P1',
    sentence: 'Whoever is told an outcome is told the one in the log, which never changes.',
    broken: (evidence) =>
      evidence.serverLostData
        ? []
        : evidence.events('told').flatMap(({ id, status, detail }) => {
            const task = evidence.replay.tasks.get(id)
            const truth = task?.status === 'completed' ? (JSON.stringify(task.result) ?? '') : (task?.error ?? '')
            if (task?.status === status && truth === detail) return []
            return [`${id} was told as ${status} ${detail}, and the log says ${task?.status} ${truth}`]
          }),
  },
  {
    name: 'not-forgotten',
    promise: 'P1',
    sentence: 'Nobody is told that a task which was acknowledged is not known.',
    broken: (evidence) =>
      evidence.serverLostData ? [] : evidence.events('forgotten').map(({ id }) => `${id} was said to be unknown`),
  },
  {
    name: 'one-task',
    promise: 'P2',
    sentence: 'A submission makes one task at most, however often it is sent.',
    broken: ({ byMark }) =>
      [...byMark].flatMap(([mark, found]) =>
        found.length > 1 ? [`submission ${mark} became ${found.map(({ id }) => id).join(', ')}`] : [],
      ),
  },
  {
    name: 'no-phantom',
    promise: 'P2',
    sentence: 'Every task was submitted by somebody.',
    broken: ({ byMark, submissions }) =>
      [...byMark.keys()].flatMap((mark) => (submissions.has(mark) ? [] : [`nobody submitted ${mark}`])),
  },
  {
    name: 'refused-is-absent',
    promise: 'P2, P8',
    sentence: 'A submission that was certainly refused is not in the log.',
    broken: (evidence) => {
      // One try that was answered otherwise, or never, may have been stored.
      const open = new Map<number, number>()
      for (const { mark } of evidence.events('submit')) open.set(mark, (open.get(mark) ?? 0) + 1)
      for (const { mark } of evidence.events('refused')) open.set(mark, (open.get(mark) ?? 0) - 1)
      return [...open].flatMap(([mark, left]) =>
        left === 0 && evidence.byMark.has(mark) ? [`submission ${mark} was refused and stored`] : [],
      )
    },
  },
  {
    name: 'never-half-started',
    promise: 'P3',
    sentence: 'No member of a gang runs before the acceptance of every member is in the log.',
    broken: (evidence) => {
      const { clockErrorMs, epochMs } = evidence.history
      return evidence.events('run').flatMap(({ id, atMs }) => {
        const task = evidence.replay.tasks.get(id)
        const gang = task && evidence.replay.gangs.of(task)
        if (gang === undefined || evidence.serverLostData) return []
        const { startedAtMs = Number.POSITIVE_INFINITY } = gang
        const ranAtMs = epochMs + atMs + clockErrorMs + 1
        return ranAtMs >= startedAtMs
          ? []
          : [`${id} ran at ${atMs.toFixed(0)} ms, before its gang "${gang.id}" started`]
      })
    },
  },
  {
    name: 'together',
    promise: 'P3',
    sentence:
      "A member's failure ends the turns of all that its group restarts, and a group that failed too often ends.",
    broken: ({ history, replay }) =>
      history.ledgers.flatMap(({ holder, position, tasks }) => {
        const known = new Map(tasks.map((task) => [task.id, task]))
        return replay.groups.consequences
          .filter(({ sequence }) => sequence <= position)
          .flatMap(({ sequence, group, turns, ended }) =>
            turns.flatMap(({ id, turn }) => {
              const task = known.get(id)
              const isOver = ended
                ? task?.outcome?.startsWith(`${sequence}/`)
                : task === undefined || task.turn > turn || !['running', 'completed'].includes(task.status)
              return isOver ? [] : [`${holder}: ${id} of ${group} keeps turn ${turn} after the failure at ${sequence}`]
            }),
          )
      }),
  },
  {
    name: 'fenced-at-write',
    promise: 'P3',
    sentence: 'After a fence the broker stores nothing more on that journal.',
    broken: ({ history, replay }) =>
      history.brokenFences || history.lost.length > 0
        ? []
        : replay.storedAfterFence.map(({ subject, sequence }) => `${sequence} on ${subject} stands behind its fence`),
  },
  {
    name: 'one-ledger',
    promise: 'P3',
    sentence:
      'Every ledger says of every task what a second reading of the log says: status, turn, attempt, owner, end.',
    broken: ({ history }) =>
      history.ledgers.flatMap(({ holder, position, tasks }) => {
        const replay = Replay.of(history.log, position)
        const differences = tasks.flatMap((task) => {
          const other = replay.tasks.get(task.id)
          const mine = `${task.status} turn ${task.turn} attempt ${task.attempt} ${task.owner ?? ''} ${task.outcome ?? ''}`
          const theirs =
            other &&
            `${other.status} turn ${other.turn} attempt ${other.attempt} ${other.owner?.incarnation ?? ''} ${other.outcome ?? ''}`
          return mine === theirs ? [] : [`${holder} says of ${task.id}: ${mine}; the log: ${theirs}`]
        })
        if (tasks.length !== replay.tasks.size)
          differences.push(`${holder} has ${tasks.length} tasks at ${position}, the log ${replay.tasks.size}`)
        return differences
      }),
  },
  {
    name: 'resumed',
    promise: 'P4',
    sentence: 'A task goes on from its last committed checkpoint: none is made twice, none is left out.',
    broken: (evidence) =>
      evidence.tasks
        .filter(({ type }) => type === 'counter')
        .flatMap((task) => {
          const values = task.checkpoints.map(({ value }) => value)
          const inOrder = values.every((value, at) => value === at + 1)
          return inOrder ? [] : [`${task.id} checkpointed ${values.join(', ')}`]
        }),
  },
  {
    name: 'resumed-where-committed',
    promise: 'P4',
    sentence: 'A completed count has counted every step, and its result is what its last checkpoint says.',
    broken: (evidence) =>
      evidence.tasks
        .filter(({ type, status }) => type === 'counter' && status === 'completed')
        .flatMap((task) => {
          const { count } = evidence.inputOf(task)
          const last = task.checkpoints.at(-1)?.value
          return task.result === count && last === count
            ? []
            : [`${task.id} was to count to ${count}, checkpointed ${String(last)} and returned ${String(task.result)}`]
        }),
  },
  {
    name: 'signals-in-order',
    promise: 'P4',
    sentence: 'Signals reach the task once each, in the order in which the log accepted them.',
    broken: (evidence) =>
      evidence.tasks
        .filter(({ type, status }) => type === 'listener' && status === 'completed')
        .flatMap((task) => {
          const sent = task.signals.map(({ value }) => (value as { value: number }).value)
          const heard = task.result as number[]
          const isPrefix = heard.every((value, at) => value === sent[at])
          return isPrefix && heard.length === evidence.inputOf(task).count
            ? []
            : [`${task.id} heard ${heard.join(', ')} of ${sent.join(', ')}`]
        }),
  },
  {
    name: 'one-key',
    promise: 'P5',
    sentence: 'The idempotency key of a step is equal across attempts and nodes, and no other step has it.',
    broken: (evidence) => {
      const keys = new Map<string, string>()
      const steps = new Map<string, string>()
      return evidence.events('effect').flatMap(({ id, step, key }) => {
        const name = `${id}/${step}`
        const known = keys.get(name) ?? key
        const other = steps.get(key) ?? name
        keys.set(name, known)
        steps.set(key, other)
        return known === key && other === name ? [] : [`${name} had the key ${known}, now ${key}, which ${other} has`]
      })
    },
  },
  {
    name: 'effects-happened',
    promise: 'P5',
    sentence: 'A task that completed has had the effect of each of its steps at least once.',
    broken: (evidence) => {
      const seen = new Set(evidence.events('effect').map(({ id, step }) => `${id}/${step}`))
      return evidence.tasks.flatMap((task) => {
        if (task.status !== 'completed') return []
        const wanted = stepsOf(task.type, evidence.inputOf(task).count)
        const missing = wanted.filter((step) => !seen.has(`${task.id}/${step}`))
        return missing.length === 0 ? [] : [`${task.id} completed without ${missing.join(', ')}`]
      })
    },
  },
  {
    name: 'right-result',
    promise: 'P5',
    sentence: 'A completed task has the result of its own input.',
    broken: (evidence) =>
      evidence.tasks.flatMap((task) => {
        const wanted = resultOf(task.type, evidence.inputOf(task))
        return task.status !== 'completed' || wanted === undefined || wanted === task.result
          ? []
          : [`${task.type} ${task.id} returned ${String(task.result)} instead of ${wanted}`]
      }),
  },
  {
    name: 'attempts-bounded',
    promise: 'P5, P8',
    sentence: 'No task is tried more often than its policy allows.',
    broken: (evidence) =>
      evidence.events('run').flatMap(({ id, attempt }) => {
        const limit = evidence.replay.tasks.get(id)?.profile?.retry.attempts ?? 3
        return attempt > limit ? [`${id} is in attempt ${attempt} of ${limit}`] : []
      }),
  },
  {
    name: 'never-early',
    promise: 'P6',
    sentence: 'A delayed task does not start before its time, and a sleep never ends early, in log time.',
    broken: (evidence) => {
      const began = new Map<string, number>()
      const woken = new Map<string, number>()
      for (const { id, atMs } of evidence.events('run')) if (!began.has(id)) began.set(id, atMs)
      for (const { id, step, atMs } of evidence.events('effect')) {
        if (step === 'woken' && !woken.has(id)) woken.set(id, atMs)
      }
      return evidence.tasks.flatMap((task) => {
        const first = task.turns[0]
        if (first !== undefined && first.atMs < task.submittedAtMs + task.delayMs)
          return [`${task.id} started before its delay was over`]
        const wokenAtMs = woken.get(task.id)
        if (task.type !== 'napper' || wokenAtMs === undefined) return []
        const sleptMs = wokenAtMs - (began.get(task.id) ?? 0)
        const { ms } = evidence.inputOf(task)
        return sleptMs + evidence.history.clockErrorMs < ms
          ? [`${task.id} slept ${sleptMs.toFixed(1)} of ${ms} ms`]
          : []
      })
    },
  },
  {
    name: 'failover',
    promise: 'P7',
    sentence: 'A node that is killed is out of the log within four seconds, if nothing else goes wrong.',
    broken: ({ history, replay }) => {
      const others = [...history.fired.keys()].filter((kind) => kind !== 'crash node' && kind !== 'trim')
      if (others.length > 0) return []
      const crashes = history.events.filter((event) => event.what === 'fault')
      return crashes.flatMap(({ atMs, detail }) => {
        const isAlone = crashes.every(
          (other) => other.detail === detail || Math.abs(other.atMs - atMs) > failoverMs * 3,
        )
        const killedAtMs = history.epochMs + atMs
        const life = replay.lives.find(
          ({ node, fromMs, toMs }) => node === detail && fromMs <= killedAtMs && toMs > killedAtMs,
        )
        const isOver = (history.healed?.untilMs ?? 0) > atMs + failoverMs
        return !isAlone || !isOver || life === undefined || life.toMs <= killedAtMs + failoverMs
          ? []
          : [
              `${detail}, killed at ${atMs.toFixed(0)} ms, was a member for ${(life.toMs - killedAtMs).toFixed(0)} ms more`,
            ]
      })
    },
  },
  {
    name: 'nothing-escapes',
    promise: 'P9',
    sentence: 'No error leaves a handler or a promise: no message stops a process.',
    broken: ({ history }) =>
      history.escaped.map(({ process, atMs, error }) => {
        return `in ${process} at ${atMs.toFixed(0)} ms: ${error instanceof Error ? error.stack : String(error)}`
      }),
  },
]

const failoverMs = 4_000

function stepsOf(type: string, count: number): string[] {
  if (type === 'quick') return ['']
  if (type === 'steps') return Array.from({ length: count }, (_, at) => `s${at}`)
  if (type === 'counter') return Array.from({ length: count }, (_, at) => `c${at}`)
  if (type === 'napper') return ['woken']
  if (type === 'flaky') return ['try']
  return []
}

function resultOf(type: string, { mark, count }: { mark: number; count: number }): number | undefined {
  if (['quick', 'steps', 'napper', 'flaky', 'late'].includes(type)) return mark * 2
  return type === 'parent' ? count : undefined
}
