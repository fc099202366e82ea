/**
 * What is done to an installation, when and to whom: drawn from a seed alone, so that the same seed plans the same run.
 * Two lanes: one disturbs processes, one servers. Nothing here touches anything.
 */
import { Random } from '../simulation/random.ts'

export const processKinds = [
  'crash node',
  'crash control',
  'pause short',
  'pause long',
  'drain',
  'rolling restart',
  'partition',
  'disconnect',
  'delay',
  'clock jump',
] as const

export const serverKinds = [
  'crash log leader',
  'crash server',
  'pause log leader',
  'isolate server',
  'full log',
  'full disk',
] as const

export type FaultKind = (typeof processKinds)[number] | (typeof serverKinds)[number]

export interface PlannedFault {
  readonly atMs: number
  readonly kind: FaultKind
  /** Which of the places that the kind is about; counted modulo how many there are. */
  readonly place: number
  readonly forMs: number
  /** A delay or a step of a clock, ms. */
  readonly byMs: number
}

export interface PlanOptions {
  readonly seed: number
  readonly durationMs: number
  readonly kinds: readonly FaultKind[]
}

/** Mean time from one fault to the next, ms; what a server's fault does to everybody takes longer to get over. */
const processEveryMs = 2_500
const serverEveryMs = 9_000

/** By kind: how long it lasts at least and at most, ms. */
const lasting: Readonly<Record<FaultKind, readonly [number, number]>> = {
  'crash node': [0, 3_000],
  'crash control': [0, 3_000],
  'pause short': [100, 1_500],
  'pause long': [3_000, 9_000],
  drain: [0, 1_000],
  'rolling restart': [0, 0],
  partition: [300, 8_000],
  disconnect: [0, 0],
  delay: [2_000, 8_000],
  'clock jump': [1_000, 8_000],
  'crash log leader': [200, 5_000],
  'crash server': [200, 5_000],
  'pause log leader': [1_000, 7_000],
  'isolate server': [1_000, 8_000],
  'full log': [1_000, 5_000],
  'full disk': [2_000, 5_000],
}

export function plan({ seed, durationMs, kinds }: PlanOptions): PlannedFault[] {
  const lane = (name: string, of: readonly FaultKind[], everyMs: number) => {
    const chosen = of.filter((kind) => kinds.includes(kind))
    return chosen.length === 0 ? [] : drawLane(new Random(seed, name), chosen, everyMs, durationMs)
  }
  const faults = [...lane('processes', processKinds, processEveryMs), ...lane('servers', serverKinds, serverEveryMs)]
  return faults.sort((a, b) => a.atMs - b.atMs)
}

/** Every kind comes once before one comes twice, so that a short run has seen as many as it can. */
function drawLane(random: Random, kinds: readonly FaultKind[], everyMs: number, durationMs: number): PlannedFault[] {
  const faults: PlannedFault[] = []
  let bag: FaultKind[] = []
  let atMs = random.integer(everyMs / 5, everyMs)
  while (atMs < durationMs) {
    if (bag.length === 0) bag = [...kinds]
    const kind = bag.splice(random.integer(0, bag.length - 1), 1)[0]!
    const [least, most] = lasting[kind]
    const forMs = random.integer(least, most)
    const byMs = kind === 'delay' ? random.integer(20, 250) : random.integer(-3_600_000, 3_600_000)
    faults.push({ atMs, kind, place: random.integer(0, 1_000), forMs, byMs })
    atMs += forMs * (everyMs === serverEveryMs ? 1 : 0.3) + random.integer(everyMs * 0.4, everyMs * 1.6)
  }
  return faults
}
