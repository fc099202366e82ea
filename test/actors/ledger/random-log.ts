/**
 * Random actors that write a log, from a seed: nodes that accept, run, pause, die, are fenced, come back as zombies and send
 * blocks again; schedulers that lead, and stale ones that still decide; clients that submit twice. They see the ledger, a
 * stale one at times, and are wrong often.
 */

import { isHedgeOpen, turnHeldBy } from '../../../src/actors/ledger/hedges.ts'
import type { TaskRecord } from '../../../src/actors/ledger/task-record.ts'
import { type ControlEntry, type JournalEntry, kind } from '../../../src/protocol/entries.ts'
import type { TypeLimits } from '../../../src/protocol/options.ts'
import { boom, noJitter, type TestLog, TestNode, taskProfile } from './test-log.ts'

/** Mulberry32: small, and the same everywhere. */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let hash = Math.imul(state ^ (state >>> 15), 1 | state)
    hash = (hash + Math.imul(hash ^ (hash >>> 7), 61 | hash)) ^ hash
    return ((hash ^ (hash >>> 14)) >>> 0) / 4_294_967_296
  }
}

const types = ['work', 'play', 'rest'].map((type) =>
  taskProfile(type, {
    retry: { ...noJitter, jitterPercent: 30 },
    restart: { intensity: 3, periodMs: 20_000 },
    timeoutMs: type === 'rest' ? 2_000 : 0,
    ...(type === 'work' && { heartbeatMs: 3_000 }),
    ...(type === 'play' ? {} : { hedge: { afterMs: 50, budget: 1 } }),
  }),
)

const root = { name: 'root', strategy: 'rest-for-one', restart: { intensity: 4, period: '5s' } }
const trees = [
  { name: 'all', strategy: 'one-for-all', restart: { intensity: 3, period: '5s', backoff: 50, nodeLoss: 'failure' } },
  { name: 'rest', strategy: 'rest-for-one', parent: root },
  { name: 'one', restart: { intensity: 2, period: '2s', from: 'beginning' }, parent: root },
  { name: 'stay', strategy: 'one-for-all', restart: { from: 'snapshot' }, parent: { name: 'one', parent: root } },
]

export class RandomActors {
  readonly log: TestLog
  readonly #random: () => number
  readonly #nodes: TestNode[] = []
  readonly #leaders: { name: string; epoch: number }[] = []
  #lives = 0
  #ids = 0
  #turns: [string, number][] = []

  constructor(log: TestLog, seed: number) {
    this.log = log
    this.#random = random(seed)
    log.lead('s0', { resultsKeepCount: 40, resultsKeepMs: 60_000, deadKeepCount: 15, deadKeepMs: 90_000 })
    this.#leaders.push({ name: 's0', epoch: log.epoch })
  }

  /** Writes one message. */
  step(): void {
    const { log } = this
    log.advance(this.#chance(0.05) ? this.#below(3_000) : this.#below(60))
    if (this.#chance(0.01)) log.advance(-this.#below(500))
    const dice = this.#random()
    if (this.#nodes.length < 3 || dice < 0.015) this.#join()
    else if (dice < 0.03) log.fence(this.#one(this.#nodes))
    else if (dice < 0.04) this.#lead()
    else if (dice < 0.16) this.#submit()
    else if (dice < 0.22) log.signal(this.#id(), this.#chance(0.7) ? `s${this.#below(20)}` : undefined)
    else if (dice < 0.34) this.#decide()
    else if (dice < 0.35) log.append(this.#one(this.#nodes).subject, new Uint8Array([0xc1]))
    else this.#run()
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  #limits(): TypeLimits | null {
    if (this.#chance(0.3)) return null
    const breaker = { attempts: 2 + this.#below(3), failurePercent: 40, openMs: this.#below(3_000), trials: 2 }
    return {
      paused: this.#chance(0.5),
      runningMax: 1 + this.#below(9),
      ...(this.#chance(0.5) && { breaker }),
      ...(this.#chance(0.2) && { queuedMax: 20 + this.#below(200) }),
    }
  }

  #chance(odds: number): boolean {
    return this.#random() < odds
  }

  #one<T>(items: readonly T[]): T {
    return items[this.#below(items.length)]!
  }

  #join(): void {
    const node = `n${this.#below(5)}`
    this.#nodes.push(this.log.join(node, `i${this.#lives++}`, this.#chance(0.8) ? types : types.slice(0, 1)))
    // The dead are kept a while: they are the zombies.
    if (this.#nodes.length > 12) this.#nodes.shift()
    if (this.#chance(0.1)) this.#nodes.push(new TestNode(this.log, node, `never${this.#lives++}`))
  }

  #lead(): void {
    const name = `s${this.#below(3)}`
    this.log.lead(name, { ...this.log.state.rules })
    this.#leaders.push({ name, epoch: this.log.epoch })
  }

  /** An id that somebody chose, now and then one that nobody has. */
  #id(): string {
    const known = [...this.log.state.tasks.values()].map(({ id }) => id)
    if (known.length === 0 || this.#chance(0.05)) return `t${this.#below(this.#ids + 5)}`
    return known[known.length - 1 - Math.min(this.#below(60), this.#below(known.length))]!
  }

  #submit(): void {
    const headers: Record<string, string> = {}
    if (this.#chance(0.6)) headers['troupe-id'] = `t${this.#chance(0.8) ? this.#ids++ : this.#below(this.#ids + 1)}`
    if (this.#chance(0.2)) headers['troupe-delay'] = `${this.#below(2_000)}ms`
    if (this.#chance(0.2)) headers['troupe-deadline'] = `${this.#below(9_000)}ms`
    if (this.#chance(0.25)) headers['troupe-after'] = [this.#id(), this.#id()].join(',')
    if (this.#chance(0.1)) headers['troupe-unique'] = `${1 + this.#below(3_000)}ms`
    if (this.#chance(0.03)) headers['troupe-priority'] = 'x'
    if (this.#chance(0.4)) headers['troupe-group'] = JSON.stringify(this.#one(trees))
    if (this.#chance(0.1)) headers['troupe-restart'] = 'temporary'
    if (this.#chance(0.1)) headers['troupe-start-within'] = `${1 + this.#below(9_000)}ms`
    if (this.#chance(0.25)) headers['troupe-gang'] = `g${this.#below(8)}/2${this.#chance(0.2) ? '/alone' : ''}`
    const type = this.#one(['work', 'work', 'play', 'rest'])
    if (this.#chance(0.7)) this.log.submit(headers, type, String(this.#below(2)))
    else this.log.submitBlock('c', [[type, null], [type, 'x', { after: [this.#id()] }], 3 as never])
  }

  #decide(): void {
    const stale = this.#chance(0.15)
    const { name, epoch } = stale ? this.#one(this.#leaders) : this.#leaders.at(-1)!
    const id = this.#id()
    const task = this.log.state.tasks.get(id)
    const turn = task === undefined ? 1 : task.turn
    const input = task?.input.sequence ?? 0
    const dice = this.#random()
    const second = task?.rare?.hedge?.turn ?? turn
    if (dice < 0.1) this.log.decideAs(name, epoch, [kind.revoked, id, this.#chance(0.7) ? turn : second, ''])
    else if (dice < 0.15) this.#hedge(name, epoch)
    else if (dice < 0.25) this.log.decideAs(name, epoch, [kind.cancelled, id, ''])
    else if (dice < 0.5) this.log.decideAs(name, epoch, [kind.expired, id], [kind.timedOut, id, turn])
    else if (dice < 0.6) this.log.decideAs(name, epoch, [kind.retried, id, this.#chance(0.3)])
    else if (dice < 0.65) this.log.decideAs(name, epoch, [kind.removed, id])
    else if (dice < 0.7) this.log.decideAs(name, epoch, ...this.#cron())
    else if (dice < 0.75)
      this.log.decideAs(name, epoch, [kind.limited, this.#one([...types, taskProfile('other')]).type, this.#limits()])
    else if (dice < 0.8) this.log.decideAs(name, epoch, ...this.#ungathered())
    else if (dice < 0.9)
      this.log.decideAs(name, epoch, [kind.kept, id, input, 'null', task?.snapshot?.sequence ?? 0, null])
    else this.log.decideAs(name, epoch, ...this.#carried())
  }

  /** What tasks have not consumed, and what children came to, copied forward. */
  #carried(): ControlEntry[] {
    const tasks = [...this.log.state.tasks.values()].slice(-40)
    return tasks.flatMap(({ id, rare, outcome, status }) => [
      ...(rare?.signals ?? []).map(({ sequence }) => [kind.carried, id, 'signal', sequence, 'null'] as const),
      ...(status === 'completed' ? [[kind.carried, id, 'result', outcome!.sequence, 'null'] as const] : []),
    ])
  }

  /** Gangs whose members have waited for too long, mostly those that do. */
  #ungathered(): ControlEntry[] {
    return [...this.log.state.gangs.values()].map(
      ({ id, heldSince }) => [kind.ungathered, id, heldSince + (this.#chance(0.8) ? 0 : 1), 'too long'] as const,
    )
  }

  #hedge(name: string, epoch: number): void {
    const running = [...this.log.state.tasks.values()].filter(({ status }) => status === 'running')
    const entries = running.map(
      ({ id, turn }) => [kind.hedged, id, this.#chance(0.9) ? turn : turn + 1, 'slow'] as const,
    )
    this.log.decideAs(name, epoch, ...entries)
  }

  /** A schedule is set or removed, or a firing of it made or given up, mostly the one that is due. */
  #cron(): ControlEntry[] {
    const schedule = `c${this.#below(3)}`
    const record = this.log.state.schedules.get(schedule)
    const soonMs = (Math.floor(this.log.nowMs / 1_000) + 1) * 1_000
    if (record === undefined || this.#chance(0.1)) {
      const overlap = this.#one(['allow', 'skip', 'queue', 'replace'] as const)
      const asked = { schedule: '* * * * * *', timeZone: 'UTC', type: 'work', missed: 'all', overlap } as const
      return [[kind.scheduled, schedule, this.#chance(0.1) ? null : asked, '1', soonMs - 1_000]]
    }
    const dueAtMs = this.#chance(0.8) ? record.nextAtMs : soonMs
    if (this.#chance(0.2)) return [[kind.missed, schedule, dueAtMs, dueAtMs + 1_000]]
    const nextAtMs = dueAtMs + 1_000
    return [
      [kind.fired, schedule, dueAtMs, nextAtMs, '1'],
      [kind.fired, schedule, nextAtMs, nextAtMs + 1_000, '1'],
    ]
  }

  /** A node writes what came of a few turns, of its own or of others. */
  #run(): void {
    const node = this.#one(this.#nodes)
    const entries: JournalEntry[] = []
    for (let count = 1 + this.#below(3); count > 0; count--) entries.push(...this.#turn(node))
    node.write(...entries)
    if (this.#chance(0.05)) node.write(...entries)
  }

  #turn(node: TestNode): JournalEntry[] {
    const running = [...(node.member?.running ?? [])]
    const owned = running.length > 0 && this.#chance(0.8) ? this.#one(running) : undefined
    if (owned === undefined) {
      const task = this.#ready()
      if (task !== undefined && this.#chance(0.9)) {
        this.#turns.push([task.id, task.turn + 1])
        if (this.#turns.length > 30) this.#turns.shift()
        return [[kind.accepted, task.id, task.turn + 1]]
      }
    }
    const held = owned && node.member && turnHeldBy(owned, node.member)
    const [id, turn] = owned ? ([owned.id, held ?? owned.turn] as const) : this.#stale()
    return this.#entries(id, turn, owned)
  }

  #ready(): TaskRecord | undefined {
    const ready = [...this.log.state.tasks.values()].filter(
      (task) => task.status === 'waiting' || task.status === 'parked' || isHedgeOpen(task),
    )
    const awaited = ready.filter(({ rare }) => (this.log.state.gangs.get(rare?.gang?.id ?? '')?.heldSince ?? 0) > 0)
    if (awaited.length > 0 && this.#chance(0.3)) return this.#one(awaited)
    return ready.length === 0 ? undefined : this.#one(ready)
  }

  #stale(): readonly [string, number] {
    return this.#turns.length > 0 ? this.#one(this.#turns) : [this.#id(), this.#below(4)]
  }

  #entries(id: string, turn: number, owned: TaskRecord | undefined): JournalEntry[] {
    const snapshot = this.#chance(0.7) ? new Uint8Array([1]) : null
    const signals = owned?.rare?.signals ?? []
    const consumed = signals.length > 0 && this.#chance(0.7) ? this.#one(signals).sequence : this.#below(50)
    const child = `${id.slice(0, 40)}:${this.#below(4)}`
    const dice = this.#random()
    if (dice < 0.3) return [[kind.completed, id, turn, null]]
    if (dice < 0.42) {
      const error = this.#chance(0.2) ? { code: 'TROUPE_TASK_CRASHED', message: 'gone' } : boom
      return [[kind.failed, id, turn, error, this.#chance(0.8), ...(signals[0] ? [signals[0].sequence] : [])]] as never
    }
    if (dice < 0.55) return [[kind.checkpointed, id, turn, snapshot, consumed]]
    if (dice < 0.6) return [[kind.progressed, id, turn, 0.5, 'half']]
    if (dice < 0.65) return [[kind.yielded, id, turn, snapshot, consumed]]
    if (dice < 0.7) return [[kind.signalled, id, turn, this.#id(), `s${this.#below(9)}`, null]]
    if (dice < 0.72) return [[kind.left]]
    const submitted = [kind.submitted, id, turn, 'work', null, { id: child }] as const
    if (dice < 0.82) return [submitted]
    const wakeAtMs = this.#chance(0.5) ? this.log.nowMs + this.#below(2_000) : 0
    const children = this.#chance(0.6) ? [child, ...(this.#chance(0.3) ? [this.#id()] : [])] : []
    return [submitted, [kind.parked, id, turn, snapshot, consumed, wakeAtMs, this.#chance(0.4), children]]
  }
}
