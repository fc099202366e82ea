/** The simulated leases, objects and checkpoints are held against those on the real server, as the stream is. */
import { expect, test } from 'vitest'
import type { CheckpointStore, LeaseStore, ObjectStore } from '../../src/nats/bus.ts'
import { JetStreamObjectBucket } from '../../src/nats/object-bucket.ts'
import { BucketObjects } from '../../src/nats/objects.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { openTest, until, useServer } from '../harness/server.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import { SimBus } from './sim-bus.ts'
import { StreamHost } from './sim-log.ts'
import { emptyObjects, objectSubjects, simObjects } from './sim-objects.ts'
import { emptyShelf, SimCheckpointStore, SimLeaseStore } from './sim-stores.ts'
import { SimStream } from './sim-stream.ts'
import { SimProcess, World } from './world.ts'

const server = useServer()
const operations = 800

interface Stores {
  readonly leases: LeaseStore
  readonly objects: ObjectStore
  readonly checkpoints: CheckpointStore
}

/** Stores without a fault, and what makes their world go on until nothing is left to happen. */
function simulated(): Stores & { settle<Value>(work: Promise<Value>): Promise<Value> } {
  const world = new World(1, Date.now())
  const quiet = { delayMinMs: 0, delayMaxMs: 0, loss: 0, duplication: 0, reordering: 0 }
  const network = new Network(world, new Random(1), quiet)
  const bus = new SimBus(network, network.connect(new SimProcess(world, 'client')))
  const faults = { lossOfWrites: 0, lossOfAcks: 0, vagueAnswers: 0, slowWrites: 0, slowMsMax: 0, staleReads: 0 }
  const host = (options: Partial<ConstructorParameters<typeof SimStream>[0]>) => {
    const common = { door: [], inner: [], bytesMax: 2 ** 30, dedupeMs: 60_000, createdAtMs: 0 }
    const stream = new SimStream({ ...common, ...options })
    return new StreamHost(world, new Random(2), stream, { ...faults, twoWriters: 0, clockStepsBackMs: 0 }, () => {})
  }
  const log = host({ ...new Subjects('sim').logSubjects(0) })
  const shelf = emptyShelf()
  return {
    leases: new SimLeaseStore(host({ inner: ['lease.>'], lastOnly: true }), bus),
    objects: simObjects(emptyObjects(host({ inner: objectSubjects }), { log, shelf }), bus, 0),
    checkpoints: new SimCheckpointStore(shelf, log, bus),
    async settle(work) {
      let isSettled = false
      const done = work.finally(() => {
        isSettled = true
      })
      done.catch(() => undefined)
      while (!isSettled) await world.run({ untilMs: Number.POSITIVE_INFINITY, stepsMax: world.steps + 100 })
      return done
    },
  }
}

async function whole(stored: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of stored) parts.push(part)
  return Buffer.concat(parts).toString('hex')
}

async function allOf({ checkpoints }: Stores): Promise<unknown[]> {
  const found = await checkpoints.list()
  return Promise.all(
    found.map(async ({ manifest, parts }) => [Buffer.from(manifest).toString('hex'), await whole(parts())]),
  )
}

test(
  `the simulated stores and the server give the same answers to ${operations} random operations`,
  async () => {
    await using t = await openTest(server)
    const bucket = new JetStreamObjectBucket(t.bus, t.subjects.objectBucket)
    const actual: Stores = { ...t, objects: new BucketObjects(bucket, { youngMs: 0 }) }
    const model = simulated()
    const random = new Random(Number(process.env.TROUPE_HONESTY_SEED ?? 5), 'stores')
    const seen = { real: [] as unknown[], model: [] as unknown[] }
    const note = (of: unknown[]) => (value: Uint8Array | undefined, revision: number) =>
      of.push([value && Buffer.from(value).toString('hex'), revision])
    const watches = [
      await t.leases.watch('a', note(seen.real)),
      await model.settle(model.leases.watch('a', note(seen.model))),
    ]
    const values = new Map<string, Uint8Array>()
    const names = new Set<string>(['0'.repeat(64), 'no name'])
    const revisions = new Map<string, number>()
    const bytes = () => random.bytes(random.chance(0.1) ? random.integer(0, 300_000) : random.integer(0, 200))

    type Operation = (stores: Stores) => Promise<unknown>
    const draw = (): [what: string, operation: Operation] => {
      const dice = random.next()
      const key = random.pick(['a', 'b'])
      if (dice < 0.4) {
        const revision = revisions.get(key) ?? 0
        const [value, expected] = [random.bytes(20), random.pick([revision, revision, 0, revision + 1])]
        return ['lease put', ({ leases }) => leases.put(key, value, expected)]
      }
      if (dice < 0.55) {
        return [
          'lease get',
          async ({ leases }) => {
            const found = await leases.get(key)
            return found && [found.revision, Buffer.from(found.value).toString('hex')]
          },
        ]
      }
      if (dice < 0.7) {
        const data = random.chance(0.3) ? random.pick([...values.values(), bytes()]) : bytes()
        return [
          'object put',
          async ({ objects }) => {
            const name = await objects.put(data)
            values.set(name, data)
            return name
          },
        ]
      }
      const name = random.pick([...names])
      if (dice < 0.85) {
        return ['object get', async ({ objects }) => (await objects.get(name))?.length]
      }
      if (dice < 0.9) {
        // Somebody stores it again when it has been found, or somebody removes it.
        const between = random.pick(['put', 'remove', 'nothing', 'nothing'])
        const data = values.get(name)
        return [
          `object ${between} and remove`,
          async ({ objects }) => {
            const found = await objects.find(name)
            if (found === undefined) return 'absent'
            if (between === 'put') await objects.put(data!)
            if (between === 'remove') await objects.remove(found)
            return objects.remove(found)
          },
        ]
      }
      if (dice < 0.92) {
        return [
          'objects',
          async ({ objects }) => {
            const found = await Promise.all((await objects.names()).map((one) => objects.find(one)))
            return found.map((item) => `${item?.name} ${item?.bytes}`).sort()
          },
        ]
      }
      if (dice < 0.93) {
        const beforeMs = random.chance(0.5) ? 0 : Number.MAX_SAFE_INTEGER
        return ['object leftovers', ({ objects }) => objects.removeLeftovers(beforeMs)]
      }
      if (dice < 0.96) {
        const [manifest, parts, keep] = [random.bytes(30), [bytes(), bytes()], random.integer(1, 3)]
        return ['checkpoint', async (stores) => void (await stores.checkpoints.save(manifest, parts, keep))]
      }
      return ['checkpoints', allOf]
    }

    for (let at = 0; at < operations; at++) {
      const [what, operation] = draw()
      const real = await operation(actual)
      expect(await model.settle(operation(model)), `operation ${at}: ${what}`).toEqual(real)
      if (what === 'object put') names.add(String(real))
      for (const key of ['a', 'b']) revisions.set(key, (await t.leases.get(key))?.revision ?? 0)
    }
    await until(() => seen.real.length >= seen.model.length, 'every change of the lease was seen')
    expect(seen.model).toEqual(seen.real)
    for (const watch of watches) watch.unsubscribe()
  },
  4 * 60_000,
)
