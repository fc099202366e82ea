/**
 * Schedules in the simulation, over a change of clocks, while scheduler after scheduler crashes. Prints the tasks that came
 * of them as one JSON line. In a process of its own, for it replaces the clocks: `node cron.ts 2026-03-29T00:58:00Z`.
 */
import { task } from '../../src/client/index.ts'
import { Troupe } from '../../src/client/troupe.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { type ClusterSettings, ControlMachine, firstOf, NodeMachine, type Server, SimMachine } from './cluster.ts'
import { installGlobals } from './globals.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import { type LogFaults, StreamHost } from './sim-log.ts'
import { emptyObjects, objectSubjects, simObjects } from './sim-objects.ts'
import { emptyShelf } from './sim-stores.ts'
import { SimStream } from './sim-stream.ts'
import { World } from './world.ts'

const seed = 4
const lastsMs = 70_000
const zone = 'Europe/Vienna'
const schedules = { fixed: '30 2 * * *', twice: '59 59 2 * * *', minutely: '* * * * *', often: '*/5 * * * * *' }
const faults: LogFaults = {
  lossOfWrites: 0.02,
  lossOfAcks: 0.05,
  vagueAnswers: 0.02,
  slowWrites: 0.05,
  slowMsMax: 100,
  staleReads: 0,
  twoWriters: 0,
  clockStepsBackMs: 0,
}

/** Sets the schedules, again and again until each is acknowledged. */
class SettingMachine extends SimMachine {
  done = false

  protected async start(): Promise<void> {
    const { bus, logs, server } = this
    const { subjects } = firstOf(server)
    const objects = simObjects(server.objects, bus)
    const limits = { submitDeadlineMs: 30_000, askEveryMs: 3_000, keepCount: 100, keepBytes: 100_000 }
    const troupe = new Troupe({ bus, logs, objects, subjects, client: 'client', ...limits })
    for (const [name, schedule] of Object.entries(schedules)) {
      const asked = { schedule, timeZone: zone, task: 'work' }
      while ((await troupe.cron.set(name, asked).catch(() => undefined)) === undefined);
    }
    this.done = true
  }
}

function serverOf(world: World): Server {
  const random = (name: string) => new Random(seed, name)
  const between = { delayMinMs: 0.1, delayMaxMs: 3, loss: 0.01, duplication: 0.02, reordering: 0.01 }
  const network = new Network(world, random('network'), between)
  const subjects = new Subjects('sim')
  const common = { bytesMax: 64 * 1024 * 1024, dedupeMs: 60_000, createdAtMs: world.epochMs }
  const log = new SimStream({ ...common, ...subjects.logSubjects(0) })
  const leases = new SimStream({ ...common, door: [], inner: ['lease.>'], lastOnly: true })
  const count = (fault: string) => network.count(fault)
  const objects = new SimStream({ ...common, door: [], inner: objectSubjects })
  const first = { subjects, log: new StreamHost(world, random('log'), log, faults, count), shelf: emptyShelf() }
  const perfect = { ...faults, lossOfWrites: 0, lossOfAcks: 0 }
  return {
    network,
    partitions: [first],
    objects: emptyObjects(new StreamHost(world, random('objects'), objects, perfect, count), first),
    leases: new StreamHost(world, random('leases'), leases, { ...faults, lossOfWrites: 0 }, count),
    wrapLog: undefined,
  }
}

const world = new World(seed, Date.parse(process.argv[2]!))
const restore = installGlobals(world)
const server = serverOf(world)
const settings: ClusterSettings = {
  slots: 4,
  housekeepingMs: 1_000,
  messagesPerCheckpoint: 50,
  checkpointMs: 10_000,
  rules: {},
}
const work = task('work', async () => 'done')
const controls = ['control1', 'control2', 'control3'].map((name) => new ControlMachine(world, server, name, settings))
const client = new SettingMachine(world, server, 'client', 'client')
for (const machine of [...controls, new NodeMachine(world, server, 'node1', [work], settings), client]) machine.boot()

const leading = () => controls.find((control) => control.leading(0) !== undefined)
const ledger = () => leading()?.leading(0)?.reader.ledger
let crashes = 0
/** The leader dies and comes back later, when another has long gone on. */
function crash(): void {
  const leader = leading()
  if (client.done && leader !== undefined) {
    crashes++
    leader.crash()
    leader.restartAfter(3_000)
  }
  world.schedule(undefined, 6_500, 'crash', crash)
}
crash()
await world.run({ untilMs: lastsMs, stepsMax: 2_000_000 })
const ended = () => {
  const counts = ledger()?.state.counts
  return counts !== undefined && counts.waiting + counts.running === 0 && counts.completed > 0
}
await world.run({ untilMs: lastsMs + 60_000, stepsMax: 2_000_000 }, () => world.nowMs > lastsMs + 12_000 && ended())
world.current = undefined
restore()
const tasks = [...(ledger()?.state.tasks.values() ?? [])].map(({ id, status }) => [id, status])
process.stdout.write(`${JSON.stringify({ crashes, escaped: world.escaped.length, tasks })}\n`)
process.exit(0)
