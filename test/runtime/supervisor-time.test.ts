/** A supervisor over virtual time, with a log and a bus that do as the test says: when it may write and speak, and when not. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { AppendResult, Bus, BusMessage, LeaseStore, Log } from '../../src/nats/bus.ts'
import { packBlock, unpackNodeMessage } from '../../src/protocol/blocks.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { Supervisor } from '../../src/runtime/supervisor.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const subjects = new Subjects('main')

/** Two members, of which one beats, and somebody whom the ledger does not know. */
class Scene {
  readonly fences: string[] = []
  readonly told: string[] = []
  fenceResult: AppendResult = { outcome: 'stored', sequence: 9, duplicate: false }
  isCaughtUp = true
  leasesAnswer = true
  beating = ['n2']
  readonly supervisor: Supervisor
  #revision = 0
  #hear: (message: BusMessage) => void = () => undefined

  constructor() {
    const leases: LeaseStore = {
      put: () => (this.leasesAnswer ? Promise.resolve(++this.#revision) : new Promise(() => undefined)),
      get: async () => undefined,
      watch: async () => ({ unsubscribe: () => undefined }),
    }
    const bus = {
      connected: true,
      subscribe: (_: string, handler: (message: BusMessage) => void) => {
        this.#hear = handler
        return { unsubscribe: () => undefined }
      },
      publish: (subject: string, data: Uint8Array) => {
        const read = unpackNodeMessage(data)
        if (read.ok) this.told.push(`${read.message[0]} ${subject.split('.').at(-2)}`)
      },
      request: async () => {
        throw new TroupeError('TROUPE_NO_ANSWER', 'nobody', { details: { noResponders: true } })
      },
    } as unknown as Bus
    const log = {
      append: async (subject: string) => {
        this.fences.push(subject.split('.').at(-2)!)
        return this.fenceResult
      },
    } as unknown as Log
    const members = {
      live: () => ['n1', 'n2'].map((node) => ({ node, incarnation: `${node}-life`, tasks: 1 })),
      caughtUp: () => this.isCaughtUp,
      onChange: () => () => undefined,
    }
    this.supervisor = new Supervisor({ bus, log, subjects, leases, members, holder: 'me' })
    this.supervisor.start()
    setInterval(() => this.#beat(), 250)
  }

  #beat(): void {
    for (const node of this.beating) {
      const subject = subjects.heartbeat(node, `${node}-life`)
      this.#hear({ subject, data: packBlock([1, 1, 20]), reply: undefined, headers: undefined })
    }
  }
}

test('a supervisor that was stopped writes no fence, nor writes one again, before it knows that it still leads', async () => {
  const scene = new Scene()
  scene.fenceResult = { outcome: 'unknown', code: 0, message: 'no acknowledgement in time' }
  await vi.advanceTimersByTimeAsync(5_000)
  expect(scene.fences.length).toBeGreaterThan(5)
  const now = performance.now.bind(performance)
  vi.spyOn(performance, 'now').mockImplementation(() => now() + 2_000)
  scene.leasesAnswer = false
  const before = scene.fences.length
  await vi.advanceTimersByTimeAsync(3_000)
  expect(scene.fences.length).toBe(before)
  expect(scene.supervisor.leading).toBe(false)
})

test('no answer is no fence: it is written until it is stored, and the node is told then', async () => {
  const scene = new Scene()
  scene.fenceResult = { outcome: 'unknown', code: 0, message: 'no acknowledgement in time' }
  await vi.advanceTimersByTimeAsync(5_000)
  const before = scene.fences.length
  expect(scene.told).toEqual([])
  scene.fenceResult = { outcome: 'stored', sequence: 9, duplicate: false }
  await vi.advanceTimersByTimeAsync(3_000)
  expect(scene.fences.length).toBe(before + 1)
  expect(new Set(scene.fences)).toEqual(new Set(['n1']))
  expect(scene.told).toEqual(['fenced n1'])
})

test('nobody is told to be fenced by a ledger that lags behind', async () => {
  const scene = new Scene()
  scene.beating = ['n1', 'n2']
  await vi.advanceTimersByTimeAsync(3_000)
  scene.isCaughtUp = false
  scene.beating = ['n1', 'n2', 'n3']
  await vi.advanceTimersByTimeAsync(5_000)
  expect(scene.told).toEqual([])
  scene.isCaughtUp = true
  await vi.advanceTimersByTimeAsync(2_000)
  expect(scene.told).toContain('fenced n3')
  expect(scene.fences).toEqual([])
})
