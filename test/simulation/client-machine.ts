/** A user's program in the simulation: submits, signals, cancels, waits, and writes down what it was told. */

import type { TaskHandle } from '../../src/client/handle.ts'
import type { FlowTask } from '../../src/client/submit-options.ts'
import { Troupe } from '../../src/client/troupe.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import { type Placed, placeOf } from './checker/replay-strays.ts'
import { firstOf, type Server, SimMachine } from './cluster.ts'
import type { Feature } from './features.ts'
import type { Recorder, TerminalStatus } from './history.ts'
import { Random } from './random.ts'
import { simObjects } from './sim-objects.ts'
import type { TaskInput } from './tasks.ts'
import type { World } from './world.ts'

export interface WorkPlan {
  /** Submissions in all, by this client. */
  readonly submissions: number
  /** Mean time between two. */
  readonly everyMs: number
  readonly types: readonly string[]
  /** Of one node, which may be the only one left in the end: a larger gang would wait for ever. */
  readonly slots: number
  readonly features: ReadonlySet<Feature>
  /** Counts what came about. */
  readonly count: (what: string) => void
}

interface OwnTask extends FlowTask {
  readonly task: string
  readonly input: TaskInput
}

/** One in so many tasks is asked for as soon as it is accepted. */
const lookEvery = 4

const endings: Readonly<Record<string, TerminalStatus>> = {
  TROUPE_TASK_FAILED: 'failed',
  TROUPE_TASK_CANCELLED: 'cancelled',
  TROUPE_TASK_EXPIRED: 'expired',
}

export class ClientMachine extends SimMachine {
  submitted = 0
  /** Waits for outcomes under way in this life. */
  waiting = new Map<string, string>()
  private readonly plan: WorkPlan
  private readonly recorder: Recorder
  private readonly random: Random
  private readonly marks: () => number
  private troupe: Troupe | undefined
  /** Ids of tasks that were acknowledged. */
  private readonly known: string[] = []

  constructor(world: World, server: Server, name: string, plan: WorkPlan, recorder: Recorder, marks: () => number) {
    super(world, server, name, 'client')
    this.plan = plan
    this.recorder = recorder
    this.random = new Random(world.seed, `work ${name}`)
    this.marks = marks
  }

  get done(): boolean {
    return this.submitted >= this.plan.submissions
  }

  protected async start(): Promise<void> {
    const { bus, logs, process } = this
    const { subjects } = firstOf(this.server)
    this.waiting = new Map()
    this.troupe = new Troupe({
      bus,
      logs,
      objects: simObjects(this.server.objects, bus),
      subjects,
      client: `${process.name}-${process.life}`,
      submitDeadlineMs: 30_000,
      askEveryMs: 3_000,
      keepCount: 1_000,
      keepBytes: 1_000_000,
    })
    this.next()
  }

  private next(): void {
    if (this.done) return
    setTimeout(
      () => {
        this.submitted++
        const [isFlow, isGang, isGroup] = [0.06, 0.06, 0.06].map((odds) => this.random.chance(odds))
        if (this.plan.features.has('partitions') && this.random.chance(0.3)) void this.submitPlainly()
        else
          void (isFlow
            ? this.submitFlow()
            : isGang
              ? this.submitGang()
              : isGroup
                ? this.submitGroup()
                : this.submitOne())
        this.next()
      },
      this.random.integer(1, this.plan.everyMs * 2),
    )
  }

  private async submitOne(): Promise<void> {
    const { random } = this
    const mark = this.marks()
    const type = random.pick(this.plan.types)
    const { features } = this.plan
    const input: TaskInput = {
      mark,
      count: random.integer(1, 4),
      ms: random.integer(0, 3) * random.integer(1, 600),
      ...(type === 'brood' && { untilMs: this.world.nowMs + random.integer(0, 5_000) }),
      ...(features.has('large values') && random.chance(0.5) && { pad: '.'.repeat(random.integer(1, 1_500)) }),
    }
    const id = random.chance(0.4) ? `t${mark}` : undefined
    const after = this.predecessor()
    const options = {
      ...(id !== undefined && { id }),
      ...(after !== undefined && { after: [after] }),
      ...(random.chance(0.15) && { delay: random.integer(1, 4_000) }),
      ...(random.chance(0.05) && { deadline: this.world.epochMs + this.world.nowMs + random.integer(500, 20_000) }),
      ...(random.chance(0.2) && { priority: random.integer(0, 9) }),
      ...(features.has('unique') &&
        random.chance(0.4) && { unique: { key: random.pick(['a', 'b', 'c']), within: random.integer(100, 6_000) } }),
    }
    const handle = await this.submit(mark, type, input, options)
    if (handle === undefined) return
    void this.follow(handle).then((status) => {
      if (status === 'failed') void this.lookAfter(handle)
    })
    if (type === 'listener' || type === 'allergic') {
      const isFlood = features.has('signal flood') && random.chance(0.5)
      if (isFlood) this.plan.count('signal flood')
      void (isFlood ? this.flood(handle) : this.signal(handle, input.count))
    }
    if (random.chance(0.05))
      setTimeout(() => void handle.cancel('no longer wanted').catch(noop), random.integer(1, 3_000))
    // The same again is the same task; with another input it is a conflict.
    if (id !== undefined && random.chance(0.2))
      void this.submit(mark, type, input, options).then((h) => h && this.follow(h))
    if (id !== undefined && random.chance(0.05)) void this.conflict(id, type, input)
  }

  /**
   * A task that the next one is to wait for, wherever it is. None where tasks are forgotten soon: whoever waits for one that
   * is not known waits until it comes.
   */
  private predecessor(): string | undefined {
    const { random, plan, known } = this
    if (!plan.features.has('partitions') || plan.features.has('retention') || plan.features.has('dead letters'))
      return undefined
    return known.length > 0 && random.chance(0.15) ? random.pick(known) : undefined
  }

  /** As any NATS client does it, on the subjects of any partition; sometimes again on those of another. */
  private async submitPlainly(): Promise<void> {
    const { random, plan } = this
    const mark = this.marks()
    const type = random.pick(plan.types)
    const input: TaskInput = { mark, count: random.integer(1, 4), ms: random.integer(0, 3) * random.integer(1, 600) }
    const id = random.chance(0.85) ? `t${mark}` : undefined
    const after = this.predecessor()
    const headers = {
      ...(id !== undefined && { 'Troupe-Id': id }),
      ...(after !== undefined && { 'Troupe-After': after }),
      ...(random.chance(0.15) && { 'Troupe-Delay': `${random.integer(1, 4_000)}ms` }),
      ...(plan.features.has('unique') &&
        random.chance(0.4) && {
          'Troupe-Unique': `${random.integer(100, 6_000)}ms`,
          'Troupe-Unique-Key': random.pick(['a', 'b', 'c']),
        }),
    }
    const name = await this.publish(mark, type, input, headers)
    // Without an id it is another task each time, and one that went elsewhere is named by where it landed.
    if (id !== undefined && random.chance(0.3)) void this.publish(mark, type, input, headers)
    if (name === undefined) return
    const handle = this.troupe!.handle(name)
    void this.follow(handle)
    if (type !== 'listener' && type !== 'allergic') return
    if (random.chance(0.5)) void this.signal(handle, input.count)
    else void this.signalPlainly(name, input.count)
  }

  /** Returns the task's id once it is stored in the log of any partition; undefined if that is not certain. */
  private async publish(
    mark: number,
    type: string,
    input: TaskInput,
    headers: Readonly<Record<string, string>>,
  ): Promise<string | undefined> {
    const { random, recorder, world, server, plan } = this
    const { subjects } = random.pick(server.partitions)
    const data = new TextEncoder().encode(JSON.stringify(input))
    recorder.add({ what: 'submit', atMs: world.nowMs, mark, type, id: headers['Troupe-Id'] })
    const options = { headers, messageId: `plain ${mark} in ${subjects.partition}` }
    const result = await this.logs[subjects.partition]!.append(subjects.submit(type), data, options)
    if (result.outcome !== 'stored') {
      const code = result.outcome === 'refused' ? result.reason : 'none'
      recorder.add({ what: result.outcome, atMs: world.nowMs, mark, code })
      return undefined
    }
    const id = headers['Troupe-Id'] ?? `${subjects.partition}-${result.sequence}`
    const place = placeOf(type, { id: headers['Troupe-Id'] } as Placed, server.partitions.length)
    if (place !== undefined && place !== subjects.partition) plan.count('stray')
    recorder.add({ what: 'accepted', atMs: world.nowMs, mark, id })
    this.known.push(id)
    return id
  }

  /** Each signal to the log of any partition, until it is stored. */
  private async signalPlainly(id: string, count: number): Promise<void> {
    const { random, recorder, world, server } = this
    for (let value = 1; value <= count; ) {
      const { subjects } = random.pick(server.partitions)
      const data = new TextEncoder().encode(JSON.stringify({ type: 'go', value }))
      const log = this.logs[subjects.partition]!
      const result = await log.append(subjects.signal(id), data, { headers: { 'Troupe-Id': `s${value}` } })
      if (result.outcome === 'stored') recorder.add({ what: 'signalled', atMs: world.nowMs, id, value: value++ })
      await new Promise((resolve) => setTimeout(resolve, random.integer(1, 800)))
    }
  }

  /** Two to four tasks that start together; sometimes one of them is cancelled. */
  private async submitGang(): Promise<void> {
    const { random, recorder, world, troupe } = this
    const size = Math.min(this.plan.slots, random.integer(2, 4))
    const members = Array.from({ length: size }, () => {
      const mark = this.marks()
      const task = random.pick(['quick', 'steps', 'counter'])
      const input: TaskInput = { mark, count: random.integer(1, 3), ms: random.integer(0, 400) }
      recorder.add({ what: 'submit', atMs: world.nowMs, mark, type: task, id: `t${mark}` })
      return { id: `t${mark}`, task, input }
    })
    const restart = random.chance(0.3) ? 'alone' : 'together'
    try {
      const handles = await troupe!.submitGang(members, { id: `g${members[0]!.input.mark}`, restart })
      for (const [at, { id, input }] of members.entries()) {
        recorder.add({ what: 'accepted', atMs: world.nowMs, mark: input.mark, id })
        void this.follow(handles[at] as TaskHandle)
      }
      const unlucky = handles[0]
      if (random.chance(0.1)) setTimeout(() => void unlucky?.cancel('enough').catch(noop), random.integer(1, 2_000))
    } catch (error) {
      const code = error instanceof TroupeError ? error.code : 'none'
      const what = isCertain(code) ? 'refused' : 'unknown'
      for (const { input } of members) recorder.add({ what, atMs: world.nowMs, mark: input.mark, code })
    }
  }

  /** Two to five tasks in a group, or in two groups below one. */
  private async submitGroup(): Promise<void> {
    const { random } = this
    const strategy = () => random.pick(['one-for-all', 'one-for-all', 'rest-for-one', 'one-for-one'] as const)
    const restart = () => ({
      intensity: random.integer(0, 3),
      period: random.integer(500, 20_000),
      ...(random.chance(0.3) && { backoff: random.integer(1, 500) }),
      ...(random.chance(0.3) && { nodeLoss: 'failure' as const }),
      ...(random.chance(0.2) && { from: random.pick(['beginning', 'snapshot'] as const) }),
    })
    const name = `g${this.marks()}`
    const isTree = random.chance(0.5)
    // A group that fails is started anew, with fresh attempts: only its root's count, in a long period, ends that.
    const root = { name, strategy: strategy(), restart: { ...restart(), ...(isTree && { period: '1h' }) } }
    const groups = !isTree
      ? [root]
      : ['left', 'right'].map((side) => ({ name: side, strategy: strategy(), restart: restart(), parent: root }))
    const types = ['flaky', 'flaky', 'counter', 'steps', 'napper', 'late']
    const tasks = Array.from({ length: random.integer(2, 5) }, () => {
      const mark = this.marks()
      const input: TaskInput = { mark, count: random.integer(1, 4), ms: random.integer(0, 600) }
      return { id: `t${mark}`, task: random.pick(types), input, group: random.pick(groups) }
    })
    const handles = await this.submitTogether(tasks)
    const unlucky = handles?.get(tasks[0]!.id)
    if (random.chance(0.1)) setTimeout(() => void unlucky?.cancel('enough').catch(noop), random.integer(1, 2_000))
  }

  /** Three tasks, the last of which waits for the others. */
  private async submitFlow(): Promise<void> {
    const { random } = this
    const marks = [this.marks(), this.marks(), this.marks()]
    const ids = marks.map((mark) => `t${mark}`)
    const tasks = marks.map((mark, at) => {
      const type = random.pick(this.plan.types.filter((name) => name !== 'listener').concat('quick'))
      const input: TaskInput = { mark, count: random.integer(1, 3), ms: random.integer(0, 400) }
      return { id: ids[at]!, task: type, input, ...(at === 2 && { after: ids.slice(0, 2) }) }
    })
    await this.submitTogether(tasks)
  }

  /** All or none are accepted; undefined when they were not. */
  private async submitTogether(tasks: readonly OwnTask[]): Promise<ReadonlyMap<string, TaskHandle> | undefined> {
    const { recorder, world, troupe } = this
    for (const { input, task: type, id } of tasks)
      recorder.add({ what: 'submit', atMs: world.nowMs, mark: input.mark, type, id })
    try {
      const handles = await troupe!.flow(tasks)
      for (const { input, id } of tasks) {
        recorder.add({ what: 'accepted', atMs: world.nowMs, mark: input.mark, id })
        void this.follow(handles.get(id) as TaskHandle)
      }
      return handles as ReadonlyMap<string, TaskHandle>
    } catch (error) {
      const code = error instanceof TroupeError ? error.code : 'none'
      const what = isCertain(code) ? 'refused' : 'unknown'
      for (const { input } of tasks) recorder.add({ what, atMs: world.nowMs, mark: input.mark, code })
      return undefined
    }
  }

  /** Undefined when it was not accepted for certain; one that may be is tried again if that is safe. */
  private async submit(
    mark: number,
    type: string,
    input: TaskInput,
    options: { readonly id?: string },
  ): Promise<TaskHandle | undefined> {
    const { recorder, world } = this
    for (let attempt = 0; attempt < 3; attempt++) {
      recorder.add({ what: 'submit', atMs: world.nowMs, mark, type, id: options.id })
      try {
        const handle = await this.troupe!.submit(type, input, options)
        recorder.add({ what: 'accepted', atMs: world.nowMs, mark, id: handle.id })
        if (mark % lookEvery === 0) void this.look(handle.id)
        this.known.push(handle.id)
        return handle as TaskHandle
      } catch (error) {
        const code = error instanceof TroupeError ? error.code : 'none'
        const certain = isCertain(code)
        recorder.add({ what: certain ? 'refused' : 'unknown', atMs: world.nowMs, mark, code })
        if (options.id === undefined && !certain) return undefined
      }
    }
    return undefined
  }

  /** Asks as a stranger for a task that was accepted just now, which whoever answers may not have read yet. */
  private async look(id: string): Promise<void> {
    const { recorder, world } = this
    try {
      await this.troupe!.handle(id).state()
    } catch (error) {
      if (error instanceof TroupeError && error.code === 'TROUPE_UNKNOWN_TASK')
        recorder.add({ what: 'forgotten', atMs: world.nowMs, id })
    }
  }

  private async conflict(id: string, type: string, input: TaskInput): Promise<void> {
    const mark = this.marks()
    const handle = await this.submit(mark, type, { ...input, mark }, { id })
    const error = await handle?.result().then(noop, (thrown: unknown) => thrown)
    if (error instanceof TroupeError && error.code === 'TROUPE_ID_CONFLICT') {
      this.recorder.add({ what: 'conflict', atMs: this.world.nowMs, mark, id })
    }
  }

  /** A dead letter is tried again or removed. */
  private async lookAfter(handle: TaskHandle): Promise<void> {
    const { random, plan, recorder, world } = this
    if (!plan.features.has('dead letters') || !random.chance(0.5)) return
    await new Promise((resolve) => setTimeout(resolve, random.integer(1, 3_000)))
    try {
      if (random.chance(0.3)) {
        await this.troupe!.removeDead(handle.id)
        plan.count('dead letter removed')
        return
      }
      await handle.retry()
      plan.count('dead letter retried')
      recorder.add({ what: 'retried', atMs: world.nowMs, id: handle.id })
      await this.follow(handle)
    } catch {
      // Nobody answered, or somebody else was first.
    }
  }

  /** Many signals at once, more than a task may have. */
  private async flood(handle: TaskHandle): Promise<void> {
    for (let value = 1; value <= 15; value++) {
      await handle.signal({ type: 'go', value } as never, { id: `s${value}` }).catch(noop)
    }
  }

  /** Waits for the outcome and writes down what was told; resolves with its status, if it was. */
  private async follow(handle: TaskHandle): Promise<TerminalStatus | undefined> {
    const { recorder, world, waiting } = this
    const { id } = handle
    const wait = `${id}/${waiting.size}/${world.steps}`
    waiting.set(wait, id)
    let told: TerminalStatus | undefined
    try {
      const result = await handle.result()
      told = 'completed'
      recorder.add({ what: 'told', atMs: world.nowMs, id, status: 'completed', detail: JSON.stringify(result) ?? '' })
    } catch (error) {
      const code = error instanceof TroupeError ? error.code : 'none'
      const status = endings[code]
      told = status
      const cause = (error as { cause?: { code?: string } }).cause?.code ?? ''
      if (status !== undefined) recorder.add({ what: 'told', atMs: world.nowMs, id, status, detail: cause })
      else if (code === 'TROUPE_UNKNOWN_TASK') recorder.add({ what: 'forgotten', atMs: world.nowMs, id })
      else if (code === 'TROUPE_RESULT_GONE') recorder.add({ what: 'gone', atMs: world.nowMs, id })
    }
    waiting.delete(wait)
    return told
  }

  /** Sends as many signals as the task waits for, and goes on until they are stored. */
  private async signal(handle: TaskHandle, count: number): Promise<void> {
    const { random, recorder, world } = this
    for (let value = 1; value <= count; ) {
      await new Promise((resolve) => setTimeout(resolve, random.integer(1, 800)))
      try {
        await handle.signal({ type: 'go', value } as never, { id: `s${value}` })
        recorder.add({ what: 'signalled', atMs: world.nowMs, id: handle.id, value })
        if (random.chance(0.2)) await handle.signal({ type: 'go', value } as never, { id: `s${value}` })
        value++
      } catch (error) {
        const code = error instanceof TroupeError ? error.code : 'none'
        if (code === 'TROUPE_TASK_FINISHED' || code === 'TROUPE_UNKNOWN_TASK' || code === 'TROUPE_CLOSED') return
      }
    }
  }
}

function noop(): undefined {
  return undefined
}

function isCertain(code: string): boolean {
  return (
    code === 'TROUPE_REFUSED' ||
    code === 'TROUPE_QUEUE_FULL' ||
    code === 'TROUPE_TOO_LARGE' ||
    code.startsWith('TROUPE_INVALID_')
  )
}
