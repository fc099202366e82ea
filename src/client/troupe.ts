/**
 * A client's connection to a namespace, and all that can be done with it. It prepares submissions (schema, packing,
 * large values), gives them to the submitter, and hands out handles; outcomes come back through `outcomes.ts`.
 */
import type { Bus, Log, ObjectStore, Subscription } from '../nats/bus.ts'
import { unpackTell } from '../protocol/blocks.ts'
import type { Payload, Submission } from '../protocol/entries.ts'
import { hasCode, TroupeError } from '../protocol/errors.ts'
import type { LimitsAnswer } from '../protocol/limit-messages.ts'
import { limits } from '../protocol/limits.ts'
import type {
  DeadAnswer,
  DrainAnswer,
  NodeAnswer,
  StatsAnswer,
  TasksAnswer,
  TasksRequest,
} from '../protocol/messages.ts'
import { checkName } from '../protocol/names.ts'
import type { GangOption, SubmissionOptions, TypeLimits } from '../protocol/options.ts'
import { homeOf, placeOf } from '../protocol/partitions.ts'
import { packValue } from '../protocol/payload.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { ask, askAboutTask, askEnding, readAnswer } from './ask.ts'
import type { AnyTaskEvent } from './context.ts'
import { Cron } from './cron.ts'
import type { Keyring } from './encryption.ts'
import { inOrder } from './flow.ts'
import { FullQueues } from './full-queues.ts'
import { type HandleHost, TaskHandle } from './handle.ts'
import { checkInput } from './input.ts'
import { type LiveTask, liveTasks } from './live-tasks.ts'
import { Gathering, submitEach } from './many.ts'
import { MessageIds } from './message-ids.ts'
import { Outcomes } from './outcomes.ts'
import { packInput, unpackResult } from './payloads.ts'
import { Router } from './router.ts'
import { type FlowTask, type GangTask, type ManyOptions, resolveOptions, type SubmitOptions } from './submit-options.ts'
import { Submitter } from './submitter.ts'
import { type AnyTaskDefinition, isTaskDefinition, type TaskDefinition } from './task.ts'
import { unknownType } from './unknown-type.ts'

export interface TroupeParts {
  readonly bus: Bus
  /** Of each partition. */
  readonly logs: readonly Log[]
  readonly objects: ObjectStore
  /** Of the first partition. */
  readonly subjects: Subjects
  readonly client: string
  readonly submitDeadlineMs: number
  readonly askEveryMs: number
  readonly keepCount: number
  readonly keepBytes: number
  readonly keyring?: Keyring | undefined
}

/** A definition, or the name of a type. */
type TaskOrType = AnyTaskDefinition | string

const singleBlocksMax = 2
const blockTasksMax = 512
const waitingBytesMax = 64 * 1024 * 1024

export class Troupe {
  /** Cron schedules: tasks that are submitted when their time comes. */
  readonly cron: Cron
  readonly #bus: Bus
  readonly #objects: ObjectStore
  readonly #subjects: Subjects
  readonly #keyring: Keyring | undefined
  readonly #router: Router
  readonly #outcomes: Outcomes
  /** Both by partition. */
  readonly #full: readonly FullQueues[]
  readonly #hosts: readonly HandleHost[]
  readonly #subscriptions: readonly Subscription[]
  readonly #stopListening: () => void
  #closing: Promise<void> | undefined

  /** `connect` makes it. */
  constructor(parts: TroupeParts) {
    const { bus, logs, objects, subjects, keyring } = parts
    const partitions = logs.map((log, partition) => ({ log, subjects: subjects.of(partition) }))
    this.#keyring = keyring
    this.#bus = bus
    this.#objects = objects
    this.#subjects = subjects
    this.cron = new Cron(bus, subjects, keyring, (type, input) => this.validate(type, input))
    const ids = new MessageIds()
    const placeOfTask = (id: string, reference: string | undefined) => homeOf(reference ?? id, logs.length)
    this.#outcomes = new Outcomes({
      askEnding: (id, reference) => askEnding(bus, subjects.of(placeOfTask(id, reference)).task(id), reference),
      keepCount: parts.keepCount,
      keepBytes: parts.keepBytes,
      askEveryMs: parts.askEveryMs,
    })
    const submitters = partitions.map(
      ({ log, subjects: own }) =>
        new Submitter({
          log,
          subject: own.block(parts.client),
          partitions: logs.length,
          messageId: () => ids.next(),
          blockBytesMax: Math.min(limits.blockBytesMax, Math.floor(bus.maxPayloadBytes / 2)),
          blockEntriesMax: blockTasksMax,
          singleBlocksMax,
          waitingBytesMax,
          deadlineMs: parts.submitDeadlineMs,
        }),
    )
    this.#router = new Router(submitters)
    const host: Omit<HandleHost, 'subjects'> = {
      bus,
      logs,
      outcomes: this.#outcomes,
      isClosed: () => this.#closing !== undefined,
      randomId: () => ids.next(),
      keyring,
      resultOf: (ending) => {
        const place = `result:${ending.id}` as const
        if ('payload' in ending) return unpackResult(ending.payload, objects, keyring, place)
        return keyring === undefined ? ending.value : keyring.openValue(ending.value, place)
      },
      askTask: (subject, sequence, body, options) => askAboutTask(bus, subject, sequence, body, options),
    }
    this.#hosts = partitions.map(({ subjects: own }) => ({ ...host, subjects: own }))
    this.#full = partitions.map(() => new FullQueues())
    this.#subscriptions = [
      bus.subscribe(subjects.tell(parts.client), (message) => {
        const told = unpackTell(message.data)
        if (told.ok) this.#outcomes.onTell(told.message)
      }),
      ...partitions.flatMap(({ subjects: own }, partition) => [
        bus.subscribe(own.leading('scheduler'), () => this.#outcomes.askAgain()),
        this.#full[partition]!.listen(bus, own.full),
      ]),
    ]
    this.#stopListening = bus.onConnection((state) => {
      if (state === 'connected') this.#outcomes.askAgain()
    })
  }

  // --- submitting -----------------------------------------------------------------------------------------------

  /**
   * Resolves with a handle once the log has the task: from there it is never lost. With an `id`, submitting again is safe.
   * Rejects before anything is sent with TROUPE_INVALID_INPUT, TROUPE_INVALID_OPTION, TROUPE_INVALID_NAME,
   * TROUPE_RESERVED_ID, TROUPE_QUEUE_FULL, TROUPE_NOT_SERIALIZABLE or TROUPE_TOO_LARGE; with TROUPE_REFUSED when the log takes
   * nothing; with TROUPE_NO_ANSWER when the task may or may not have been accepted.
   */
  submit<Input, Output, Events extends { readonly type: string }>(
    task: TaskDefinition<Input, Output, Events>,
    ...rest: undefined extends Input
      ? [input?: NoInfer<Input>, options?: SubmitOptions]
      : [input: NoInfer<Input>, options?: SubmitOptions]
  ): Promise<TaskHandle<Output, Events>>
  submit<Output = unknown>(
    type: string,
    input?: unknown,
    options?: SubmitOptions,
  ): Promise<TaskHandle<Output, AnyTaskEvent>>
  async submit(task: TaskOrType, input?: unknown, options?: SubmitOptions): Promise<TaskHandle<never, never>> {
    const prepared = this.#prepare(task, input, resolveOptions(options))
    const submission = prepared instanceof Promise ? await prepared : prepared
    const { partition, block, index } = await this.#router.add(submission)
    return new TaskHandle(this.#hosts[partition]!, submission[2]?.id, await block.stored, index)
  }

  /**
   * Resolves with a handle per input, in order, once the log has them all. The inputs are packed into blocks, several on
   * their way at a time. When one block fails, it rejects with `details.accepted`: how many tasks were accepted.
   */
  submitMany<Input, Output, Events extends { readonly type: string }>(
    task: TaskDefinition<Input, Output, Events>,
    inputs: Iterable<NoInfer<Input>>,
    options?: ManyOptions<NoInfer<Input>>,
  ): Promise<TaskHandle<Output, Events>[]>
  submitMany<Output = unknown>(
    type: string,
    inputs: Iterable<unknown>,
    options?: ManyOptions<unknown>,
  ): Promise<TaskHandle<Output, AnyTaskEvent>[]>
  submitMany(
    task: TaskOrType,
    inputs: Iterable<unknown>,
    options?: ManyOptions<never>,
  ): Promise<TaskHandle<never, never>[]> {
    return this.#submitMany(task, inputs, options as ManyOptions<unknown> | undefined)
  }

  async #submitMany(task: TaskOrType, inputs: Iterable<unknown>, options: ManyOptions<unknown> | undefined) {
    const handles: TaskHandle<never, never>[] = []
    const prepare = (input: unknown, own: SubmissionOptions | undefined) => this.#prepare(task, input, own)
    await submitEach(this.#router, inputs, options, prepare, (index, id, partition, sequence, place) => {
      handles[index] = new TaskHandle(this.#hosts[partition]!, id, sequence, place)
    })
    return handles
  }

  /** Resolves with the results, in the order of the inputs. Rejects with the first failure; the other tasks go on. */
  map<Input, Output, Events extends { readonly type: string }>(
    task: TaskDefinition<Input, Output, Events>,
    inputs: Iterable<NoInfer<Input>>,
    options?: ManyOptions<NoInfer<Input>>,
  ): Promise<Output[]>
  map<Output = unknown>(type: string, inputs: Iterable<unknown>, options?: ManyOptions<unknown>): Promise<Output[]>
  async map(task: TaskOrType, inputs: Iterable<unknown>, options?: ManyOptions<never>): Promise<unknown[]> {
    const gathering = new Gathering(this.#outcomes, this.#hosts[0]!)
    const prepare = (input: unknown, own: SubmissionOptions | undefined) => this.#prepare(task, input, own)
    const given = options as ManyOptions<unknown> | undefined
    return gathering.done(await submitEach(this.#router, inputs, given, prepare, gathering.await))
  }

  /**
   * Submits tasks that wait for each other, all or none, and resolves with their handles by id. `after` names tasks of
   * the flow or tasks that exist already. Rejects with TROUPE_FLOW_CYCLE or TROUPE_DUPLICATE_ID, and with
   * TROUPE_TOO_LARGE when they do not fit in one block (4,096 tasks, 512 KiB).
   */
  async flow(tasks: readonly FlowTask[]): Promise<ReadonlyMap<string, TaskHandle>> {
    const ordered = inOrder(
      tasks.map((item) => {
        const { task, input, ...options } = item
        const resolved = resolveOptions(options)
        return { id: item.id, after: resolved?.after ?? [], task, input, options: resolved }
      }),
    )
    const prepared: Submission[] = []
    for (const { task, input, options } of ordered) prepared.push(await this.#prepare(task, input, options))
    const { partition, sequence } = await this.#router.addTogether(prepared, limits.blockEntriesMax)
    const host = this.#hosts[partition]!
    return new Map(ordered.map(({ id }, index) => [id, new TaskHandle(host, id, sequence, index)]))
  }

  /**
   * Submits tasks that start together or not at all, and resolves with their handles, in order, once the log has them all.
   * `id` names the gang (default: a random name); `restart` says what happens when a member loses its node after the start
   * (see `GangOption`). Rejects with TROUPE_TOO_LARGE when they do not fit in one block, or are more than 1,000.
   */
  async submitGang(
    members: readonly GangTask[],
    gang: Partial<Omit<GangOption, 'size'>> = {},
  ): Promise<readonly TaskHandle[]> {
    const option: GangOption = { ...gang, id: gang.id ?? this.#hosts[0]!.randomId(), size: members.length }
    const prepared: Submission[] = []
    for (const { task, input, ...options } of members) {
      prepared.push(await this.#prepare(task, input, resolveOptions({ ...options, gang: option })))
    }
    const { partition, sequence } = await this.#router.addTogether(prepared, limits.gangSizeMax)
    const host = this.#hosts[partition]!
    return prepared.map(([, , options], index) => new TaskHandle(host, options?.id, sequence, index))
  }

  #prepare(task: TaskOrType, input: unknown, options: SubmissionOptions | undefined): Submission | Promise<Submission> {
    if (this.#closing !== undefined)
      throw new TroupeError('TROUPE_CLOSED', 'the connection is closed: nothing was submitted')
    const type = isTaskDefinition(task) ? task.type : checkName('task type', task)
    this.#checkQueues(type, options)
    if (isTaskDefinition(task) && task.schema !== undefined) {
      // The input travels as it was given: the node applies the schema, so that its transformations happen once.
      const checked = checkInput(task, input)
      if (checked instanceof Promise) return checked.then(() => this.#pack(type, input, options))
    }
    return this.#pack(type, input, options)
  }

  /** Throws TROUPE_QUEUE_FULL unless a partition takes it; where an unnamed one would go is not known yet. */
  #checkQueues(type: string, options: SubmissionOptions | undefined): void {
    if (!this.#full.some((queue) => queue.isFull(type))) return
    const place = placeOf([type, null, options ?? {}], this.#full.length)
    const queues = place === undefined || options?.unique !== undefined ? this.#full : [this.#full[place]!]
    if (queues.every((queue) => queue.isFull(type))) queues[0]!.check(type)
  }

  #pack(type: string, input: unknown, options: SubmissionOptions | undefined): Submission | Promise<Submission> {
    const id = options?.id
    const payload = packInput(input, this.#objects, this.#keyring, id === undefined ? `type:${type}` : `input:${id}`)
    const withPayload = (ready: Payload): Submission => (options === undefined ? [type, ready] : [type, ready, options])
    return payload instanceof Promise ? payload.then(withPayload) : withPayload(payload)
  }

  /**
   * Resolves when a node says that the input fits the schema of the type, and also when no node says anything: the check
   * is made again before the task runs. Rejects with TROUPE_INVALID_INPUT.
   */
  async validate(type: string, input: unknown): Promise<void> {
    const plain = packValue(input, 'input')
    const data = (this.#keyring ? this.#keyring.seal(plain, `type:${type}`) : plain) ?? new Uint8Array(0)
    const headers = { 'Content-Type': 'application/msgpack' }
    const subject = this.#subjects.validate(checkName('task type', type))
    if (data.length > limits.inlineBytesMax) return
    try {
      readAnswer(await this.#bus.request(subject, data, { headers, timeoutMs: 2_000 }), subject)
    } catch (error) {
      if (!hasCode(error, 'TROUPE_NO_ANSWER')) throw error
    }
  }

  // --- asking ---------------------------------------------------------------------------------------------------

  /** Returns a handle for a task by its id, whoever submitted it. Throws TROUPE_INVALID_NAME. */
  handle<Output = unknown, Events extends { readonly type: string } = AnyTaskEvent>(
    id: string,
  ): TaskHandle<Output, Events> {
    const name = checkName('task id', id)
    return new TaskHandle(this.#hosts[homeOf(name, this.#hosts.length)]!, name, 0, 0)
  }

  /** Resolves with a page of tasks. `more` says that `after: <last id>` gives further ones. */
  tasks(filter: TasksRequest = {}): Promise<TasksAnswer> {
    return ask(this.#bus, this.#subjects.tasks, filter)
  }

  /** Yields the tasks that have not ended, each with its last snapshot as it is stored; for tools such as `troupe check`. */
  liveTasks(): AsyncGenerator<LiveTask> {
    return liveTasks(this.#bus, this.#subjects, this.#objects, this.#keyring)
  }

  /**
   * Resolves with an error TROUPE_UNKNOWN_TYPE if there are nodes and none has this type, so that its tasks wait; with
   * undefined if one has it, or nobody can say.
   */
  unknownType(type: string): Promise<TroupeError | undefined> {
    return unknownType(this.#bus, this.#subjects, type)
  }

  /** Resolves with the nodes, their load, slots and bids. */
  async nodes(): Promise<readonly NodeAnswer[]> {
    return (await ask<{ nodes: NodeAnswer[] }>(this.#bus, this.#subjects.nodes)).nodes
  }

  /** Resolves with counts by status, and who leads. */
  stats(): Promise<StatsAnswer> {
    return ask(this.#bus, this.#subjects.stats)
  }

  /** Resolves with a page of dead letters: failed tasks, and messages that were set aside. */
  dead(page: { readonly limit?: number; readonly after?: string } = {}): Promise<DeadAnswer> {
    return ask(this.#bus, this.#subjects.dead, page)
  }

  /** Resolves with the types that have limits. */
  limits(): Promise<LimitsAnswer> {
    return ask(this.#bus, this.#subjects.limits)
  }

  /** Gives a task type these limits instead of those that it had; null: none. They hold until they are set again. */
  limit(type: string, limits: TypeLimits | null): Promise<LimitsAnswer> {
    return ask(this.#bus, this.#subjects.limits, { type: checkName('task type', type), limits })
  }

  /** Forgets a dead letter. Rejects with TROUPE_NOT_FAILED or TROUPE_UNKNOWN_TASK. */
  async removeDead(id: string): Promise<void> {
    await ask(this.#bus, this.#subjects.remove(checkName('task id', id)))
  }

  /** Asks a node to hand back its tasks and leave. Rejects with TROUPE_UNKNOWN_NODE. */
  drain(node: string): Promise<DrainAnswer> {
    return ask(this.#bus, this.#subjects.drain(checkName('node', node)))
  }

  /** Ends the connection; who still waits is rejected with TROUPE_CLOSED. Tasks go on. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stopListening()
    for (const subscription of this.#subscriptions) subscription.unsubscribe()
    this.#router.close()
    this.#outcomes.close()
    await this.#bus.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
