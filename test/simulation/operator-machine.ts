/** Who runs the installation in the simulation: limits types and sets schedules while the faults last, and takes all back. */
import { Troupe } from '../../src/client/troupe.ts'
import type { TypeLimits } from '../../src/protocol/options.ts'
import { firstOf, type Server, SimMachine } from './cluster.ts'
import type { Feature } from './features.ts'
import { patterns } from './patterns.ts'
import { Random } from './random.ts'
import { simObjects } from './sim-objects.ts'
import type { World } from './world.ts'

export interface OperatorPlan {
  readonly features: ReadonlySet<Feature>
  readonly types: readonly string[]
  /** Counts what was done. */
  readonly count: (what: string) => void
}

export class OperatorMachine extends SimMachine {
  /** The faults are over: everything is to be as it was in the beginning. */
  isOver = false
  /** It has seen that nothing is left of what it did. */
  done = false
  private readonly plan: OperatorPlan
  private readonly random: Random
  private troupe: Troupe | undefined

  constructor(world: World, server: Server, name: string, plan: OperatorPlan) {
    super(world, server, name, 'client')
    this.plan = plan
    this.random = new Random(world.seed, `work ${name}`)
  }

  protected async start(): Promise<void> {
    const { bus, logs, process } = this
    const { subjects } = firstOf(this.server)
    this.troupe = new Troupe({
      bus,
      logs,
      objects: simObjects(this.server.objects, bus),
      subjects,
      client: `${process.name}-${process.life}`,
      submitDeadlineMs: 30_000,
      askEveryMs: 3_000,
      keepCount: 10,
      keepBytes: 10_000,
    })
    void this.work(this.troupe)
  }

  /** One thing at a time: a request that is late must not come after the one that takes it back. */
  private async work(troupe: Troupe): Promise<void> {
    const { features } = this.plan
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, this.random.integer(300, this.isOver ? 1_000 : 4_000)))
      try {
        if (this.isOver) await this.takeBack(troupe)
        else if (features.has('limits') && (this.random.chance(0.5) || !features.has('schedules')))
          await this.limit(troupe)
        else if (features.has('schedules')) await this.schedule(troupe)
      } catch {
        // Nobody led, or the answer was lost: the next round does something else.
      }
    }
  }

  private async limit(troupe: Troupe): Promise<void> {
    const { random, plan } = this
    const [what, limits] = random.pick<() => [string, TypeLimits | null]>([
      () => ['pause', { paused: true }],
      () => ['pause', { paused: true }],
      () => ['running limit', { runningMax: random.integer(1, 2) }],
      () => ['rate limit', { startsMax: random.integer(1, 3), startsPeriodMs: random.integer(500, 3_000) }],
      () => ['queue limit', { queuedMax: random.integer(1, 12) }],
      () => [
        'breaker',
        { breaker: { failurePercent: 50, attempts: 3, openMs: random.integer(500, 5_000), trials: 1 } },
      ],
      () => ['limit lifted', null],
      () => ['limit lifted', null],
      () => ['limit lifted', null],
    ])()
    const isWhole = what === 'queue limit' && random.chance(0.2)
    await troupe.limit(isWhole ? '_all' : random.pick(plan.types), limits)
    plan.count(what)
  }

  private async schedule(troupe: Troupe): Promise<void> {
    const { random, plan } = this
    const name = random.pick(['hourly', 'daily', 'weekly'])
    if (random.chance(0.3)) {
      await troupe.cron.remove(name)
      plan.count('schedule removed')
      return
    }
    await troupe.cron.set(name, {
      schedule: random.pick(Object.keys(patterns)),
      task: 'tick',
      input: { ms: random.integer(0, 2) * random.integer(1, 4_000) },
      missed: random.pick(['skip', 'latest', 'all']),
      overlap: random.pick(['allow', 'skip', 'queue', 'replace']),
    })
    plan.count('schedule set')
  }

  private async takeBack(troupe: Troupe): Promise<void> {
    const limited = (await troupe.limits()).types
    const scheduled = await troupe.cron.list()
    for (const { type } of limited) await troupe.limit(type, null)
    for (const { name } of scheduled) await troupe.cron.remove(name)
    this.done = limited.length + scheduled.length === 0
  }
}
