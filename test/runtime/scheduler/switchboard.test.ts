/** Looking for a task in several partitions, while what landed in the wrong log is on its way to its own. */
import { expect, test } from 'vitest'
import type { Bus, BusMessage } from '../../../src/nats/bus.ts'
import { Subjects } from '../../../src/protocol/subjects.ts'
import { Switchboard } from '../../../src/runtime/scheduler/switchboard.ts'

interface Ledger {
  readonly tasks: Set<string>
  position: number
  strayFrom?: number
}

/** Answers from these ledgers, by partition; `answered` is called after each answer was made. */
function busOf(ledgers: readonly Ledger[], answered: (partition: number) => void): Bus {
  const request = async (subject: string): Promise<BusMessage> => {
    const partition = Number(/partition\.(\d+)\./.exec(subject)?.[1] ?? 0)
    const id = subject.slice(subject.lastIndexOf('.') + 1)
    const { tasks, position, strayFrom } = ledgers[partition]!
    const details = { id, position, partition, ...(strayFrom !== undefined && { strayFrom }) }
    const unknown = { error: { code: 'TROUPE_UNKNOWN_TASK', message: 'unknown', details } }
    const answer = tasks.has(id) ? { id, status: 'ready' } : unknown
    const data = new TextEncoder().encode(JSON.stringify(answer))
    answered(partition)
    return { subject, data, reply: undefined, headers: undefined }
  }
  return { request } as unknown as Bus
}

function ledger(position: number): Ledger {
  return { tasks: new Set(), position }
}

test('a task that was brought over between the answers of two partitions is found', async () => {
  const [own, from, to] = [ledger(3), ledger(5), ledger(7)] as const
  let asked = 0
  const bus = busOf([own, from, to], (partition) => {
    // `to` has answered that it has none; `from` is asked afterwards, when it has brought it over.
    if (partition === 2 && ++asked === 1) to.tasks.add('job')
  })
  expect(await new Switchboard(bus, new Subjects('main', 0, 3)).find('job')).toBe(2)
})

test('a task that may be among what is still to be brought over is waited for, and later strays are not', async () => {
  const [own, other] = [{ ...ledger(5), strayFrom: 4 } as Ledger, ledger(7)] as const
  let rounds = 0
  const bus = busOf([own, other], (partition) => {
    if (partition !== 1 || ++rounds !== 3) return
    own.position = 9
    own.strayFrom = 8
  })
  expect(await new Switchboard(bus, new Subjects('main', 0, 2)).find('nobody')).toBeUndefined()
  expect(rounds).toBeGreaterThan(3)
})

test('nobody is said to have none while something cannot be brought over', async () => {
  const [own, other] = [{ ...ledger(5), strayFrom: 4 } as Ledger, ledger(7)] as const
  const switchboard = new Switchboard(
    busOf([own, other], () => undefined),
    new Subjects('main', 0, 2),
  )
  await expect(switchboard.find('job')).rejects.toMatchObject({ code: 'TROUPE_NO_ANSWER' })
  other.tasks.add('job')
  expect(await switchboard.find('job')).toBe(1)
})
