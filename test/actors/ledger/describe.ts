/** A ledger's state as plain data, equal for equal ledgers however they came about; and what must hold of each. */
import type { Gang } from '../../../src/actors/ledger/gangs.ts'
import { secondOf } from '../../../src/actors/ledger/hedges.ts'
import type { LedgerState } from '../../../src/actors/ledger/state.ts'
import { type Group, groupOf } from '../../../src/actors/ledger/supervision.ts'
import { TaskRecord } from '../../../src/actors/ledger/task-record.ts'

function sorted(items: Iterable<string>): string[] {
  return [...items].sort()
}

/** What a record keeps behind accessors. */
const kept = Object.entries(Object.getOwnPropertyDescriptors(TaskRecord.prototype)).flatMap(([name, { set }]) =>
  set === undefined ? [] : [name],
)

function describeTask(task: TaskRecord): object {
  const { rare } = task
  const hidden = ['savedIn', 'atHand', 'course', 'rare', 'owner', 'profile']
  const names = [...Object.keys(task), ...kept].filter((name) => !hidden.includes(name))
  const { after, children, awaited, ...rest } = rare ?? {}
  const sets = {
    ...(after && { after: sorted(after) }),
    ...(children && { children: [...children] }),
    ...(awaited && { awaited: sorted(awaited) }),
    ...(rest.signalIds && { signalIds: [...rest.signalIds] }),
  }
  const more = rare === undefined ? {} : { ...rest, ...sets }
  const known = Object.entries(more).filter(([, value]) => value !== undefined)
  return {
    ...Object.fromEntries(names.map((name) => [name, Reflect.get(task, name)])),
    profile: task.profile ?? null,
    owner: task.owner?.incarnation ?? null,
    rare: Object.fromEntries(known),
  }
}

function index(map: ReadonlyMap<string, ReadonlySet<TaskRecord>>): Record<string, string[]> {
  const ids = sorted(map.keys())
  return Object.fromEntries(ids.map((id) => [id, sorted([...(map.get(id) ?? [])].map((task) => task.id))]))
}

export function describeState(state: LedgerState): object {
  return structuredClone({
    position: state.position,
    timeMs: state.timeMs,
    epoch: state.epoch,
    leader: state.leader,
    rules: state.rules,
    counts: state.counts,
    totals: state.totals,
    retained: state.retained,
    tasks: Object.fromEntries(
      sorted([...state.tasks.values()].map(({ id }) => id)).map((id) => [id, describeTask(state.tasks.get(id)!)]),
    ),
    members: sorted(state.members.keys()).map((incarnation) => {
      const { running, types, ...member } = state.members.get(incarnation)!
      return { ...member, types: [...types.keys()], running: sorted([...running].map((task) => task.id)) }
    }),
    subjects: sorted(state.membersBySubject.keys()),
    dead: [...state.deadIncarnations],
    dependents: index(state.dependents),
    awaiters: index(state.awaiters),
    results: [...state.results].map((task) => task.id),
    deadLetters: [...state.dead].map((task) => task.id),
    cancelledWithParents: [...state.cancelledWithParents].map((task) => task.id),
    setAsides: [...state.setAsides],
    uniques: [...state.uniques],
    schedules: [...state.schedules.values()],
    groups: Object.fromEntries(
      sorted(state.groups.keys()).map((path) => [path, describeGroup(state.groups.get(path)!)]),
    ),
    limits: Object.fromEntries(sorted(state.limits.keys()).map((type) => [type, state.limits.get(type)])),
    breakers: Object.fromEntries(sorted(state.breakers.keys()).map((type) => [type, state.breakers.get(type)])),
    gangs: Object.fromEntries(sorted(state.gangs.keys()).map((id) => [id, describeGang(state.gangs.get(id)!)])),
    strays: state.strays.rows(),
  })
}

function describeGang({ members, starting, ...gang }: Gang): object {
  const ids = (tasks: ReadonlySet<TaskRecord>) => sorted([...tasks].map(({ id }) => id))
  return { ...gang, members: ids(members), starting: ids(starting) }
}

function describeGroup({ level, order, failures, members, groups }: Group): object {
  const inside = {
    members: sorted([...members].map(({ id }) => id)),
    groups: sorted([...groups].map(({ path }) => path)),
  }
  return { level, order, failures, ...inside }
}

function checkGroups(state: LedgerState): void {
  let held = 0
  for (const [path, { members, groups }] of state.groups) {
    demand(members.size + groups.size > 0, `group ${path} is empty`)
    for (const below of groups) demand(state.groups.get(below.path) === below, `group ${below.path} is lost`)
    for (const task of members)
      demand(!task.ended && groupOf(state, task)?.path === path, `${task.id} is not in ${path}`)
    held += members.size
  }
  const expected = [...state.tasks.values()].filter(({ ended, rare }) => !ended && rare?.group !== undefined)
  demand(held === expected.length, 'members of groups')
}

function checkGangs(state: LedgerState): void {
  for (const [id, { members, starting, begun, size }] of state.gangs) {
    demand(members.size > 0 && members.size <= size, `gang ${id} has ${members.size} of ${size} members`)
    for (const task of members) demand(!task.ended && task.rare?.gang?.id === id, `${task.id} is not in gang ${id}`)
    for (const task of starting) {
      demand(members.has(task), `${task.id} starts with gang ${id} and is no member`)
      demand(task.status !== 'running', `${task.id} runs before its gang ${id} has started`)
    }
    if (!begun) demand(starting.size === members.size, `gang ${id} has not begun, and a member need not start`)
  }
  for (const task of state.tasks.values()) {
    if (task.status !== 'held') continue
    demand(state.gangs.get(task.rare?.gang?.id ?? '')?.starting.has(task) === true, `${task.id} is held for nothing`)
  }
}

function demand(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}

/** Throws when a ledger contradicts itself. */
export function checkState(state: LedgerState): void {
  const counts: Record<string, number> = {}
  let running = 0
  for (const task of state.tasks.values()) {
    const { id } = task
    counts[task.status] = (counts[task.status] ?? 0) + 1
    demand(state.tasks.get(id) === task, `${id} is not found by its id`)
    const isOwned = task.status === 'running' || task.status === 'held'
    demand((task.owner !== undefined) === isOwned, `${id}: owner ⇔ running or held`)
    if (task.owner !== undefined) {
      running++
      demand(task.owner.live, `${id} is owned by the dead`)
      demand(task.owner.running.has(task), `${id} is not listed by its owner`)
    }
    if (task.rare?.hedge?.beside !== undefined) {
      running++
      const second = secondOf(state, task)
      demand(second?.live === true && second.running.has(task), `${id} has a second turn that nobody runs`)
      demand(task.status === 'running' && second?.node !== task.owner?.node, `${id} has a second turn beside nothing`)
    }
    demand((task.outcome !== undefined) === task.ended, `${id}: outcome ⇔ ended`)
    demand((task.status === 'parked') === isWaiting(task), `${id}: parked ⇔ waits for something`)
    if (task.status === 'blocked') demand((task.rare?.after?.size ?? 0) > 0, `${id} is blocked by nothing`)
    if (!task.ended) demand(task.retained === 0, `${id} lives and is to be forgotten`)
    if (task.rare?.parent !== undefined && !task.rare.detached) {
      const parent = state.tasks.get(task.rare.parent)
      demand(parent?.rare?.children?.has(id) === true, `${id} is unknown to its parent`)
    }
  }
  for (const [status, count] of Object.entries(state.counts))
    demand(count === (counts[status] ?? 0), `count of ${status}`)
  let held = 0
  for (const member of state.members.values()) held += member.running.size
  demand(held === running, 'running tasks and what members hold')
  demand(state.members.size === state.membersBySubject.size, 'members by incarnation and by subject')
  checkIndex(state.dependents, (task) => (task.status === 'blocked' ? task.rare?.after : undefined), state)
  checkIndex(state.awaiters, (task) => task.rare?.awaited, state)
  checkGroups(state)
  checkGangs(state)
  const queued = [...state.results, ...state.dead, ...state.cancelledWithParents]
  demand(new Set(queued).size === queued.length, 'queued twice for forgetting')
  for (const task of queued) {
    demand(task.ended && state.tasks.get(task.id) === task, `${task.id} is queued for forgetting`)
    if (!task.rare?.cancelledWithParent) continue
    const parent = state.tasks.get(task.rare.parent ?? '')
    demand(parent?.mayRun === true && parent.ended, `${task.id} waits for a parent that is no dead letter`)
    demand(parent?.rare?.children?.has(task.id) === true, `${task.id} cannot run again with its parent`)
  }
}

function isWaiting({ rare }: TaskRecord): boolean {
  return rare?.awaited !== undefined || rare?.wakeAtMs !== undefined || rare?.onSignal === true
}

function checkIndex(
  index: ReadonlyMap<string, ReadonlySet<TaskRecord>>,
  idsOf: (task: TaskRecord) => ReadonlySet<string> | undefined,
  state: LedgerState,
): void {
  let listed = 0
  for (const [id, tasks] of index) {
    demand(tasks.size > 0, `an empty set for ${id}`)
    for (const task of tasks) demand(idsOf(task)?.has(id) === true, `${task.id} does not wait for ${id}`)
    listed += tasks.size
  }
  let expected = 0
  for (const task of state.tasks.values()) expected += idsOf(task)?.size ?? 0
  demand(listed === expected, `an index lists ${listed} of ${expected}`)
}
