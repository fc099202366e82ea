/**
 * The promises as predicates over a recorded history. Each has a name, the promise it belongs to, and its sentence; each
 * returns the places where it does not hold. They know the tasks of `tasks.ts` by type, and nothing of simulations.
 */
import type { History, HistoryEvent } from '../history.ts'
import { patterns } from '../patterns.ts'
import { blobOf } from '../tasks.ts'
import { objectPredicates } from './predicates-objects.ts'
import { partitionPredicates } from './predicates-partitions.ts'
import { decoded, Replay, type ReplayTask } from './replay.ts'
import type { LimitedSpan } from './replay-queues.ts'

export interface Predicate {
  readonly name: string
  readonly promise: string
  readonly sentence: string
  readonly broken: (evidence: Evidence) => readonly string[]
}

type LimitedTurn = ReplayTask['turns'][number] & { readonly id: string }
/** How long an invitation from before may still be taken up. */
const invitedMs = 5_000

type Submission = Extract<HistoryEvent, { what: 'submit' }>

/** A history, with what several predicates look up. */
export class Evidence {
  readonly history: History
  /** By partition. */
  readonly replays: readonly Replay[]
  readonly tasks: readonly ReplayTask[]
  readonly byMark = new Map<number, ReplayTask[]>()
  private readonly byId = new Map<string, ReplayTask[]>()
  readonly submissions = new Map<number, Submission>()
  /** Marks of submissions that were stored and that the server lost. */
  readonly lostMarks: ReadonlySet<number>
  readonly accepted = new Map<number, string>()
  readonly conflicts = new Set<number>()

  constructor(history: History) {
    this.history = history
    this.replays = history.logs.map((_, partition) => this.read(partition))
    this.tasks = this.replays.flatMap(({ all }) => all)
    for (const task of this.tasks) {
      const { mark, id } = task
      this.byId.set(id, [...(this.byId.get(id) ?? []), task])
      if (mark === undefined || task.parent !== undefined) continue
      this.byMark.set(mark, [...(this.byMark.get(mark) ?? []), task])
    }
    for (const event of history.events) {
      if (event.what === 'submit') this.submissions.set(event.mark, event)
      else if (event.what === 'accepted') this.accepted.set(event.mark, event.id)
    }
    // One by one: a sequence that was lost twice was given to different submissions.
    const lost = history.lost.flatMap((message) => Replay.of([message], history.objects).all)
    const lostIds = new Set(lost.map(({ id }) => id))
    const lostMarks = new Set(lost.flatMap(({ mark }) => (mark === undefined ? [] : [mark])))
    // One that came second with its id, perhaps in the same message, is lost with the first.
    for (const [mark, { id }] of this.submissions) if (id !== undefined && lostIds.has(id)) lostMarks.add(mark)
    this.lostMarks = lostMarks
    for (const [mark, { id }] of this.submissions) {
      if (id !== undefined && this.everOf(id).some((task) => task.mark !== mark)) this.conflicts.add(mark)
    }
  }

  /** The second reading of a partition's log, up to this place. */
  read(partition: number, position = Number.POSITIVE_INFINITY): Replay {
    const { logs, objects } = this.history
    return Replay.of(logs[partition]!, objects, position, { partition, partitions: logs.length })
  }

  /** Every task that ever had this id: once one is forgotten, the id is free. */
  everOf(id: string): readonly ReplayTask[] {
    return this.byId.get(id) ?? []
  }

  /** What the server lost takes later things with it: the promises about single tasks do not hold then. */
  get serverLostData(): boolean {
    return this.history.lost.length > 0
  }

  /**
   * What is wrong with turns that began under limits, where nothing else went wrong: a leader that was just elected cannot
   * know which invitations of another are still under way.
   */
  limited(judge: (span: LimitedSpan, turns: readonly LimitedTurn[]) => readonly string[]): readonly string[] {
    if (this.history.events.some(({ what }) => what === 'fault') || this.history.fired.has('loss')) return []
    return this.replays.flatMap(({ queues, all }) =>
      queues.spans.flatMap((span) => {
        const turns = all
          .filter(({ type }) => type === span.type)
          .flatMap((task) => task.turns.map((turn) => ({ id: task.id, ...turn })))
          .filter(({ atMs, sequence }) => atMs > span.fromMs + invitedMs && sequence < span.toSequence)
        return judge(span, turns)
      }),
    )
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
            const truths = evidence
              .everOf(id)
              .flatMap(({ endings }) => endings.map((end) => `${end.status} ${truthOf(end)}`))
            if (truths.includes(`${status} ${detail}`)) return []
            return [`${id} was told as ${status} ${detail}, and the log says ${truths.join(', ') || 'nothing'}`]
          }),
  },
  {
    name: 'not-forgotten',
    promise: 'P1',
    sentence:
      'Nobody is told that a task which was acknowledged is not known, as long as it is to be kept, nor that its result is gone, unless the log was full.',
    broken: (evidence) => {
      if (evidence.serverLostData) return []
      const unknown = evidence
        .events('forgotten')
        .filter(({ id }) => !evidence.everOf(id).some(({ isForgotten }) => isForgotten))
      const gone = evidence.events('filled').length > 0 ? [] : evidence.events('gone')
      return [
        ...unknown.map(({ id }) => `${id} was said to be unknown`),
        ...gone.map(({ id }) => `the result of ${id} was said to be gone`),
      ]
    },
  },
  {
    name: 'one-task',
    promise: 'P2',
    sentence: 'A submission makes one task at most, however often it is sent.',
    broken: ({ byMark }) =>
      [...byMark].flatMap(([mark, found]) =>
        new Set(found.map(({ partition, id }) => `${id} in ${partition}`)).size > 1
          ? [`submission ${mark} became ${found.map(({ partition, id }) => `${id} in ${partition}`).join(', ')}`]
          : [],
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
        const task = evidence.everOf(id).at(-1)
        const gang = task && evidence.replays[task.partition]!.gangs.of(task)
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
    broken: ({ history, replays }) =>
      history.ledgers.flatMap(({ holder, partition, position, tasks }) => {
        const known = new Map(tasks.map((task) => [task.id, task]))
        return replays[partition]!.groups.consequences.filter(({ sequence }) => sequence <= position).flatMap(
          ({ sequence, group, turns, ended }) =>
            turns.flatMap(({ id, turn }) => {
              const task = known.get(id)
              const isOver = ended
                ? task === undefined || task.outcome?.startsWith(`${sequence}/`)
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
    broken: ({ history, replays }) =>
      history.brokenFences || history.lost.length > 0
        ? []
        : replays
            .flatMap(({ storedAfterFence }) => storedAfterFence)
            .map(({ subject, sequence }) => `${sequence} on ${subject} stands behind its fence`),
  },
  {
    name: 'one-ledger',
    promise: 'P3',
    sentence:
      'Every ledger says of every task what a second reading of the log says: status, turn, attempt, owner, end.',
    broken: (evidence) =>
      evidence.history.ledgers.flatMap(({ holder, partition, position, tasks }) => {
        const replay = evidence.read(partition, position)
        const differences = tasks.flatMap((task) => {
          const other = replay.tasks.get(task.id) ?? tied(replay, task.id)
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
    name: 'saved-whole',
    promise: 'P3, P4',
    sentence:
      'A checkpoint, and a ledger that was restored from one, is to the last field what folding the whole log gives.',
    broken: ({ history: { ledgers, checkpoints = [] } }) => [
      ...ledgers.flatMap(({ holder, differences = [] }) => differences.map((place) => `${holder} ${place}`)),
      ...checkpoints.flatMap(({ name, differences }) => differences.map((place) => `checkpoint ${name} ${place}`)),
    ],
  },
  {
    name: 'resumed',
    promise: 'P4',
    sentence: 'A task goes on from its last committed checkpoint: none is made twice, none is left out.',
    broken: (evidence) =>
      evidence.tasks
        .filter(({ type }) => type === 'counter' || type === 'hermit')
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
        .filter(({ type, status }) => (type === 'counter' || type === 'hermit') && status === 'completed')
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
    name: 'ends-once',
    promise: 'P1',
    sentence: 'A task ends once, and once more for each time that an operator lets it run again.',
    broken: ({ tasks }) =>
      tasks.flatMap(({ id, endings, retries }) =>
        endings.length > 1 + retries ? [`${id} ended ${endings.map(({ status }) => status).join(', ')}`] : [],
      ),
  },
  {
    name: 'runs-again-together',
    promise: 'P1',
    sentence: 'A task that is let run again is not told that its children were cancelled, because it had failed.',
    broken: ({ tasks }) =>
      tasks
        .filter(({ type, retries }) => type === 'brood' && retries > 0)
        .filter(({ endings }) =>
          endings.some(({ status, error }) => status === 'failed' && error === 'TROUPE_TASK_CANCELLED'),
        )
        .map(({ id }) => id),
  },
  {
    name: 'values-kept',
    promise: 'P1',
    sentence: 'What a task needs to run stays in the log: none fails because its input or its checkpoint is gone.',
    broken: (evidence) =>
      evidence.serverLostData
        ? []
        : evidence.tasks
            .filter(({ endings }) => endings.some(({ error }) => error === 'TROUPE_VALUES_LOST'))
            .map(({ id, type, sequence }) => `${type} ${id} of message ${sequence} lost its values`),
  },
  {
    name: 'turns-grow',
    promise: 'P3',
    sentence: 'The turns of a task only grow, and each has one owner.',
    broken: ({ tasks }) =>
      tasks.flatMap(({ id, turns }) => {
        const numbers = turns.map(({ turn }) => turn)
        return numbers.every((turn, at) => at === 0 || turn > numbers[at - 1]!)
          ? []
          : [`${id} had the turns ${numbers.join(', ')}`]
      }),
  },
  {
    name: 'every-firing-once',
    promise: 'P6',
    sentence: 'A schedule makes each of its firings once, never early, and says which it has left out.',
    broken: ({ replays, serverLostData }) => {
      // What decided the next firing may be what was lost.
      if (serverLostData) return []
      const latest = new Map<string, number>()
      const firings = replays.flatMap(({ schedules }) => schedules.firings)
      return firings.flatMap(({ name, what, pattern, dueAtMs, nextAtMs, atMs, isFirst }) => {
        const periodMs = patterns[pattern]
        const before = isFirst ? undefined : latest.get(name)
        latest.set(name, nextAtMs)
        if (periodMs === undefined) return []
        const isNext = (before === undefined || before === dueAtMs) && dueAtMs % periodMs === 0
        const goesOn = what === 'missed' ? nextAtMs > dueAtMs : nextAtMs === dueAtMs + periodMs
        const when = `${pattern} ${name} of ${new Date(dueAtMs).toISOString()}, ${what} at ${new Date(atMs).toISOString()}`
        return isNext && goesOn && dueAtMs <= atMs ? [] : [`${when}, then ${new Date(nextAtMs).toISOString()}`]
      })
    },
  },
  {
    name: 'unique-in-window',
    promise: 'P2',
    sentence: 'Of submissions with one key, one runs within the window that they name, unless an operator lets it.',
    broken: ({ tasks }) => {
      const firsts = new Map<string, ReplayTask>()
      return tasks.flatMap((task) => {
        if (task.unique === undefined || task.retries > 0) return []
        if (['TROUPE_NOT_UNIQUE', 'TROUPE_QUEUE_FULL'].includes(task.error ?? '')) return []
        const { key, withinMs } = task.unique
        const first = firsts.get(key)
        firsts.set(key, task)
        return first !== undefined && task.submittedAtMs < first.submittedAtMs + withinMs
          ? [`${task.id} runs ${task.submittedAtMs - first.submittedAtMs} ms after ${first.id}, both "${key}"`]
          : []
      })
    },
  },
  {
    name: 'paused-starts-nothing',
    promise: 'P8',
    sentence: 'While a type is paused none of its tasks starts, but for those that were invited before.',
    broken: (evidence) =>
      evidence.limited(({ limits, type }, turns) =>
        limits.paused ? turns.map(({ id, turn }) => `${id} began turn ${turn} while ${type} was paused`) : [],
      ),
  },
  {
    name: 'running-bounded',
    promise: 'P8',
    sentence: 'Of a type with a limit no more tasks run than that, once the limit has been in force for a while.',
    broken: (evidence) =>
      evidence.limited(({ limits, type }, turns) => {
        const { runningMax = Number.POSITIVE_INFINITY } = limits
        const over = turns.filter(({ owned }) => owned > runningMax)
        return over.map(({ id, owned }) => `${id} was the ${owned}th ${type} of ${runningMax}`)
      }),
  },
  {
    name: 'door-in-time',
    promise: 'P8',
    sentence:
      'Nothing new is stored while the log has been more than 80 % full for a while, nor before it is less than 60 % full again; then it is.',
    broken: ({ history }) => {
      if (history.healed === undefined || history.doorOpen === undefined || history.lost.length > 0) return []
      const shut = history.doorOpen ? [] : ['the log has room, and its door is closed']
      if (history.events.some((event) => event.what === 'fault' && event.kind !== 'full log')) return shut
      const late = history.logs.flatMap((log, partition) => {
        const spans = fullSpans(history, partition)
        return log.filter(
          ({ subject, timestampMs }) =>
            doorSubject.test(subject) && spans.some(({ fromMs, toMs }) => timestampMs > fromMs && timestampMs < toMs),
        )
      })
      return [...shut, ...late.map(({ sequence, subject }) => `${sequence} on ${subject} was stored in a full log`)]
    },
  },
  {
    name: 'mass-silence',
    promise: 'P7',
    sentence: 'When most nodes fall silent at once, for less than the hold, none of them is fenced for it.',
    broken: ({ history, replays }) => {
      const faults = history.events.filter((event) => event.what === 'fault')
      const healedAtMs = history.epochMs + (history.healed?.atMs ?? Number.POSITIVE_INFINITY)
      if (faults.length === 0 || faults.some(({ kind }) => kind !== 'nodes fall silent')) return []
      return replays
        .flatMap(({ lives }) => lives)
        .filter(({ toMs }) => toMs < healedAtMs)
        .map(({ node, toMs }) => `${node} lost its life at ${(toMs - history.epochMs).toFixed(0)} ms`)
    },
  },
  {
    name: 'poison-bounded',
    promise: 'P9',
    sentence: 'No task fails more than three times in a row on one event, unless an operator lets it.',
    broken: ({ replays }) =>
      replays.flatMap(({ failedOn, all }) => {
        const runs = new Map<string, { event: number; times: number; most: number }>()
        for (const { id, event } of failedOn) {
          const run = runs.get(id)
          const times = event > 0 && run?.event === event ? run.times + 1 : Math.sign(event)
          runs.set(id, { event, times, most: Math.max(times, run?.most ?? 0) })
        }
        const retries = new Map(all.map((task) => [task.id, task.retries]))
        return [...runs].flatMap(([id, { most }]) =>
          most > 3 * (1 + (retries.get(id) ?? 0)) ? [`${id}: ${most} times in a row`] : [],
        )
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
        const limit = evidence.everOf(id).at(-1)?.profile?.retry.attempts ?? 3
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
    broken: ({ history, replays }) => {
      const others = [...history.fired.keys()].filter((kind) => kind !== 'crash node' && kind !== 'trim')
      if (others.length > 0) return []
      const crashes = history.events.filter((event) => event.what === 'fault')
      return crashes.flatMap(({ atMs, detail }) => {
        const isAlone = crashes.every(
          (other) => other.detail === detail || Math.abs(other.atMs - atMs) > failoverMs * 3,
        )
        const killedAtMs = history.epochMs + atMs
        const isOver = (history.healed?.untilMs ?? 0) > atMs + failoverMs
        if (!isAlone || !isOver) return []
        return replays
          .flatMap(({ lives }) => lives)
          .filter(({ node, fromMs, toMs }) => node === detail && fromMs <= killedAtMs && toMs > killedAtMs)
          .filter(({ toMs }) => toMs > killedAtMs + failoverMs)
          .map(
            ({ toMs }) =>
              `${detail}, killed at ${atMs.toFixed(0)} ms, was a member for ${(toMs - killedAtMs).toFixed(0)} ms more`,
          )
      })
    },
  },
  ...partitionPredicates,
  ...objectPredicates,
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
/** Subjects that a full log does not take. */
const doorSubject = /\.(submit|block|signal)\./
/** Housekeeping looks every three seconds at most, and two looks may pass until the door is closed. */
const doorMs = 8_000

/** When the door has to be closed, in log time: from a while after the log was too full until it was roomy again. */
function fullSpans(
  { events, epochMs }: History,
  partition: number,
): { readonly fromMs: number; readonly toMs: number }[] {
  const spans: { fromMs: number; toMs: number }[] = []
  let fullAtMs: number | undefined
  for (const event of events) {
    if (event.what !== 'filled' || event.partition !== partition) continue
    const atMs = epochMs + event.atMs
    if (event.share >= 0.8) fullAtMs ??= atMs
    else if (fullAtMs !== undefined && (event.share <= 0.6 || atMs < fullAtMs + doorMs)) {
      spans.push({ fromMs: fullAtMs + doorMs, toMs: atMs })
      fullAtMs = undefined
    }
  }
  return spans
}

/** Which of those that ended at the same instant is forgotten first is not promised. */
function tied(replay: Replay, id: string): ReplayTask | undefined {
  const gone = replay.all.findLast((task) => task.id === id && task.isForgotten)
  const isTied =
    gone && [...replay.tasks.values()].some(({ ended, endedAtMs }) => ended && endedAtMs === gone.endedAtMs)
  return isTied ? gone : undefined
}

function truthOf({ status, result, error }: ReplayTask['endings'][number]): string {
  return status === 'completed' ? (JSON.stringify(result) ?? '') : (error ?? '')
}

function stepsOf(type: string, count: number): string[] {
  if (type === 'quick') return ['']
  if (type === 'steps') return Array.from({ length: count }, (_, at) => `s${at}`)
  if (type === 'counter' || type === 'hermit') return Array.from({ length: count }, (_, at) => `c${at}`)
  if (type === 'napper') return ['woken']
  if (type === 'flaky') return ['try']
  return []
}

function resultOf(type: string, { mark, count }: { mark: number; count: number }): number | string | undefined {
  if (type === 'blob') return blobOf(mark, count)
  if (['quick', 'steps', 'napper', 'flaky', 'late'].includes(type)) return mark * 2
  return type === 'parent' || type === 'brood' ? count : undefined
}
