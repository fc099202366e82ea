/**
 * What a supervisor concludes about one node, as data with the evidence, so that logs, `troupe nodes` and tests see the
 * same reasons. Pure and total: every node has a verdict at every instant.
 */
import type { SupervisionSettings } from './settings.ts'
import type { Hold, HoldCause } from './sight.ts'
import type { HealthStatus, Watched } from './watched.ts'

/** `gone`: nobody listens any more where the node listened. `silent`: phi says that it will not beat again. */
export type Cause = 'beating' | 'slow' | 'stuck' | 'late' | 'silent' | 'gone'

export interface Verdict {
  readonly node: string
  readonly incarnation: string
  readonly status: HealthStatus
  readonly cause: Cause
  /** `held`: it would be fenced, but for `hold`. */
  readonly decision: 'none' | 'probe' | 'fence' | 'held'
  readonly hold: HoldCause | undefined
  readonly silenceMs: number
  readonly phi: number
  /** Probes in a row to which the server answered that nobody listens. */
  readonly nobody: number
  readonly tickAgeMs: number
  readonly tasks: number
}

/** Returns the verdict on one node at `nowMs`, given the reason to hold, if there is one. Changes nothing. */
export function judge(watched: Watched, hold: Hold | undefined, settings: SupervisionSettings, nowMs: number): Verdict {
  const silenceMs = watched.detector.silenceMs(nowMs)
  return silenceMs < settings.suspectMs
    ? judgeBeating(watched, hold, settings, silenceMs)
    : judgeSilent(watched, hold, settings, silenceMs, nowMs)
}

/** Heartbeats come from a thread of their own, so that a node can beat while its main loop does not turn. */
function judgeBeating(
  watched: Watched,
  hold: Hold | undefined,
  settings: SupervisionSettings,
  silenceMs: number,
): Verdict {
  // A mass silence says nothing about a node that is heard.
  const blind = hold?.cause === 'disconnected' || hold?.cause === 'own-lag' ? hold.cause : undefined
  const stuck = watched.tickAgeMs >= settings.stuckMs
  const hopeless = watched.tasks > 0 && watched.tickAgeMs >= settings.stuckFenceMs
  const status = stuck ? 'stuck' : watched.tickAgeMs >= settings.slowMs ? 'slow' : 'ready'
  return {
    ...about(watched, silenceMs, 0),
    status,
    cause: status === 'ready' ? 'beating' : status,
    decision: !hopeless ? 'none' : blind ? 'held' : 'fence',
    hold: hopeless ? blind : undefined,
  }
}

function judgeSilent(
  watched: Watched,
  hold: Hold | undefined,
  settings: SupervisionSettings,
  silenceMs: number,
  nowMs: number,
): Verdict {
  const phi = watched.detector.phi(nowMs)
  // Two answers some time apart: a connection that is just being replaced is not gone.
  const gone = watched.nobody >= 2 && watched.nobodyLastMs - watched.nobodySinceMs >= settings.probeGapMs
  const cause: Cause = gone ? 'gone' : phi >= settings.phi.threshold ? 'silent' : 'late'
  const held = cause !== 'late' && hold !== undefined && holds(hold, cause, settings, nowMs)
  const decision = cause === 'late' ? 'probe' : held ? 'held' : 'fence'
  return { ...about(watched, silenceMs, phi), status: 'suspect', cause, decision, hold: held ? hold.cause : undefined }
}

/**
 * Holding is bounded: nodes can really die together, and then their tasks must go on. A mistake costs repeated work, never
 * two histories, because the fence is in the node's journal.
 */
function holds(hold: Hold, cause: Cause, settings: SupervisionSettings, nowMs: number): boolean {
  if (hold.cause === 'disconnected' || hold.cause === 'own-lag') return true
  return nowMs - hold.sinceMs < (cause === 'gone' ? settings.goneHoldMs : settings.silentHoldMs)
}

function about(watched: Watched, silenceMs: number, phi: number) {
  return {
    node: watched.node,
    incarnation: watched.incarnation,
    silenceMs: Math.round(silenceMs),
    phi,
    nobody: watched.nobody,
    tickAgeMs: watched.tickAgeMs,
    tasks: watched.tasks,
  }
}

const heldBecause: Readonly<Record<HoldCause, string>> = {
  disconnected: 'the supervisor has no connection itself',
  'own-lag': 'the supervisor itself was not running',
  'mass-silence': 'too many nodes fell silent at once, which points at the broker',
  'nobody-beats': 'no node is heard at all, which points at the broker',
}

/** Returns the verdict as one sentence for people, with the numbers it rests on. */
export function explain(verdict: Verdict): string {
  const { cause, silenceMs, tickAgeMs } = verdict
  const phi = Number.isFinite(verdict.phi) ? verdict.phi.toFixed(1) : 'infinite'
  const sentence: Readonly<Record<Cause, string>> = {
    beating: `heard ${silenceMs} ms ago`,
    slow: `beats, but its main loop has not turned for ${tickAgeMs} ms`,
    stuck: `beats, but its main loop has not turned for ${tickAgeMs} ms and it holds ${verdict.tasks} tasks`,
    late: `silent for ${silenceMs} ms`,
    silent: `silent for ${silenceMs} ms (phi ${phi})`,
    gone: `silent for ${silenceMs} ms and its connection is gone (${verdict.nobody} probes found nobody)`,
  }
  return verdict.hold === undefined ? sentence[cause] : `${sentence[cause]}; held because ${heldBecause[verdict.hold]}`
}
