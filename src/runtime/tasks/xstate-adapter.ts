/**
 * The only file that touches XState's internals. It runs any actor logic as an actor whose delayed events are durable and
 * whose child ids are unique over restarts, says when something may have changed, takes the persisted snapshot, and tells
 * whether a snapshot still fits its machine.
 *
 * Verified against XState 5.33. What is used beyond its public interface: `_parent`, `_processingStatus`, `_bookId`, `_relay`,
 * the members of `system.scheduler`, and `implementations` and `root` of a machine.
 */
import { type AnyActorLogic, type AnyActorRef, type AnyEventObject, createActor, type InspectionEvent } from 'xstate'
import xstatePackage from 'xstate/package.json' with { type: 'json' }
import type { ChildOptions } from '../../client/context.ts'
import { outboxOf, type TaskOutbox, taskLogic } from '../../client/task-actors.ts'
import { hasCode, TroupeError } from '../../protocol/errors.ts'
import { packValue } from '../../protocol/payload.ts'
import { ActorReferences, childrenOf } from './actor-references.ts'
import { type ActorPath, DurableTimers, type StoredTimer } from './durable-timers.ts'
import type { LogicPort } from './logic.ts'
import type { TaskActor } from './machine-children.ts'

export const xstateVersion: string = xstatePackage.version

/** A persisted snapshot, as far as it is looked at here. */
export interface PersistedSnapshot {
  readonly status: string
  readonly value?: unknown
  readonly context?: unknown
  readonly children?: Readonly<Record<string, PersistedChild>>
  /** The states to which history states lead back. */
  readonly historyValue?: Readonly<Record<string, readonly { readonly id: string }[]>>
}

interface PersistedChild {
  readonly src: unknown
  readonly snapshot: PersistedSnapshot
}

interface InnerSystem {
  _bookId: () => string
  _relay: (source: AnyActorRef | undefined, target: AnyActorRef, event: AnyEventObject) => void
  start: () => void
  readonly scheduler: {
    schedule: (source: AnyActorRef, target: AnyActorRef, event: AnyEventObject, delay: number, id?: string) => void
    cancel: (source: AnyActorRef, id: string) => void
    cancelAll: (source: AnyActorRef) => void
  }
}

interface InnerLogic {
  readonly id?: string
  readonly root?: InnerState
  readonly start?: unknown
  readonly implementations?: { readonly actors: Readonly<Record<string, InnerLogic | undefined>> }
  getStateNodeById?(id: string): { readonly config: { readonly invoke?: unknown } }
}

interface InnerState {
  readonly states: Readonly<Record<string, InnerState>>
}

/** XState's number for an actor that was neither started nor stopped. */
const notStarted = 0

export interface DurableActorOptions {
  readonly logic: AnyActorLogic
  readonly id: string
  readonly input: unknown
  readonly snapshot: PersistedSnapshot | undefined
  readonly timers: readonly StoredTimer[]
  readonly nextTimerId: number
  readonly nextActorId: number
  readonly clock: Pick<LogicPort, 'nowMs' | 'nowAtMostMs'>
  readonly logger: (...args: unknown[]) => void
  /** Some actor of the task has a new snapshot, or a timer has rung. Persist in a microtask, never at once. */
  readonly changed: () => void
  readonly failed: (error: unknown) => void
  /** A child that works by itself (promise, callback, observable) is about to start; `start` may be called later, once. */
  readonly hold: (start: () => void) => void
  /** What actors and actions that concern other tasks talk to. */
  readonly outbox: TaskOutbox
}

/** True for the logic of a state machine. */
export function isMachine(logic: unknown): boolean {
  return (logic as InnerLogic).root !== undefined
}

/** True if the logic only ever reacts: a machine or a transition function; promises, callbacks and observables do not. */
export function isReactive(logic: unknown): boolean {
  return isMachine(logic) || (logic as InnerLogic).start === undefined
}

export function machineId(logic: AnyActorLogic): string {
  return (logic as InnerLogic).id ?? ''
}

export class DurableActor {
  readonly #timers: DurableTimers
  readonly #options: DurableActorOptions
  readonly #root: AnyActorRef
  readonly #references: ActorReferences
  #nextActorId: number

  constructor(options: DurableActorOptions) {
    this.#options = options
    this.#nextActorId = options.nextActorId
    this.#timers = new DurableTimers(options.clock, options.nextTimerId, (timer) => this.#fire(timer))
    const { logic, id, input, snapshot, logger } = options
    this.#root = createActor(logic, {
      id,
      input,
      logger,
      ...(snapshot === undefined ? {} : { snapshot: snapshot as never }),
      inspect: (event: InspectionEvent) => {
        if (event.type === '@xstate.snapshot') options.changed()
        else if (event.type === '@xstate.actor') this.#holdStart(event.actorRef as AnyActorRef)
      },
    }) as unknown as AnyActorRef
    this.#root.subscribe({ error: options.failed })
    this.#takeOverSystem()
    this.#references = new ActorReferences(this.#root, pathOf)
    if (snapshot !== undefined) this.#references.reconnect()
  }

  get nextActorId(): number {
    return this.#nextActorId
  }

  start(): void {
    const system = this.#root.system as unknown as InnerSystem
    const relay = system._relay
    // Restored children tell their parents of the state that those have seen before.
    if (this.#options.snapshot !== undefined) {
      system._relay = (source, target, event) => {
        if (!event.type.startsWith('xstate.snapshot.')) relay(source, target, event)
      }
    }
    this.#root.start?.()
    system._relay = relay
  }

  /** Stops the actor and all below it; promises are told by their signal, callbacks by their cleanup. */
  stop(): void {
    this.#timers.cancelAll()
    ;(this.#root as unknown as { stop(): void }).stop()
  }

  send(event: AnyEventObject): void {
    this.#root.send(event)
  }

  /** False only if the actor is a machine that has no transition for the event in its present state. */
  takes(event: AnyEventObject): boolean {
    const snapshot = this.#root.getSnapshot() as { can?: (event: AnyEventObject) => boolean }
    return typeof snapshot.can !== 'function' || snapshot.can(event)
  }

  /** The present state of a machine in words, such as `paying.waiting`. */
  describe(): string {
    const { value } = this.#root.getSnapshot() as { value?: unknown }
    return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'no state')
  }

  get outcome(): { readonly status: string; readonly output: unknown; readonly error: unknown } {
    const { status, output, error } = this.#root.getSnapshot() as { status: string; output: unknown; error: unknown }
    return { status, output, error }
  }

  /** True while a promise, callback or observable below or at the root is at work. */
  get isAtWork(): boolean {
    return isAtWork(this.#root)
  }

  /**
   * Returns the packed snapshot. Throws TROUPE_NOT_SERIALIZABLE or its like, TROUPE_INLINE_CHILD or TROUPE_CHILD_WITHOUT_ID,
   * naming the place.
   */
  persist(): Uint8Array {
    checkChildren(this.#root, '')
    const persisted = this.#persisted()
    if (!this.#references.areIn(persisted)) {
      try {
        return packValue(persisted, 'snapshot') as Uint8Array
      } catch (error) {
        if (!hasCode(error, 'TROUPE_CLASS_INSTANCE')) throw error
        // It may be an actor where XState does not look: in a Map, or in what another actor was given.
      }
    }
    return packValue(this.#references.addressed(persisted), 'snapshot') as Uint8Array
  }

  /** The delayed events that are armed, the earliest first. */
  storedTimers(): StoredTimer[] {
    return this.#timers
      .stored()
      .map(([source, target, event, id, dueAtMs]) => [
        source,
        target,
        this.#references.withAddresses(event),
        id,
        dueAtMs,
      ])
  }

  /** When the earliest delayed event is due; 0 for none. */
  get nextTimerAtMs(): number {
    return this.#timers.earliestMs()
  }

  get nextTimerId(): number {
    return this.#timers.nextId
  }

  /** The active actors that stand for tasks of their own. */
  taskActors(): TaskActor[] {
    return taskActorsOf(this.#root, [])
  }

  /** Sends an event to an actor of this task, as its runner. */
  tell(actor: object, event: AnyEventObject): void {
    this.#options.changed()
    ;(this.#root.system as unknown as InnerSystem)._relay(undefined, actor as AnyActorRef, event)
  }

  #persisted(): PersistedSnapshot {
    try {
      return (this.#root as unknown as { getPersistedSnapshot(): PersistedSnapshot }).getPersistedSnapshot()
    } catch (error) {
      // A cycle in the context overflows the stack in XState; packing the context names the place.
      if (error instanceof RangeError) packValue((this.#root.getSnapshot() as { context?: unknown }).context, 'context')
      throw error
    }
  }

  #takeOverSystem(): void {
    const system = this.#root.system as unknown as InnerSystem
    Object.assign(system, { [outboxOf]: this.#options.outbox })
    const timers = this.#timers
    // Session ids name children that have no id of their own, and must not come again after a restart.
    system._bookId = () => `x:t${this.#nextActorId++}`
    system.scheduler.schedule = (source, target, event, delay, id) =>
      timers.schedule(pathOf(source), pathOf(target), event, delay, id)
    system.scheduler.cancel = (source, id) => timers.cancel(pathOf(source), id)
    system.scheduler.cancelAll = (source) => timers.cancelAll(pathOf(source))
    const start = system.start
    // After the system has started and before any actor takes an event: earlier they would be armed twice, later a
    // restored child may already have moved on.
    system.start = () => {
      start()
      for (const timer of [...this.#options.timers].sort((a, b) => a[4] - b[4])) {
        const [source, target, event, id, dueAtMs] = timer
        timers.arm([source, target, this.#references.withActors(event), id, dueAtMs])
      }
    }
  }

  /** Called while a child is being made: its start becomes an effect that waits for the commit. */
  #holdStart(actor: AnyActorRef): void {
    const child = actor as unknown as {
      start: () => unknown
      logic: unknown
      _parent?: unknown
      _processingStatus: number
    }
    if (child._parent === undefined || isReactive(child.logic)) return
    const start = child.start.bind(child)
    child.start = () => {
      this.#options.hold(() => {
        if (child._processingStatus === notStarted) start()
      })
      return child
    }
  }

  #fire([source, target, event]: StoredTimer): void {
    const from = this.#references.at(source)
    const to = this.#references.at(target)
    this.#options.changed()
    if (to !== undefined) (this.#root.system as unknown as InnerSystem)._relay(from, to, event as AnyEventObject)
  }
}

function pathOf(actor: AnyActorRef): string[] {
  const path: string[] = []
  let at = actor as AnyActorRef & { _parent?: AnyActorRef }
  for (; at._parent !== undefined; at = at._parent) path.unshift(at.id)
  return path
}

function taskActorsOf(actor: AnyActorRef, path: ActorPath): TaskActor[] {
  const found: TaskActor[] = []
  for (const [id, child] of Object.entries(childrenOf(actor))) {
    const now = child?.getSnapshot() as { status?: string; input?: unknown } | undefined
    if (child === undefined || now?.status !== 'active') continue
    const about = (child as unknown as { logic: { [taskLogic]?: { type: string; options: ChildOptions } } }).logic[
      taskLogic
    ]
    const at = [...path, id]
    if (about === undefined) found.push(...taskActorsOf(child, at))
    else found.push({ actor: child, path: at, ...about, input: now.input })
  }
  return found
}

function isAtWork(actor: AnyActorRef): boolean {
  const snapshot = actor.getSnapshot() as { status?: string } | undefined
  if (snapshot?.status !== 'active') return false
  if (!isReactive((actor as unknown as { logic: unknown }).logic)) return true
  return Object.values(childrenOf(actor)).some((child) => child !== undefined && isAtWork(child))
}

/** Refuses children that XState's production build would write without a word, and could not restore. */
function checkChildren(actor: AnyActorRef, path: string): void {
  for (const [id, child] of Object.entries(childrenOf(actor))) {
    if (child === undefined) continue
    const src: unknown = (child as unknown as { src: unknown }).src
    const name = path + id
    if (typeof src !== 'string') {
      throw new TroupeError(
        'TROUPE_INLINE_CHILD',
        `child "${name}" was spawned from inline logic, which cannot be restored; name its logic in setup({ actors }) and spawn it by that name`,
        { details: { child: name } },
      )
    }
    if (id === 'undefined') {
      throw new TroupeError(
        'TROUPE_CHILD_WITHOUT_ID',
        `a child of "${src}" was spawned by spawnChild without an id; give it one`,
        {
          details: { src },
        },
      )
    }
    checkChildren(child, `${name}.`)
  }
}

/**
 * Returns what a snapshot names that its logic does not have: states and children, each in words. Empty if it fits. XState
 * itself would end in an error for the first kind, and drop the second in silence.
 */
export function misfits(logic: AnyActorLogic, snapshot: PersistedSnapshot): string[] {
  return misfitsAt(logic as InnerLogic, snapshot, '')
}

function misfitsAt(logic: InnerLogic, snapshot: PersistedSnapshot, where: string): string[] {
  if (logic.root === undefined) return []
  const about = `machine "${logic.id ?? ''}"${where}`
  const found = unknownStates(logic.root, snapshot.value, '').map((state) => `state "${state}" of ${about}`)
  for (const { id } of Object.values(snapshot.historyValue ?? {}).flat()) {
    if (stateNodeOf(logic, id) === undefined) found.push(`state "${id}" in the history of ${about}`)
  }
  for (const [id, child] of Object.entries(snapshot.children ?? {})) {
    const childLogic = typeof child.src === 'string' ? referenced(logic, child.src) : undefined
    if (childLogic === undefined) found.push(`actor "${String(child.src)}" (child "${id}") of ${about}`)
    else found.push(...misfitsAt(childLogic, child.snapshot, ` (child "${id}")`))
  }
  return found
}

function unknownStates(node: InnerState, value: unknown, path: string): string[] {
  if (typeof value === 'string') return node.states[value] === undefined ? [path + value] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, below]) => {
    const state = node.states[key]
    return state === undefined ? [path + key] : unknownStates(state, below, `${path}${key}.`)
  })
}

function referenced(logic: InnerLogic, src: string): InnerLogic | undefined {
  const match = /^xstate\.invoke\.(\d+)\.(.*)/.exec(src)
  if (match === null) return logic.implementations?.actors[src]
  const invoke = stateNodeOf(logic, match[2] as string)?.config.invoke
  const config = (Array.isArray(invoke) ? invoke[Number(match[1])] : invoke) as { src?: InnerLogic } | undefined
  return config?.src
}

function stateNodeOf(logic: InnerLogic, id: string): { readonly config: { readonly invoke?: unknown } } | undefined {
  try {
    return logic.getStateNodeById?.(id)
  } catch {
    return undefined
  }
}
