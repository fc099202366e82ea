/**
 * Actors that users keep in contexts, inputs and delayed events: stored as addresses, and found again after a restart.
 * XState by itself stores the bare id of one, and finds only children of the machine that holds it.
 */
import { type AnyActorRef, createActor, fromTransition } from 'xstate'
import type { ActorPath } from './durable-timers.ts'
import type { PersistedSnapshot } from './xstate-adapter.ts'

const mark = 'troupe$$actor'

/** What stands for an actor: its ids from the root down; null if it is there no more. */
interface StoredReference {
  readonly [mark]: ActorPath | null
}

/** The actors of one task, by their addresses. */
export class ActorReferences {
  readonly #root: AnyActorRef
  readonly #pathOf: (actor: AnyActorRef) => ActorPath

  constructor(root: AnyActorRef, pathOf: (actor: AnyActorRef) => ActorPath) {
    this.#root = root
    this.#pathOf = pathOf
  }

  at(path: ActorPath): AnyActorRef | undefined {
    let actor: AnyActorRef | undefined = this.#root
    for (const id of path) actor = childrenOf(actor)[id]
    return actor
  }

  /** True if a context holds a reference where XState looks for them: not in a Map, nor in what is not a machine's. */
  areIn(persisted: PersistedSnapshot, actor = this.#root): boolean {
    // XState returns a context as it is if it finds none.
    if (persisted.context !== (actor.getSnapshot() as PersistedSnapshot).context) return true
    return Object.entries(persisted.children ?? {}).some(([id, child]) => {
      return this.areIn(child.snapshot, childrenOf(actor)[id] as AnyActorRef)
    })
  }

  /** Returns the persisted snapshot with an address for every reference, also for those that XState has replaced. */
  addressed({ children, ...own }: PersistedSnapshot, actor = this.#root): PersistedSnapshot {
    const { context } = actor.getSnapshot() as PersistedSnapshot
    const snapshot = this.withAddresses({ ...own, ...('context' in own && { context }) }) as PersistedSnapshot
    if (children === undefined) return snapshot
    const below = Object.entries(children).map(([id, child]) => {
      return [id, { ...child, snapshot: this.addressed(child.snapshot, childrenOf(actor)[id] as AnyActorRef) }] as const
    })
    return { ...snapshot, children: Object.fromEntries(below) }
  }

  /** Puts restored actors where the restored snapshots name them. */
  reconnect(actor = this.#root): void {
    const snapshot = actor.getSnapshot() as Record<string, unknown>
    for (const key of ['context', 'input', 'output', 'error']) {
      if (snapshot[key] !== undefined) snapshot[key] = this.withActors(snapshot[key])
    }
    for (const child of Object.values(childrenOf(actor))) if (child !== undefined) this.reconnect(child)
  }

  /** Returns the value with addresses for actors. An actor of another system stays, and is refused by who packs it. */
  withAddresses(value: unknown): unknown {
    return replaced(value, (part) => {
      if (!isActor(part)) return undefined
      if (gone.has(part)) return { [mark]: null } satisfies StoredReference
      if (part.system !== this.#root.system) return part
      const path = this.#pathOf(part)
      return { [mark]: this.at(path) === part ? path : null } satisfies StoredReference
    })
  }

  /** Returns the value with actors for addresses; for one that is there no more, with an actor that has stopped. */
  withActors(value: unknown): unknown {
    return replaced(value, (part) => {
      const path = (part as Partial<StoredReference>)[mark]
      return path === undefined ? undefined : ((path && this.at(path)) ?? stoppedActor())
    })
  }
}

export function childrenOf(actor: AnyActorRef | undefined): Readonly<Record<string, AnyActorRef | undefined>> {
  return (actor?.getSnapshot() as { children?: Record<string, AnyActorRef> } | undefined)?.children ?? {}
}

/** As XState tells them: a user's copy of it may be another than ours. */
function isActor(part: object): part is AnyActorRef {
  return 'sessionId' in part && 'send' in part && 'ref' in part
}

const gone = new WeakSet<object>()

/** Takes no event. Without it, what is sent to nobody would go to the sender. */
function stoppedActor(): AnyActorRef {
  const snapshot = { status: 'stopped', output: undefined, error: undefined, context: undefined }
  const logic = fromTransition(() => undefined, undefined)
  const actor = createActor(logic, { snapshot: snapshot as never }).stop() as unknown as AnyActorRef
  gone.add(actor)
  return actor
}

/** Copies only what leads to a part that `replace` has something else for. */
function replaced(value: unknown, replace: (part: object) => object | undefined): unknown {
  const known = new Map<object, object>()
  const visit = <Value>(part: Value): Value =>
    typeof part === 'object' && part !== null ? (visitObject(part) as Value) : part
  const visitObject = (part: object): object => {
    const before = known.get(part)
    if (before !== undefined) return before
    // A cycle stays one, and is refused where the value is packed.
    known.set(part, part)
    const now = replace(part) ?? visitParts(part, visit)
    known.set(part, now)
    return now
  }
  return visit(value)
}

function visitParts(part: object, visit: <Value>(value: Value) => Value): object {
  if (Array.isArray(part)) return part.some((item) => !Object.is(visit(item), item)) ? part.map(visit) : part
  if (part instanceof Map) {
    const entries = [...part].map(([key, value]) => [visit(key), visit(value)] as const)
    return entries.some(([key, value]) => !part.has(key) || !Object.is(part.get(key), value)) ? new Map(entries) : part
  }
  if (part instanceof Set) {
    const items = [...part].map(visit)
    return items.some((item) => !part.has(item)) ? new Set(items) : part
  }
  const prototype: unknown = Object.getPrototypeOf(part)
  if (prototype !== Object.prototype && prototype !== null) return part
  const entries = Object.entries(part)
  if (entries.every(([, value]) => Object.is(visit(value), value))) return part
  return Object.fromEntries(entries.map(([key, value]) => [key, visit(value)]))
}
