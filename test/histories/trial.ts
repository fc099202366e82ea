/** One trial: an installation, people at work, faults one after another, and then the judge. */
import type { History } from './history.ts'
import { Installation } from './installation.ts'
import { People } from './people.ts'

export interface TrialOptions {
  readonly seed: number
  /** How long people act, ms. */
  readonly actMs: number
  readonly say: (line: string) => void
}

export interface Trial extends History {
  readonly faults: Readonly<Record<string, number>>
}

/** In turn, so that even a short trial has each. */
const faults: readonly { readonly what: 'kill' | 'pause'; readonly whom: string }[] = [
  { what: 'kill', whom: 'node-1' },
  { what: 'kill', whom: 'control-1' },
  { what: 'kill', whom: 'server' },
  { what: 'pause', whom: 'node-2' },
  { what: 'kill', whom: 'control-2' },
  { what: 'pause', whom: 'control-1' },
]
const pauseMs = 2_000
const restMs = 800

export async function trial({ seed, actMs, say }: TrialOptions): Promise<Trial> {
  const installation = await Installation.open()
  try {
    const { servers, namespace } = installation
    const people = await People.gather({ servers, namespace, seed, count: 8 })
    try {
      const acting = people.act()
      const done = await inflict(installation, seed, performance.now() + actMs)
      people.stop()
      await acting
      say(`${people.operations.length} calls, faults: ${JSON.stringify(done)}`)
      await people.settle()
      return { operations: people.operations, effects: installation.effects(), faults: done }
    } finally {
      people.stop()
      await people.leave()
    }
  } finally {
    await installation.end()
  }
}

/** A process that was killed is started again while others meet their faults. */
async function inflict(installation: Installation, seed: number, untilMs: number): Promise<Record<string, number>> {
  const done: Record<string, number> = {}
  const starting = new Map<string, Promise<void>>()
  for (let at = seed; performance.now() < untilMs; at++) {
    const { what, whom } = faults[at % faults.length]!
    await lasting(restMs)
    await starting.get(whom)
    if (what === 'kill') {
      await installation.kill(whom)
      starting.set(whom, installation.start(whom))
      if (whom === 'server') await starting.get(whom)
    } else {
      installation.signal(whom, 'SIGSTOP')
      await lasting(pauseMs)
      installation.signal(whom, 'SIGCONT')
    }
    done[`${what} ${whom}`] = (done[`${what} ${whom}`] ?? 0) + 1
  }
  await Promise.all(starting.values())
  return done
}

/** A fault, or the rest between two, lasts so long by intent. */
function lasting(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}
